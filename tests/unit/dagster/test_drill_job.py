"""The Dagster job `drill`: its matrix in the run, and a failure whenever not everything held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from gamestream_dagster.definitions import defs
from gamestream_dagster.defs.drill.jobs import drill, play_drill
from gamestream_dagster.drill.model import BackBy, Boards, DrillRun, JobOutcome, ScenarioResult

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RIGHT = Boards("MATCH", "", 80, 0, 1000, 1000, 0, 0, True)
JOB = JobOutcome("totals_v1", BackBy.MANAGER, 12.0, 30.0, "chk-7", "chk-7", True)
HELD = ScenarioResult("jobmanager", "JobManager killed", "It comes back.", 1, NOW, 40.0, (JOB,), RIGHT)
RUN = DrillRun("r1", NOW, 60.0, 5, 100.0, 30.0, 5, RIGHT, (HELD,))


class FakeDriller:
    """Gives a run, and keeps what it was asked for."""

    def __init__(self, run: DrillRun) -> None:
        self.run = run
        self.asked: list[tuple[list[str], int]] = []

    def drill(self, only: Sequence[str], repeat: int, say: object) -> tuple[DrillRun, Path]:
        self.asked.append((list(only), repeat))
        return self.run, Path("/reports/drill/r1.html")

    def link(self, page: Path) -> str:
        return f"http://dashboard{page}"


def play(driller: FakeDriller, config: dict | None = None) -> dg.ExecuteInProcessResult:
    return drill.execute_in_process(
        run_config={"ops": {"play_drill": {"config": config or {}}}},
        resources={"driller": driller},
        raise_on_error=False,
    )


def test_a_drill_that_held_shows_its_matrix() -> None:
    driller = FakeDriller(RUN)
    result = play(driller, {"only": ["jobmanager"], "repeat": 3})
    assert result.success
    assert driller.asked == [(["jobmanager"], 3)]
    (handled,) = [event for event in result.events_for_node("play_drill") if event.is_successful_output]
    metadata = handled.step_output_data.metadata
    assert metadata["verdict"].value == "HELD"
    assert "| jobmanager | 12.0 s | 30.0 s |" in str(metadata["matrix"].value)
    assert metadata["report"].value == "http://dashboard/reports/drill/r1.html"


@pytest.mark.parametrize(
    ("run", "told"),
    [
        (replace(RUN, results=(replace(HELD, boards=replace(RIGHT, lost=2)),)), "NOT_HELD: jobmanager: the boards"),
        (replace(RUN, could_not="no servers"), "COULD_NOT_RUN: no servers"),
    ],
)
def test_a_drill_that_did_not_hold_fails_once_with_the_reason(run: DrillRun, told: str) -> None:
    driller = FakeDriller(run)
    result = play(driller)
    assert not result.success
    assert len(driller.asked) == 1
    failure = result.failure_data_for_node("play_drill")
    assert failure is not None
    assert told in str(failure.user_failure_data.description if failure.user_failure_data else failure)


def test_the_job_is_part_of_the_code_location() -> None:
    assert defs().get_job_def("drill").nodes[0].definition is play_drill
