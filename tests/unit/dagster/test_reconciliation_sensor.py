"""The alarm sensor: an alarm at once for what nobody explains, one for two blind runs, and each alarm anew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.components.reconciliation_sensor import (
    COULD_NOT_RUN_ALERT,
    UNEXPLAINED_ALERT,
    Standing,
    alarm_sensor,
    follow,
    tick,
)
from gamestream_dagster.defs.reconciliation.alarms import reconciliation_alarm
from gamestream_dagster.reconciliation.results.proofs import FinishedRun
from tests.support.fakes.verdicts import NOW, FakeVerdicts, finished

JOB = "reconciliation_alarm"


def runs(*verdicts: str) -> list[FinishedRun]:
    """One run every 15 minutes: a verdict, or the board on which a row is UNEXPLAINED."""
    known = {"MATCH", "EXPLAINED", "DIFFERENT", "COULD_NOT_RUN"}
    return [
        finished(verdict, f"r{place}", NOW + timedelta(minutes=15 * place), reason="no checkpoint")
        if verdict in known
        else finished("DIFFERENT", f"r{place}", NOW + timedelta(minutes=15 * place), unexplained=frozenset({verdict}))
        for place, verdict in enumerate(verdicts)
    ]


def ticks(all_runs: Sequence[FinishedRun], verdicts: FakeVerdicts | None = None) -> list[dg.SensorResult]:
    """One tick after each run."""
    verdicts = verdicts or FakeVerdicts()
    cursor, results = None, []
    for run in all_runs:
        verdicts.runs.append(run)
        results.append(tick(verdicts, cursor, JOB))
        cursor = results[-1].cursor
    return results


def keys(results: Sequence[dg.SensorResult]) -> list[list[str]]:
    return [[str(request.run_key) for request in result.run_requests or []] for result in results]


def test_an_unexplained_row_is_an_alarm_at_once_and_a_fine_run_ends_it() -> None:
    verdicts = FakeVerdicts()
    fine, alarm = ticks(runs("MATCH", "top_teams"), verdicts)
    assert fine.asset_events == []
    assert verdicts.alerts[UNEXPLAINED_ALERT][0] == "critical"
    assert "top_teams" in verdicts.alerts[UNEXPLAINED_ALERT][1]
    [request] = alarm.run_requests or []
    assert request.run_key == f"{UNEXPLAINED_ALERT}:r1"
    observation, check = alarm.asset_events
    assert observation.metadata["report"] == dg.MetadataValue.url("http://127.0.0.1:8501/reports/r1.html")
    assert isinstance(check, dg.AssetCheckEvaluation)
    assert (check.check_name, check.passed, check.severity) == ("no_unexplained", False, dg.AssetCheckSeverity.ERROR)

    verdicts.runs += runs("-", "-", "MATCH")[2:]
    after = tick(verdicts, alarm.cursor, JOB)
    assert verdicts.alerts == {}
    assert [event.passed for event in after.asset_events if isinstance(event, dg.AssetCheckEvaluation)] == [True]
    assert after.run_requests == []


def test_a_standing_alarm_is_raised_once_and_a_second_one_again() -> None:
    found = keys(ticks(runs("top_teams", "top_teams", "MATCH", "top_teams", "top_players", "top_teams")))
    assert found == [
        [f"{UNEXPLAINED_ALERT}:r0"],
        [],
        [],
        [f"{UNEXPLAINED_ALERT}:r3"],
        [f"{UNEXPLAINED_ALERT}:r4"],  # another board: another alarm
        [f"{UNEXPLAINED_ALERT}:r5"],  # r4 was about all boards, and top_teams was fine in it
    ]


def test_a_run_about_another_board_ends_no_alarm() -> None:
    verdicts = FakeVerdicts()
    alarm, other, same = [*runs("top_teams", "MATCH", "MATCH")]
    other = finished("MATCH", "r1", other.finished_at, boards=frozenset({"top_players"}))
    same = finished("MATCH", "r2", same.finished_at, boards=frozenset({"top_teams"}))
    ticks([alarm, other], verdicts)
    assert UNEXPLAINED_ALERT in verdicts.alerts
    ticks([same], verdicts)
    _, changes = follow(Standing(unexplained=frozenset({"top_teams"})), [other, same])
    assert [(change.raised, change.run.run_id) for change in changes] == [(False, "r2")]


def test_one_blind_run_is_no_alarm_and_two_in_a_row_are() -> None:
    verdicts = FakeVerdicts()
    blind = ["COULD_NOT_RUN"]
    found = keys(ticks(runs(*blind, "MATCH", *blind, *blind, *blind, "DIFFERENT", *blind * 2), verdicts))
    assert found == [[], [], [], [f"{COULD_NOT_RUN_ALERT}:r3"], [], [], [], [f"{COULD_NOT_RUN_ALERT}:r7"]]
    assert verdicts.cleared == [COULD_NOT_RUN_ALERT]
    assert "no checkpoint" in verdicts.alerts[COULD_NOT_RUN_ALERT][1]


def test_a_blind_run_ends_no_alarm_of_unexplained_rows() -> None:
    verdicts = FakeVerdicts()
    ticks(runs("top_teams", "COULD_NOT_RUN", "COULD_NOT_RUN"), verdicts)
    assert set(verdicts.alerts) == {UNEXPLAINED_ALERT, COULD_NOT_RUN_ALERT}


def test_the_first_tick_looks_at_the_newest_runs_alone() -> None:
    verdicts = FakeVerdicts(runs=runs(*["top_teams"] * 9, "MATCH", "MATCH"))
    result = tick(verdicts, None, JOB)
    assert (verdicts.alerts, result.run_requests) == ({}, [])


def test_a_run_that_is_stored_after_a_later_one_is_not_passed_over() -> None:
    early, late = (
        finished("DIFFERENT", "a", NOW, unexplained=frozenset({"top_teams"})),
        finished("MATCH", "b", NOW + timedelta(seconds=1), boards=frozenset({"top_players"})),
    )
    verdicts = FakeVerdicts(runs=[late])
    first = tick(verdicts, None, JOB)
    verdicts.runs = [early, late]
    second = tick(verdicts, first.cursor, JOB)
    assert keys([first, second]) == [[], [f"{UNEXPLAINED_ALERT}:a"]]
    assert keys([tick(verdicts, second.cursor, JOB)]) == [[]]


def test_nothing_new_is_said() -> None:
    verdicts = FakeVerdicts(runs=runs("MATCH"))
    first = tick(verdicts, None, JOB)
    again = tick(verdicts, first.cursor, JOB)
    assert first.skip_reason is not None
    assert first.skip_reason.skip_message == "1 new reconciliation; no alarm stands"
    assert again.skip_reason is not None
    assert again.skip_reason.skip_message == "no new reconciliation; no alarm stands"
    assert again.cursor == first.cursor


def evaluate(verdicts: FakeVerdicts, instance: dg.DagsterInstance) -> dg.SensorResult:
    sensor = alarm_sensor(reconciliation_alarm, 30)
    context = dg.build_sensor_context(instance=instance, resources={"verdicts": verdicts})
    found = sensor(context)
    assert isinstance(found, dg.SensorResult)
    return found


def test_a_sensor_that_cannot_look_fails_its_tick() -> None:
    verdicts = FakeVerdicts()
    verdicts.error = TransientServiceError("Postgres", "no answer within 5 s", "see `gamestream status`")
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(TransientServiceError, match="no answer"):
        evaluate(verdicts, instance)


def test_the_run_that_it_asks_for_fails_with_the_alarms_words(tmp_path: Path) -> None:
    verdicts = FakeVerdicts(runs=runs("top_teams"))
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        [request] = evaluate(verdicts, instance).run_requests or []
        done = reconciliation_alarm.execute_in_process(
            run_config=dict(request.run_config), instance=instance, raise_on_error=False
        )
    assert not done.success
    [event] = [one for one in done.all_events if one.is_step_failure]
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    assert "UNEXPLAINED rows on top_teams" in (failure.description or "")
    assert failure.metadata["report"] == dg.MetadataValue.url("http://127.0.0.1:8501/reports/r0.html")
