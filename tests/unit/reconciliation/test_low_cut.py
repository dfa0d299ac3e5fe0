"""The low cut is borne out by offsets that were committed before the rows are read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model.values import Sink
from gamestream_dagster.reconciliation.observe import boards as observe
from gamestream_dagster.reconciliation.observe.boards import BoardObserver
from gamestream_dagster.reconciliation.observe.job_ledger import JobLedger
from gamestream_dagster.reconciliation.observe.progress import Progress, read_exactly

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


class AfterAKill(BoardObserver):
    """The ledger's table still tells what the killed attempt wrote; the restored one has not come so far."""

    def check_topic(self, jobs: Any) -> None:
        """The records are not what this is about."""

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
    monkeypatch.setattr(observe, "read_job_ledger", lambda engine, jobs, topic: JobLedger())
    kafka = FakeKafka()
    looker = AfterAKill(cast("Any", None), cast("Any", None), cast("Any", kafka), "user-score")
    seen = looker.look([load_boards()["hot_streaks"]], [Sink.POSTGRES])
    assert kafka.rows_read_at == [RESTORED_ATTEMPT_READ]
    assert seen.jobs["hot_streaks_v1"].low == {0: RESTORED_ATTEMPT_READ}


class Changed(AfterAKill):
    """A job at rest whose ledger or whose consumer group somebody changed."""

    told: dict[int, Progress]

    def progress(self, job: str) -> dict[int, Progress]:
        return self.told

    def rows(self, boards: Any, sinks: Any) -> dict[Any, Any]:
        return {}


class Group:
    """A consumer group that stands at `offset`, of a topic of one partition that ends at 100."""

    def __init__(self, offset: int | None) -> None:
        self.offset = offset

    def committed(self, group: str, topic: str) -> dict[int, int]:
        return {} if self.offset is None else {0: self.offset}

    def topic_id(self, topic: str) -> TopicId:
        return TopicId("the only one")

    def end_offsets(self, topic: str) -> dict[int, int]:
        return {0: 100}


def progress(whole: int, minutes: int | None = 99) -> Progress:
    return Progress(100, 100, 0, whole, minutes)


@pytest.mark.parametrize(
    ("told", "offset", "low"),
    [
        ({0: progress(99)}, 100, 100),  # as it should be
        ({0: progress(99)}, 900_000, 100),  # the group was reset beyond the end
        ({0: progress(49, 49)}, 100, 50),  # the group was reset to the end before the job had read so far
        ({0: progress(99)}, 10, 10),  # the group was reset to an older offset: a wider bracket
        ({0: progress(10**12)}, 100, 100),  # the row of the whole partition was changed to a later offset
        ({0: progress(3)}, 100, 100),  # ... to an earlier one
        ({0: progress(99), 7: progress(5)}, 100, 100),  # a row of a partition that there is not
        ({}, 100, 100),  # the table was emptied
        ({}, 900_000, 0),  # ... and the group reset
        ({}, None, 0),
    ],
)
def test_what_another_hand_changed_is_no_low_cut(
    monkeypatch: pytest.MonkeyPatch, told: dict[int, Progress], offset: int | None, low: int
) -> None:
    monkeypatch.setattr(observe, "COMMIT_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(observe, "read_job_ledger", lambda engine, jobs, topic: JobLedger())
    looker = Changed(cast("Any", None), cast("Any", None), cast("Any", Group(offset)), "user-score")
    object.__setattr__(looker, "told", told)
    seen = looker.look([load_boards()["hot_streaks"]], [Sink.POSTGRES])
    assert seen.jobs["hot_streaks_v1"].low == {0: low}
    assert bool(seen.notes) == (offset == 900_000)


def test_a_ledger_beyond_the_topics_end_is_no_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "COMMIT_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(observe, "read_job_ledger", lambda engine, jobs, topic: JobLedger())
    looker = Changed(cast("Any", None), cast("Any", None), cast("Any", Group(500)), "user-score")
    object.__setattr__(looker, "told", {0: progress(499, 499)})
    with pytest.raises(CouldNotLookError, match="changed by hand, or the broker lost records"):
        looker.look([load_boards()["hot_streaks"]], [Sink.POSTGRES])


@pytest.mark.parametrize(
    ("whole", "committed", "sound"), [(99, 100, True), (3, 100, False), (120, 100, False), (49, 50, True)]
)
def test_a_ledger_that_contradicts_itself_gives_no_exact_cut(whole: int, committed: int, sound: bool) -> None:
    told = {0: progress(whole)}
    if sound:
        assert read_exactly("job", told, {0: 100}, {0: committed}) == {0: whole + 1}
    else:
        with pytest.raises(CouldNotLookError, match="contradicts itself"):
            read_exactly("job", told, {0: 100}, {0: committed})
