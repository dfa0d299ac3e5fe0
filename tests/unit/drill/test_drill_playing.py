"""What the drill makes of what it saw: who brought a job back, from the right state or not, once or twice."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gamestream_dagster.clients.flink_types import CheckpointInfo
from gamestream_dagster.drill import playing
from gamestream_dagster.drill.errors import DrillError
from gamestream_dagster.drill.model import BackBy, JobOutcome
from gamestream_dagster.drill.playing import boards_of, compare_boards
from gamestream_dagster.drill.scenarios import choose
from gamestream_dagster.drill.struck import Struck
from gamestream_dagster.drill.watcher import Look
from gamestream_dagster.drill.witness import Mark, Witness
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState
from gamestream_dagster.reconciliation.model.proof import (
    FaultKind,
    LedgerBalance,
    LedgerFault,
    ReconciliationRun,
    TopicProof,
)
from gamestream_dagster.reconciliation.model.values import Mode, Verdict
from tests.support.fakes.streams import SCORES

JOB = "totals_v1"
AT = 1_800_000_000.0


def checkpoint(number: int, triggered: float) -> CheckpointInfo:
    return CheckpointInfo(number, f"file:/ck/a/chk-{number}", False, True, int(triggered * 1000), int(triggered * 1000))


BEFORE = Mark(JOB, "a", True, checkpoint(7, AT - 3), None, None, 0, 7)


def deployment(generation: int, job_id: str, **changes: Any) -> Deployment:
    running = datetime.fromtimestamp(AT + 20 * generation, UTC)
    made = Deployment(
        f"{JOB}-g{generation}", JOB, generation, "f" * 64, job_id, DeploymentState.RUNNING, "savepoint",
        running_at=running, submitted_at=running, spec={"trigger": "CLUSTER"},
    )  # fmt: skip
    return replace(made, **changes)


class Watched:
    """Looks that were taken."""

    def __init__(self) -> None:
        self.looks = [Look(JOB, AT + 12, False, "ABSENT")]

    def since(self, epoch: float, job: str) -> list[Look]:
        return [look for look in self.looks if look.at >= epoch and look.job == job]


class Scene:
    """One repetition, with everything that is looked at given."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.history = folder, [deployment(1, "a")]
        monkeypatch.setattr(playing.manager, "history", lambda *_: self.history)
        monkeypatch.setattr(playing.manager, "incidents", lambda *_: [])
        self.witness = Witness(flink=None, jobs=[JOB], checkpoints_dir=folder)  # type: ignore[arg-type]
        self.watcher = Watched()
        for number in (5, 6, 7):
            (folder / "a" / f"chk-{number}").mkdir(parents=True)
            (folder / "a" / f"chk-{number}" / "_metadata").touch()

    def chk(self, number: int) -> Path:
        return self.folder / "a" / f"chk-{number}"

    def outcome(
        self, mark: Mark | None, unreadable: frozenset[Path] = frozenset(), began: float | None = None
    ) -> JobOutcome:
        site: Any = type("Site", (), {"settings": None, "jobs": [JOB], "witness": self.witness})()
        site.watcher = self.watcher
        play = playing._Play(site, choose(("jobmanager",))[0], 1, {JOB: BEFORE})
        if mark:
            play.back[JOB] = (AT + 31, mark)
        return play._outcome(JOB, Struck(AT, AT, unreadable=unreadable, began=began), 1)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, monkeypatch)


def again(path: Path | str, job_id: str = "b", restored_id: int = 7) -> Mark:
    return Mark(JOB, job_id, True, checkpoint(9, AT + 30), restored_id, str(path), 1, 1)


def test_a_new_generation_from_the_newest_checkpoint_is_right(scene: Scene) -> None:
    scene.history = [deployment(2, "b"), *scene.history]
    found = scene.outcome(again(scene.chk(7).as_uri()))
    assert (found.back_by, found.restored_from, found.restored_right) == (BackBy.MANAGER, "chk-7", True)
    assert (found.seen_seconds, found.back_seconds, found.twice) == (12, 31, "")


@pytest.mark.parametrize(("number", "right"), [(7, False), (6, True), (5, False)])
def test_with_the_newest_unreadable_the_one_before_is_right(scene: Scene, number: int, right: bool) -> None:
    failed = deployment(2, "x", running_at=None)
    scene.history = [deployment(3, "b"), failed, *scene.history]
    found = scene.outcome(again(scene.chk(number).as_uri()), frozenset({scene.chk(7)}))
    assert (found.restored_right, found.expected, found.twice) == (right, "chk-6", "")


@pytest.mark.parametrize(("restored_id", "right"), [(7, True), (8, True), (6, False)])
def test_what_flink_restores_itself_may_not_be_older_than_what_was_seen(
    scene: Scene, restored_id: int, right: bool
) -> None:
    found = scene.outcome(again(scene.chk(restored_id), "a", restored_id))
    assert (found.back_by, found.restored_right) == (BackBy.FLINK, right)


