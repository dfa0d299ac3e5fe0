"""What Dagster makes of an error in an asset: a sentence, another try where it can help, none of a cancelled run."""

from __future__ import annotations

import dagster as dg
import pytest

from gamestream_dagster.clients.errors import TerminalServiceError, TransientServiceError
from gamestream_dagster.resources import failures
from gamestream_dagster.resources.failures import explained

NO_ANSWER = TransientServiceError("Kafka", "no answer", "start it")
REFUSED = TerminalServiceError("Kafka", "refused", "look at its log")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "PAUSE_SECONDS", 0.0)


def run_of(error: BaseException, **choices: int) -> tuple[dg.ExecuteInProcessResult, int]:
    tries = 0

    @dg.op
    def work() -> None:
        nonlocal tries
        tries += 1
        with explained("do the work", **choices):
            raise error

    @dg.job
    def job() -> None:
        work()

    return job.execute_in_process(raise_on_error=False), tries


def told_by(result: dg.ExecuteInProcessResult) -> str:
    data = result.failure_data_for_node("work")
    assert data is not None
    assert data.user_failure_data is not None
    return data.user_failure_data.description or ""


def test_a_transient_error_is_tried_twice_again_and_then_told() -> None:
    result, tries = run_of(NO_ANSWER)
    assert tries == 3
    assert told_by(result) == f"Could not do the work: {NO_ANSWER}"


def test_work_that_must_not_be_done_twice_is_not_tried_again() -> None:
    result, tries = run_of(NO_ANSWER, retries=0)
    assert tries == 1
    assert told_by(result) == f"Could not do the work: {NO_ANSWER}"


def test_any_other_error_is_told_at_once() -> None:
    result, tries = run_of(REFUSED)
    assert tries == 1
    assert told_by(result) == f"Could not do the work: {REFUSED}"


def test_a_cancelled_run_is_not_tried_again() -> None:
    result, tries = run_of(dg.DagsterExecutionInterruptedError())
    assert tries == 1
    assert not result.success
