"""The drill on the session's servers: two faults whose answers differ, with every board proven after each."""

from __future__ import annotations

import pytest

from gamestream_dagster.drill.model import BackBy, DrillVerdict
from gamestream_dagster.drill.report import render_drill
from gamestream_dagster.drill.run import DrillOptions, drill
from gamestream_dagster.drill.scenarios import choose

pytestmark = [pytest.mark.any_boards, pytest.mark.leaves_traces]


@pytest.mark.timeout(900)
def test_a_killed_task_manager_and_a_corrupt_checkpoint_under_a_killed_job_manager(boards) -> None:
    """Flink mends the first; the other takes the job manager, from the newest checkpoint that can be read."""
    said: list[str] = []
    options = DrillOptions(choose(("taskmanager", "corrupt")), look_seconds=5)
    run = drill(boards.settings, options, said.append)
    assert run.could_not == "", said[-20:]
    assert run.fault_free is not None
    assert run.fault_free.equal
    killed, corrupt = run.results
    assert killed.verdict is DrillVerdict.HELD, killed.reasons
    assert {job.back_by for job in killed.jobs} <= {BackBy.FLINK, BackBy.MANAGER}
    assert corrupt.verdict is DrillVerdict.HELD, corrupt.reasons
    assert {job.back_by for job in corrupt.jobs} == {BackBy.MANAGER}
    for job in corrupt.jobs:
        assert any("cannot be read" in entry.text for entry in job.timeline), job.timeline
        assert job.restored_right
    assert corrupt.boards is not None
    assert corrupt.boards.records == corrupt.boards.sent
    assert "HELD" in render_drill(run)
