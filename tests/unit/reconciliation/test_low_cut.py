"""The low cut is borne out by offsets that were committed before the rows are read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.reconciliation import observe
from gamestream_dagster.reconciliation.counters import JobLedger
from gamestream_dagster.reconciliation.model import Sink
from gamestream_dagster.reconciliation.observe import Looker, Progress

KILLED_ATTEMPT_WROTE, RESTORED_ATTEMPT_READ = 26_197, 23_868


class FakeKafka:
    """Commits as far as the restored attempt has come."""

    def __init__(self) -> None:
        self.position = RESTORED_ATTEMPT_READ
        self.rows_read_at: list[int] = []

    def committed(self, group: str, topic: str) -> dict[int, int]:
        return {0: self.position}

    def topic_id(self, topic: str) -> TopicId:
        return TopicId("the only one")

    def end_offsets(self, topic: str) -> dict[int, int]:
        return {0: 40_000}


class AfterAKill(Looker):
    """The ledger's table still tells what the killed attempt wrote; the restored one has not come so far."""

    def _running(self, job: str) -> Any:
        return SimpleNamespace(job=job, flink_job_id="1", fingerprint="f", restores=1, settled=True, reads=None)

    def _checkpoint(self, jobs: Any) -> dict[str, int]:
        return {job.job: 13 for job in jobs}

    def progress(self, job: str) -> dict[int, Progress]:
        return {0: Progress(1, 1, 0, KILLED_ATTEMPT_WROTE - 1)}

    def rows(self, boards: Any, sinks: Any) -> dict[Any, Any]:
        kafka = cast("Any", self.kafka)
        kafka.rows_read_at.append(kafka.position)
        # a checkpoint completes by itself just after the rows were read
        kafka.position = KILLED_ATTEMPT_WROTE + 5_000
        return {}


def test_a_cut_is_not_borne_out_by_what_was_committed_after_the_rows_were_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "COMMIT_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(observe, "read_job_ledger", lambda engine, jobs: JobLedger())
    kafka = FakeKafka()
    looker = AfterAKill(cast("Any", None), cast("Any", None), cast("Any", kafka), "user-score")
    seen = looker.look([load_boards()["hot_streaks"]], [Sink.POSTGRES])
    assert kafka.rows_read_at == [RESTORED_ATTEMPT_READ]
    assert seen.jobs["hot_streaks_v1"].low == {0: RESTORED_ATTEMPT_READ}
