"""What the daily prune deletes, and what it never touches."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from gamestream_dagster.defs.retention import KEPT_DAYS, prune_runs
from gamestream_dagster.flink_jobs.control.pruning import KEPT_GENERATIONS, prune_job, states_to_delete
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState
from tests.support.fakes.flink import FakeStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_runs_go_when_their_days_are_over_and_not_before(tmp_path: Path) -> None:
    @dg.op
    def work() -> None: ...

    @dg.job
    def done() -> None:
        work()

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        run = done.execute_in_process(instance=instance)
        waiting = instance.create_run_for_job(done)
        days = KEPT_DAYS[dg.DagsterRunStatus.SUCCESS]
        assert prune_runs(instance, datetime.now(UTC) + timedelta(days=days - 1))["SUCCESS"] == 0
        assert instance.all_logs(run.run_id)
        deleted = prune_runs(instance, datetime.now(UTC) + timedelta(days=days + 1))
        assert deleted == {"SUCCESS": 1, "FAILURE": 0, "CANCELED": 0}
        assert [one.run_id for one in instance.get_runs()] == [waiting.run_id]
        assert instance.all_logs(run.run_id) == []


class Disk:
    """The states of one job on disk, and its generations, newest first."""

    def __init__(self, root: Path, generations: int) -> None:
        self.folders = {"savepoints": root / "savepoints", "checkpoints": root / "checkpoints"}
        self.history: list[Deployment] = []
        before = None
        for number in range(1, generations + 1):
            self.history.insert(0, self._generation(number, before, number == generations))
            before = self.history[0].savepoint_path

    def _generation(self, number: int, restore: str | None, newest: bool) -> Deployment:
        savepoint = self.folders["savepoints"] / "totals_v1" / f"savepoint-{number}"
        for folder in (savepoint, self.folders["checkpoints"] / f"id{number}" / "chk-7"):
            folder.mkdir(parents=True)
            (folder / "_metadata").write_bytes(b"12345")
        return Deployment(
            *(f"totals_v1-g{number}", "totals_v1", number, "f" * 64, f"id{number}"),
            state=DeploymentState.RUNNING if newest else DeploymentState.SUPERSEDED,
            upgrade_mode="savepoint",
            restore_path=restore,
            savepoint_path=None if newest else savepoint.as_uri(),
            running_at=NOW,
            spec={"files": [{"path": "a", "text": "b"}]},
        )

    def gone(self, *live: str) -> set[str]:
        return {path.name for path in states_to_delete(self.history, frozenset(live), self.folders)}


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path, KEPT_GENERATIONS + 3)


def test_the_newest_generations_and_what_they_were_started_from_are_kept(disk: Disk) -> None:
    # generations 4 to 8 are kept; the fourth was started from the third's savepoint
    assert disk.gone() == {"savepoint-1", "savepoint-2", "id1", "id2", "id3"}


def test_the_version_that_a_rollback_goes_to_keeps_its_states(disk: Disk) -> None:
    disk.history[-1] = replace(disk.history[-1], fingerprint="e" * 64)
    assert disk.gone() == {"savepoint-2", "id2", "id3"}


def test_a_job_that_runs_keeps_its_states_whatever_the_record_says(disk: Disk) -> None:
    assert disk.gone("id2") == {"id1", "id3"}


def test_a_checkpoint_that_a_kept_generation_was_started_from_keeps_its_folder(disk: Disk) -> None:
    at = KEPT_GENERATIONS - 1
    checkpoint = (disk.folders["checkpoints"] / "id3" / "chk-7").as_uri()
    disk.history[at] = replace(disk.history[at], restore_path=checkpoint)
    assert disk.gone() == {"savepoint-1", "savepoint-2", "savepoint-3", "id1", "id2"}


def test_nothing_goes_while_the_newest_has_no_checkpoint_of_its_own(disk: Disk) -> None:
    disk.history[0] = replace(disk.history[0], running_at=None)
    assert disk.gone() == set()


@pytest.mark.parametrize("path", ["file:/etc", "s3://bucket/savepoint-1", "file:///nowhere/savepoint-1"])
def test_a_path_outside_of_the_folders_is_never_touched(disk: Disk, path: str) -> None:
    disk.history[-1] = replace(disk.history[-1], savepoint_path=path)
    assert disk.gone() == {"savepoint-2", "id1", "id2", "id3"}


def test_what_is_to_go_is_deleted_and_counted(disk: Disk) -> None:
    store = FakeStore()
    store.rows = list(reversed(disk.history))
    pruned = prune_job(store, "totals_v1", [], disk.folders)
    assert (len(pruned.folders), pruned.bytes) == (5, 25)
    assert not (disk.folders["checkpoints"] / "id1").exists()
    assert (disk.folders["checkpoints"] / "id8" / "chk-7" / "_metadata").is_file()
    assert prune_job(store, "totals_v1", [], disk.folders).folders == ()
