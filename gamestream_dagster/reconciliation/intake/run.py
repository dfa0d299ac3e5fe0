"""One reconciliation of intake: look, archive, read the outputs, judge."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import Engine

from gamestream_dagster.archive.errors import ArchiveError
from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.catalogue.sources import source_named, stack_sources
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.fates.outputs import INTAKE_JOB, OUTPUT_TOPICS, SCORES_TOPIC, Fate
from gamestream_dagster.flink_jobs.record.deployment_store import PostgresDeploymentStore
from gamestream_dagster.reconciliation.causes.policy import load_policy
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.intake.archived import JudgedIntake
from gamestream_dagster.reconciliation.intake.findings import faults_of
from gamestream_dagster.reconciliation.intake.model import FateFault, FateKind, Held, IntakeProof, OutputRead
from gamestream_dagster.reconciliation.intake.outputs import Outputs
from gamestream_dagster.reconciliation.model.cut import shown
from gamestream_dagster.reconciliation.model.values import Sink, Verdict
from gamestream_dagster.reconciliation.observe.boards import BoardObserver, Limits
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.settings import Settings

_DEPLOYMENTS = 10_000
_STAMPED_BY_BROKER = "LogAppendTime"
_REASONS_TOLD = 3

Say = Callable[[str], None]


def reconcile_intake(settings: Settings, *, limits: Limits | None = None, say: Say = lambda _: None) -> IntakeProof:
    """Compare the outputs of intake with the archive's own judgement of the raw topic, record by record.

    Every record before the low cut must have its one fate; what came between the cuts may have it.

    Args:
        settings: the stack.
        limits: how long to wait for what.
        say: told what is being done, a few words at a time.

    Returns:
        The proof. Where it could not look, its verdict and reason say so.
    """
    started_at, started = datetime.now(UTC), time.monotonic()
    try:
        proof = _proven(settings, limits or Limits(), IntakeProof(Verdict.COULD_NOT_RUN, "", started_at), say)
    except (CouldNotLookError, ArchiveError, ServiceError) as error:
        proof = IntakeProof(Verdict.COULD_NOT_RUN, str(error), started_at)
    return replace(proof, seconds=time.monotonic() - started)


def _proven(settings: Settings, limits: Limits, proof: IntakeProof, say: Say) -> IntakeProof:
    sources = stack_sources(settings)
    raw, scores = source_named(RAW_TOPIC, sources), source_named(SCORES_TOPIC, sources)
    admin = KafkaAdmin(settings.kafka)
    say("checkpoint")
    with open_engine(settings) as engine, FlinkRest(settings.flink_rest) as flink:
        observer = BoardObserver(engine, flink, admin, RAW_TOPIC, limits)
        # with the Kafka sink the second checkpoint bears out that the transactions of the first are committed
        seen = observer.look((), (Sink.KAFKA,), (INTAKE_JOB,))
        eras = _eras(engine)
    cut = seen.jobs[INTAKE_JOB]
    ends = {topic: admin.end_offsets(topic) for topic in OUTPUT_TOPICS.values()}
    say("archive")
    archive_topic(settings, raw, seen.high, topic_id=seen.topic_id)
    archive_topic(settings, scores)
    with JudgedIntake(settings.archive_dir / RAW_TOPIC, raw, settings.home / "tmp" / "intake") as archived:
        outputs = Outputs(archived.database, admin, ends, eras, _not_before(archived, admin))
        read: list[OutputRead] = []
        for fate, topic in OUTPUT_TOPICS.items():
            say(f"reading {topic}")
            read.append(outputs.read(fate))
        say("judging")
        archived.bound(cut.low, seen.high, admin.end_offsets(RAW_TOPIC))
        again = archived.superseded() if len(eras) > 1 else {}
        archived.judge()
        looked_for = archived.judge_scores(settings.archive_dir / SCORES_TOPIC, len(eras))
        faults = faults_of(archived, outputs.unreadable, seen.counted, load_policy())
        proof = _counted(proof, archived, sum(one.unreadable for one in read))
        holds_from = dict(archived.chapter.begins)
    proof = replace(
        proof,
        low=cut.low,
        high=seen.high,
        topic_id=seen.topic_id,
        checkpoint_id=cut.checkpoint_id,
        scores=looked_for,
        outputs=tuple(replace(one, superseded=again.get(one.topic, 0)) for one in read),
        faults=tuple(faults),
        holds_from=holds_from,
    )
    return replace(proof, verdict=_verdict(proof), reason=_reason(proof, seen))


def _eras(engine: Engine) -> list[int]:
    """When the job began to read from the beginning, milliseconds: after each, it writes everything again."""
    history = PostgresDeploymentStore(engine).history(INTAKE_JOB, _DEPLOYMENTS)
    return sorted(
        int(one.submitted_at.timestamp() * 1000)
        for one in history
        if one.restore_path is None and one.submitted_at is not None
    )


def _not_before(archived: JudgedIntake, admin: KafkaAdmin) -> int:
    """Before this time the outputs are about a raw topic that is gone; 0 where it was never created anew."""
    if archived.chapters < 2:
        return 0
    described = admin.describe(RAW_TOPIC)
    by_broker = described is not None and described.config.get("message.timestamp.type") == _STAMPED_BY_BROKER
    return archived.oldest if by_broker else 0


def _counted(proof: IntakeProof, archived: JudgedIntake, unreadable: int) -> IntakeProof:
    fates: Counter[Fate] = Counter()
    held: Counter[Held] = Counter()
    wrong: Counter[FateKind] = Counter()
    for row in archived.counts():
        verdict, records = row["verdict"], row["records"]
        if verdict in ("OPEN", "PAST"):
            if row["fate"] is not None:  # an output record beyond the cut is no record of it
                held[Held[verdict]] += records
            continue
        if row["fate"] is not None:
            fates[Fate(row["fate"])] += records
        if verdict != "OK":
            wrong[FateKind(verdict)] += records
    for verdict, records in archived.score_counts().items():
        if verdict != "OK":
            wrong[FateKind(verdict)] += records
    if unreadable:
        wrong[FateKind.FOREIGN] += unreadable
    return replace(proof, fates=dict(fates), held=dict(held), fault_records=dict(wrong))


def _verdict(proof: IntakeProof) -> Verdict:
    if not proof.judged and proof.held:
        return Verdict.COULD_NOT_RUN
    if sum(proof.fault_records.values()) > sum(one.records for one in proof.faults if one.accepted):
        return Verdict.DIFFERENT
    again = any(one.superseded for one in proof.outputs)
    return Verdict.EXPLAINED if proof.faults or again else Verdict.MATCH


def _reason(proof: IntakeProof, seen: Observation) -> str:
    told: list[str] = []
    if not proof.judged and proof.held:
        told.append("no record could be judged: intake has not read them, or its outputs no longer keep them")
    elif proof.fault_records:
        kinds = ", ".join(f"{records:,} {kind.value}" for kind, records in proof.fault_records.items())
        told.append(f"{kinds}: {_first(proof.faults)}")
    else:
        told.append("every record has its one fate")
    for one in proof.outputs:
        if one.superseded:
            told.append(
                f"{one.superseded:,} records of {one.topic} are of a run of {INTAKE_JOB} before it was told to read "
                "everything again; whoever adds up that topic counts them twice"
            )
    if proof.holds_from:
        told.append(f"the archive begins at {shown(proof.holds_from)}, and nothing is said of what was before")
    return "; ".join((*told, *seen.notes))


def _first(faults: Sequence[FateFault]) -> str:
    more = len(faults) - _REASONS_TOLD
    told = [f"{one.sentence} [{one.cause.value}]" for one in faults[:_REASONS_TOLD]]
    return "; ".join([*told, *([f"and {more} more runs"] if more > 0 else [])])


def proof_data(proof: IntakeProof) -> Mapping[str, object]:
    """The proof as JSON data."""
    return {
        "verdict": proof.verdict.value,
        "reason": proof.reason,
        "started_at": proof.started_at.isoformat(),
        "seconds": round(proof.seconds, 3),
        "topic": RAW_TOPIC,
        "topic_id": proof.topic_id,
        "checkpoint_id": proof.checkpoint_id,
        "low": {str(partition): offset for partition, offset in sorted(proof.low.items())},
        "high": {str(partition): offset for partition, offset in sorted(proof.high.items())},
        "holds_from": {str(partition): offset for partition, offset in sorted(proof.holds_from.items())},
        "judged": proof.judged,
        "fates": {fate.value: proof.fates.get(fate, 0) for fate in Fate},
        "not_judged": {why.value: proof.held.get(why, 0) for why in Held},
        "scores": proof.scores,
        "outputs": [one.__dict__ for one in proof.outputs],
        "fault_records": {kind.value: records for kind, records in proof.fault_records.items()},
        "faults": [_fault_data(one) for one in proof.faults],
    }


def _fault_data(one: FateFault) -> dict[str, object]:
    return {
        "kind": one.kind.value,
        "cause": one.cause.value,
        "accepted": one.accepted,
        "partition": one.partition,
        "first_offset": one.first_offset,
        "last_offset": one.last_offset,
        "records": one.records,
        "expected": None if one.expected is None else one.expected.value,
        "held_in": list(one.held_in),
        "sentence": one.sentence,
    }
