"""The check of live against settled numbers, and the sensor that runs it for each settled version."""

from __future__ import annotations

from datetime import date
from typing import Any

import dagster as dg
import pytest

from gamestream_dagster.catalogue.metrics import LIVE_EQUALS_SETTLED, load_metrics
from gamestream_dagster.components.keys import metric_key
from gamestream_dagster.components.live_comparison import ALERT, JOB, OP, live_comparison, tick
from gamestream_dagster.reconciliation.live.model import DayCause, DayProof, LiveNumber
from gamestream_dagster.reconciliation.model.values import Verdict
from tests.support.fakes.verdicts import FakeVerdicts

DAY, OLDER = date(2026, 11, 25), date(2026, 11, 24)
EVENTS = LiveNumber("event_counts", "events", "events_agg_1min", ("level_start",), 9, 12, {DayCause.LATE: -3})
EDITED = LiveNumber("revenue_daily", "refunds", "refunds_1min", (), 2, 1, {DayCause.LIVE_ROWS: 1})
VERSIONS = {"event_counts": 1, "revenue_daily": 4}
DEFINITIONS = live_comparison(load_metrics())


class Facade:
    """Compares nothing."""

    def __init__(self, proof: DayProof | None = None, *days: date) -> None:
        self.asked: list[date] = []
        self._proof = proof
        self._days = days

    def comparable(self) -> dict[date, dict[str, int]]:
        return dict.fromkeys(self._days, VERSIONS)

    def compare_live(self, day: date) -> DayProof:
        self.asked.append(day)
        assert self._proof is not None
        return self._proof


def run(facade: Facade, verdicts: FakeVerdicts, day: str = "") -> dg.ExecuteInProcessResult:
    job = dg.Definitions.merge(
        DEFINITIONS, dg.Definitions(resources={"metrics": facade, "verdicts": verdicts})
    ).resolve_job_def(JOB)
    config: dict[str, Any] = {"ops": {OP: {"config": {"day": day}}}}
    return job.execute_in_process(run_config=config if day else None, raise_on_error=False)


def test_each_compared_metric_has_a_result_and_a_difference_raises_the_alert() -> None:
    verdicts = FakeVerdicts()
    proof = DayProof(DAY, Verdict.DIFFERENT, "UNEXPLAINED differences of refunds", VERSIONS, (EVENTS, EDITED))
    facade = Facade(proof, OLDER, DAY)
    result = run(facade, verdicts)
    assert result.success
    assert facade.asked == [DAY]
    found = {one.asset_key: one for one in result.get_asset_check_evaluations()}
    assert found.keys() == {metric_key(name) for name in VERSIONS}
    events, revenue = (found[metric_key(name)] for name in VERSIONS)
    assert {events.check_name, revenue.check_name} == {LIVE_EQUALS_SETTLED}
    assert (events.passed, revenue.passed) == (True, False)
    assert "LATE -3" in events.metadata["differences"].value
    assert revenue.description == "2026-11-25: UNEXPLAINED: refunds."
    assert verdicts.alerts[ALERT][0] == "critical"


def test_an_explained_day_clears_the_alert_and_the_day_can_be_chosen() -> None:
    verdicts = FakeVerdicts()
    verdicts.alerts[ALERT] = ("critical", "a difference")
    facade = Facade(DayProof(OLDER, Verdict.EXPLAINED, "they add up", VERSIONS, (EVENTS,)), DAY)
    assert run(facade, verdicts, OLDER.isoformat()).success
    assert (facade.asked, verdicts.alerts) == ([OLDER], {})


@pytest.mark.parametrize(
    "facade", [Facade(DayProof(DAY, Verdict.COULD_NOT_RUN, "the archive is behind."), DAY), Facade(None)]
)
def test_what_could_not_be_compared_fails_and_says_nothing(facade: Facade) -> None:
    verdicts = FakeVerdicts()
    verdicts.alerts[ALERT] = ("critical", "a difference")
    result = run(facade, verdicts)
    assert not result.success
    assert result.get_asset_check_evaluations() == []
    assert verdicts.alerts == {ALERT: ("critical", "a difference")}


def test_each_settled_version_is_requested_once_and_nothing_without_a_live_job() -> None:
    requests = tick(Facade(None, OLDER, DAY)).run_requests or []
    assert [one.run_key for one in requests] == [
        "2026-11-24: event_counts 1,revenue_daily 4",
        "2026-11-25: event_counts 1,revenue_daily 4",
    ]
    assert requests[1].run_config == {"ops": {OP: {"config": {"day": "2026-11-25"}}}}
    assert "no job counts live" in str(tick(Facade(None)).skip_reason)
