"""The low cut is borne out by offsets that were committed before the rows are read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.reconciliation import observe
from gamestream_dagster.reconciliation.counters import JobLedger
from gamestream_dagster.reconciliation.model import Sink
from gamestream_dagster.reconciliation.observe import Looker, Progress

KILLED_ATTEMPT_WROTE, RESTORED_ATTEMPT_READ = 26_197, 23_868


class AfterAKill(Looker):
    """The ledger's table still tells what the killed attempt wrote; the restored one has not come so far."""

    def __init__(self) -> None:
        kafka = SimpleNamespace(end_offsets=lambda topic: {0: 40_000})
        super().__init__(cast("Any", None), cast("Any", None), cast("Any", kafka), "user-score")
        object.__setattr__(self, "position", RESTORED_ATTEMPT_READ)
        object.__setattr__(self, "read_at", [])

    def _running(self, job: str) -> Any:
        return SimpleNamespace(job=job, flink_job_id="1", fingerprint="f", restores=1, settled=True)

    def _checkpoint(self, jobs: Any) -> dict[str, int]:
        return {job.job: 13 for job in jobs}

    def progress(self, job: str) -> dict[int, Progress]:
        return {0: Progress(1, 1, 0, KILLED_ATTEMPT_WROTE - 1)}

    def _committed(self, job: str) -> dict[int, int]:
        return {0: cast("Any", self).position}

    def rows(self, boards: Any, sinks: Any) -> dict[Any, Any]:
        cast("Any", self).read_at.append(cast("Any", self).position)
        # a checkpoint completes by itself just after the rows were read
        object.__setattr__(self, "position", KILLED_ATTEMPT_WROTE + 5_000)
        return {}


def test_a_cut_is_not_borne_out_by_what_was_committed_after_the_rows_were_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "COMMIT_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(observe, "read_job_ledger", lambda engine, jobs: JobLedger())
    looker = AfterAKill()
    seen = looker.look([load_boards()["hot_streaks"]], [Sink.POSTGRES])
    assert cast("Any", looker).read_at == [RESTORED_ATTEMPT_READ]
    assert seen.jobs["hot_streaks_v1"].low == {0: RESTORED_ATTEMPT_READ}
