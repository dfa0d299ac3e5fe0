"""Covers: labelled abuse through raw events, intake and the job: found, proven at a cut, edits and false rows named."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.dashboard.pages.live_ops.abuse import TABLES as SHOWN
from gamestream_dagster.dashboard.pages.live_ops.abuse import read_abuse
from gamestream_dagster.events.abuse_play import AbuseOptions
from gamestream_dagster.events.abuse_simulation import planted, simulate_abuse
from gamestream_dagster.flink_jobs.control.manager import apply_job
from gamestream_dagster.monitoring.warehouse_series import warehouse
from gamestream_dagster.reconciliation.model.proof import ReconciliationRun
from gamestream_dagster.reconciliation.model.values import Sink, Verdict
from gamestream_dagster.reconciliation.observe.sinks import read_tables
from gamestream_dagster.reconciliation.repair import apply_repair, plan_repair
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Settings
from tests.support.abuse import JOB, OUTPUTS, score
from tests.support.world import World, drain, provision

INTAKE = "event_intake_v1"


class Watched:
    """Intake and the job deployed, and two runs of labelled cases taken: before the job began, and while it runs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.options = [AbuseOptions(start_ms=int(time.time() * 1000), seed=seed, players=300) for seed in (1, 2)]
        provision(settings)
        simulate_abuse(settings, self.options[0])
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda job: apply_job(settings, job), (INTAKE, JOB)))
        simulate_abuse(settings, self.options[1])
        self.drain()

    def drain(self) -> None:
        for job in (INTAKE, JOB):
            drain(self.settings, job=job)
        with FlinkRest(self.settings.flink_rest) as flink:
            for job in flink.jobs():
                if not job.state.ended:
                    flink.checkpoint_now(job.job_id, 30)

    def rows(self) -> dict[str, list[Any]]:
        with open_engine(self.settings) as engine:
            return {name: read_tables(engine, [load_boards()[name]])[name] for name in OUTPUTS}

    def sql(self, statement: str) -> int:
        with open_engine(self.settings) as engine, engine.begin() as database:
            return database.execute(text(statement)).rowcount

    def reconcile(self, mode: str = "drained") -> ReconciliationRun:
        return reconcile(self.settings, mode, list(OUTPUTS), list(Sink))


@pytest.fixture(scope="module")
def watched(world: World) -> Watched:
    return world.hold("game alerts", Watched)


def test_precision_and_recall_are_1_on_labelled_cases(watched: Watched) -> None:
    cases = [case for options in watched.options for case in planted(options).cases]
    found = score(cases, watched.rows())
    assert (found.precision, found.recall) == (1, 1), (found.false, found.missed)


def test_both_sinks_are_what_the_recompute_gives(watched: Watched) -> None:
    run = watched.reconcile()
    assert run.verdict is Verdict.MATCH, (run.reason, run.differences[:3])
    rows = {name: len(listed) for name, listed in watched.rows().items()}
    assert min(rows.values()) > 0
    assert {(one.board, one.sink): one.rows_compared for one in run.boards} == {
        (name, sink): rows[name] for name in OUTPUTS for sink in Sink
    }


def test_a_changed_row_a_lost_row_and_a_row_that_its_events_do_not_make_are_named(watched: Watched) -> None:
    cases = planted(watched.options[0]).cases
    [changed, lost, *_] = [one.subject for one in cases if one.output == "abuse_refunds" and one.fires]
    [innocent, *_] = [one.subject for one in cases if one.output == "abuse_refunds" and one.case == "one too few"]
    assert watched.sql(
        f"UPDATE abuse_refunds SET event_1 = '', event_2 = 'x', refunds = 99 WHERE user_id = '{changed}'"
    )
    assert watched.sql(f"DELETE FROM abuse_refunds WHERE user_id = '{lost}'")
    # with the true numbers of events that are too few to make a row
    forged = "SELECT refund_day, :user, 3, 3 * 4990000, event_1, event_2, event_3, event_4, as_of, final"
    with open_engine(watched.settings) as engine, engine.begin() as database:
        columns = "refund_day, user_id, refunds, refunded_micros, event_1, event_2, event_3, event_4, as_of, final"
        database.execute(
            text(f"INSERT INTO abuse_refunds ({columns}) {forged} FROM abuse_refunds LIMIT 1"), {"user": innocent}
        )
    run = watched.reconcile()
    assert run.verdict is Verdict.DIFFERENT
    named = {(one.entity[1] if one.entity else None, one.kind.value, one.column, one.cause) for one in run.differences}
    assert {(changed, "refunds"), (changed, "event_2"), (lost, None), (innocent, None)} <= {
        (subject, column) for subject, _, column, _ in named
    }
    assert {cause for *_, cause in named} == {"EDITED_BY_HAND"}, named
    apply_repair(watched.settings, run, plan_repair(run))
    after = watched.reconcile()
    assert after.verdict is Verdict.MATCH, after.differences[:3]


def test_alerts_and_the_page_see_the_rows(watched: Watched) -> None:
    samples = {one.labels: one for one in warehouse(watched.settings, 0.0) if one.series == "abuse_rows"}
    rows = watched.rows()
    assert {dict(labels)["abuse"]: one.value for labels, one in samples.items()} == {
        name.removeprefix("abuse_"): len(listed) for name, listed in rows.items()
    }
    assert all("abuse-" in str(one.evidence["events"]) for one in samples.values())
    with open_engine(watched.settings) as engine, engine.connect() as link:
        shown = read_abuse(link, frozenset(one.name for one in SHOWN))
    assert len(shown.rows) == 8
    assert not shown.unlike


def test_rows_match_while_events_flow(watched: Watched) -> None:
    with ThreadPoolExecutor(1) as pool:
        options = AbuseOptions(start_ms=int(time.time() * 1000), seed=3, players=10, repeats=20)
        sending = pool.submit(simulate_abuse, watched.settings, options)
        run = watched.reconcile("bracket")
        sending.result()
    assert run.verdict is Verdict.MATCH, (run.reason, run.differences[:3])
