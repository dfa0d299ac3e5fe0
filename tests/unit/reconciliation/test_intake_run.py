"""A whole run of the proof of intake over real files, with the servers stood in for: verdict, reason, counts, JSON."""

from __future__ import annotations

import json
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.fates.outputs import INTAKE_JOB, OUTPUT_TOPICS, Fate
from gamestream_dagster.reconciliation.intake import run
from gamestream_dagster.reconciliation.intake.model import FateKind, Held, IntakeProof
from gamestream_dagster.reconciliation.intake.outputs import Outputs
from gamestream_dagster.reconciliation.intake.run import proof_data, reconcile_intake
from gamestream_dagster.reconciliation.model.proof import JobCut
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.reconciliation.observe.job_ledger import COUNTS, JobLedger
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.settings import Settings
from tests.support.intake_model import HORIZON, MINUTE, NOTHING_OVER_HTTP, NOW, Intake, event, some_of_everything


def proven(
    monkeypatch: pytest.MonkeyPatch,
    intake: Intake,
    *,
    low: dict[int, int] | None = None,
    eras: tuple[int, ...] = (),
    hours: float | None = None,
) -> IntakeProof:
    intake.archive()
    ends = {partition: len(records) for partition, records in intake.raw.items()}
    counted = JobLedger()
    for partition, end in ends.items():
        counted.totals[INTAKE_JOB, partition] = dict.fromkeys(COUNTS, 0) | {"records": end, "last_offset": end - 1}
    cut = JobCut(INTAKE_JOB, "f" * 32, "abcd", 7, low or ends)
    seen = Observation({INTAKE_JOB: cut}, ends, {}, counted, "id-1", notes=("somebody set the group",))
    admin = SimpleNamespace(
        kafka=None,
        beginning_offsets=lambda topic: {0: intake.begins.get(topic, 0)},
        end_offsets=lambda topic, **_: ends if topic == RAW_TOPIC else {0: 0},
        offsets_at=lambda topic, _: dict.fromkeys(ends, 8) if topic == RAW_TOPIC else {0: 0},
        describe=lambda _: SimpleNamespace(config={"message.timestamp.type": "LogAppendTime", "retention.ms": "1"}),
    )
    observer = SimpleNamespace(look=lambda boards, sinks, jobs: seen)
    for name, stand_in in {
        "KafkaAdmin": lambda _: admin,
        "BoardObserver": lambda *_: observer,
        "FlinkRest": lambda _: nullcontext(),
        "open_engine": lambda _: nullcontext(),
        "archive_topic": lambda *_, **__: None,
        "read_http_stage": lambda *_: NOTHING_OVER_HTTP,
        "_eras": lambda _: list(eras),
        "Outputs": partial(Outputs, chunks=intake.reading),
    }.items():
        monkeypatch.setattr(run, name, stand_in)
    return reconcile_intake(Settings(home=intake.folder.parent), hours=hours, ledger_minutes=60)


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    return some_of_everything(Settings(home=tmp_path).archive_dir)


def test_a_match_counts_every_record_once(monkeypatch: pytest.MonkeyPatch, intake: Intake) -> None:
    proof = proven(monkeypatch, intake)
    assert (proof.verdict, proof.exit_code, proof.checkpoint_id, proof.topic_id) == (Verdict.MATCH, 0, 7, "id-1")
    assert proof.reason == "every record has its one fate; somebody set the group"
    assert proof.fates == {Fate.ENRICHED: 6, Fate.LATE: 2, Fate.DEAD: 8, Fate.COPY: 2}
    assert {one.topic: one.records for one in proof.outputs} == {
        topic: len(intake.written[fate]) for fate, topic in OUTPUT_TOPICS.items()
    }
    assert (proof.judged, proof.scores, proof.faults, proof.held) == (18, 2, (), {})
    told: dict[str, Any] = json.loads(json.dumps(proof_data(proof)))
    assert (told["verdict"], told["judged"], told["faults"], told["ledger"]["balanced"]) == ("MATCH", 18, [], True)
    assert not list((intake.folder.parent / "tmp").iterdir()), "nothing is left behind"


def test_a_difference_is_counted_and_told(monkeypatch: pytest.MonkeyPatch, intake: Intake) -> None:
    intake.unwrite(Fate.DEAD, (0, 4))
    intake.write(Fate.LATE, b"hello")
    proof = proven(monkeypatch, intake)
    assert (proof.verdict, proof.exit_code) == (Verdict.DIFFERENT, 1)
    assert proof.fault_records == {FateKind.MISSING: 1, FateKind.FOREIGN: 1}
    assert "1 MISSING, 1 FOREIGN: 1 record of p0@4 belong into game-events-dlq" in proof.reason
    assert json.loads(json.dumps(proof_data(proof)))["faults"][0]["kind"] == "MISSING"


def test_what_is_between_the_cuts_is_counted_apart(monkeypatch: pytest.MonkeyPatch, intake: Intake) -> None:
    intake.unwrite(Fate.ENRICHED, (0, 8))
    proof = proven(monkeypatch, intake, low={0: 8, 1: 9})
    assert (proof.verdict, proof.held, proof.judged) == (Verdict.MATCH, {Held.OPEN: 1}, 17)


def test_nothing_judged_is_never_a_match(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = Intake(Settings(home=tmp_path).archive_dir)
    made.take(event("e"))
    made.unwrite(Fate.ENRICHED, (0, 0))
    proof = proven(monkeypatch, made, low={0: 0})
    assert (proof.verdict, proof.exit_code) == (Verdict.COULD_NOT_RUN, 2)
    assert "no record could be judged" in proof.reason


def test_an_accepted_copy_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = Intake(Settings(home=tmp_path).archive_dir)
    made.take(event("again"), NOW)
    made.take(event("again"), NOW + HORIZON, forget=True)
    proof = proven(monkeypatch, made)
    assert (proof.verdict, proof.exit_code) == (Verdict.EXPLAINED, 0)
    assert "1 COUNTED_AGAIN" in proof.reason


def test_a_replay_is_explained_as_long_as_its_records_are_there(
    monkeypatch: pytest.MonkeyPatch, intake: Intake
) -> None:
    for fate, records in intake.written.items():
        intake.written[fate] = [*records, *((record, at + MINUTE) for record, at in records)]
    proof = proven(monkeypatch, intake, eras=(NOW, NOW + MINUTE))
    assert proof.verdict is Verdict.EXPLAINED
    assert [one.superseded for one in proof.outputs] == [6, 2, 8]
    assert "6 records of game-events-enriched are of a run" in proof.reason


def test_the_last_hours_alone(monkeypatch: pytest.MonkeyPatch, intake: Intake) -> None:
    intake.unwrite(Fate.ENRICHED, (0, 0))  # before the window
    proof = proven(monkeypatch, intake, hours=24)
    assert proof.verdict is Verdict.MATCH, proof.reason
    assert proof.judged == 2
    assert proof.since > NOW


def test_a_server_that_does_not_answer_is_no_verdict(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def away(*_: Any) -> Any:
        raise TransientServiceError("Kafka", "no answer", "see `gamestream status`")

    monkeypatch.setattr(run, "KafkaAdmin", away)
    proof = reconcile_intake(Settings(home=tmp_path))
    assert (proof.verdict, proof.reason) == (Verdict.COULD_NOT_RUN, "Kafka: no answer; see `gamestream status`.")