@pytest.mark.parametrize(
    ("written", "began", "right"),
    [(AT + 5, None, True), (AT - 5, None, False), (AT - 5, AT - 9, True), (AT - 10, AT - 9, False)],
)
def test_a_savepoint_has_to_be_of_after_the_beginning_of_the_fault(
    scene: Scene, written: float, began: float | None, right: bool
) -> None:
    savepoint = scene.folder / "savepoint-1"
    savepoint.mkdir()
    (savepoint / "_metadata").touch()
    os.utime(savepoint / "_metadata", (written, written))
    scene.history = [deployment(2, "b"), replace(scene.history[0], savepoint_path=savepoint.as_uri())]
    found = scene.outcome(again(savepoint.as_uri()), began=began)
    assert (found.restored_from, found.restored_right) == ("savepoint-1", right)
    assert scene.outcome(again(scene.chk(7).as_uri())).restored_right is False


def test_a_job_that_went_on_was_restored_from_nothing(scene: Scene) -> None:
    found = scene.outcome(replace(BEFORE, newest=checkpoint(8, AT + 9)))
    assert (found.back_by, found.restored_right, found.twice) == (BackBy.NOBODY, None, "")


def test_every_sign_of_a_second_submission_counts(scene: Scene) -> None:
    mark = again(scene.chk(7).as_uri())
    scene.history = [deployment(3, "b"), deployment(2, "c"), *scene.history]
    assert "2 generations" in scene.outcome(mark).twice
    scene.witness.ids[JOB] = {"a", "b", "stranger"}
    assert "stranger, which has no record" in scene.outcome(mark).twice
    scene.witness.together[JOB] = "b and c"
    assert "b and c were live" in scene.outcome(mark).twice


def test_a_job_that_is_not_back_tells_why_it_is_parked(scene: Scene) -> None:
    scene.watcher.looks.append(Look(JOB, AT + 40, False, "PARK", parked="its state is gone"))
    found = scene.outcome(None)
    assert (found.back_seconds, found.parked) == (None, "its state is gone")


def test_a_job_that_was_well_again_is_seen_by_its_incident(scene: Scene) -> None:
    well = Look(JOB, AT + 14, True, "RUNNING", incident_since=AT - 400)
    scene.watcher.looks = [well, replace(well, at=AT + 44, incident_since=AT + 5)]
    assert scene.outcome(again(scene.chk(7), "a")).seen_seconds == 44
    scene.watcher.looks = [well]
    assert scene.outcome(again(scene.chk(7), "a")).seen_seconds is None


def test_only_a_checkpoint_after_fault_and_restore_is_a_new_one() -> None:
    assert BEFORE.fresh_checkpoint(AT * 1000) is None
    late = replace(BEFORE, newest=checkpoint(8, AT + 1))
    assert late.fresh_checkpoint(AT * 1000) is not None
    assert replace(late, restored_id=8).fresh_checkpoint(AT * 1000) is None
    assert replace(late, newest=None).fresh_checkpoint(0) is None


def ledger(records: int, *faults: tuple[FaultKind, int]) -> LedgerBalance:
    found = tuple(LedgerFault(kind, "job", 0, 1, 2, count, "") for kind, count in faults)
    return LedgerBalance("user-score", records, records, 0, 0, 0, {}, found)


def drained(balance: LedgerBalance | None) -> ReconciliationRun:
    verdict = Verdict.MATCH if balance else Verdict.COULD_NOT_RUN
    proof = TopicProof("user-score", verdict, "", ledger=balance)
    return ReconciliationRun("r", Mode.DRAINED, verdict, "", datetime.now(UTC), 1.0, (proof,))


@pytest.mark.parametrize(
    ("balance", "sent", "lost", "doubled"),
    [
        (ledger(100), 100, 0, 0),
        (ledger(100), 103, 3, 0),
        (ledger(100), 98, 0, 2),
        (ledger(100, (FaultKind.MISSING, 4)), 100, 4, 0),
        (ledger(100, (FaultKind.TWICE, 5)), 100, 0, 5),
    ],
)
def test_events_are_counted_against_what_was_sent_and_what_the_jobs_counted(
    balance: LedgerBalance, sent: int, lost: int, doubled: int
) -> None:
    run = drained(balance)
    found = boards_of(run, sent, "user-score")
    assert (found.lost, found.doubled) == (lost, doubled)
    assert boards_of(drained(None), sent, "user-score").equal is False


@pytest.mark.parametrize("blind", [0, 2, 3])
def test_boards_that_cannot_be_looked_at_yet_are_looked_at_again(monkeypatch: pytest.MonkeyPatch, blind: int) -> None:
    runs = [replace(drained(None), reason="job is STOPPING")] * blind + [drained(ledger(50))]
    monkeypatch.setattr(playing, "reconcile", lambda *_: runs.pop(0))
    waited: list[int] = []
    site: Any = type(
        "Site", (), {"settings": None, "records_before": 20, "source": SCORES, "say": lambda self, text: None}
    )()
    site.crowd = type("Crowd", (), {"pause": lambda self: 30})()
    site.watcher = type("Watcher", (), {"idle": lambda self: True})()
    site.witness = type("Witness", (), {"wait_checkpoints": lambda self, count, limit: waited.append(count)})()
    if blind == 3:
        with pytest.raises(DrillError, match="could not be compared: job is STOPPING"):
            compare_boards(site)
        return
    found = compare_boards(site)
    assert (found.records, found.sent, found.lost, len(waited)) == (50, 50, 0, blind)
