"""`reconciliation_runs`, `reconciliation_topics` and `differences`: the store of every run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, cast

import orjson
from sqlalchemy import Engine, func, insert, select

from gamestream_dagster.reconciliation.model.proof import LedgerBalance, ReconciliationRun, TopicProof
from gamestream_dagster.reconciliation.model.values import Difference, RecordAt, Unreadable
from gamestream_dagster.warehouse.tables import differences, reconciliation_runs, reconciliation_topics


@dataclass(frozen=True)
class PastRun:
    """One line of the trend."""

    run_id: str
    started_at: datetime
    mode: str
    verdict: str
    rows_compared: int
    rows_different: int
    bracket_events: int
    seconds: float
    report_path: str | None = None


def save_run(engine: Engine, run: ReconciliationRun) -> None:
    """Store a run with its differences, in one transaction."""
    row: dict[str, Any] = {
        "run_id": run.run_id,
        "started_at": run.started_at,
        "finished_at": run.started_at + timedelta(seconds=run.seconds),
        "mode": run.mode.value,
        "verdict": run.verdict.value,
        "reason": run.reason,
        "job": ", ".join(job.job for job in run.jobs) or None,
        "flink_job_id": ", ".join(job.flink_job_id for job in run.jobs) or None,
        "fingerprint": ", ".join(job.fingerprint for job in run.jobs) or None,
        "checkpoint_id": run.jobs[0].checkpoint_id if run.jobs else None,
        "bracket_events": run.bracket_events,
        "rows_compared": run.rows_compared,
        "rows_equal": run.rows_equal,
        "rows_different": run.rows_different,
        "rows_unexplained": run.rows_unexplained,
        "seconds": run.seconds,
        "report_path": None if run.report_path is None else str(run.report_path),
        "boards": sorted(run.descriptions),
    }
    with engine.begin() as database:
        database.execute(insert(reconciliation_runs).values(row))
        if run.topics:
            database.execute(insert(reconciliation_topics), [_topic(run.run_id, one) for one in run.topics])
        found = [_difference(run.run_id, number, one) for number, one in enumerate(run.differences, start=1)]
        if found:
            database.execute(insert(differences), found)


def _topic(run_id: str, proof: TopicProof) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "topic": proof.topic,
        "verdict": proof.verdict.value,
        "reason": proof.reason,
        "boards": sorted(proof.about),
        "topic_id": proof.topic_id,
        "low_cut": {job.job: _keys(job.low) for job in proof.jobs} or None,
        "high_cut": _keys(proof.high) or None,
        "holds_from": _keys(proof.holds_from),
        "archive_head": proof.archive_head,
        "ledger": None if proof.ledger is None else ledger_data(proof.ledger),
    }


def last_runs(engine: Engine, count: int = 30) -> list[PastRun]:
    """The newest runs, oldest first."""
    runs = reconciliation_runs.c
    # The driver cannot load infinity, which a manual edit may have written.
    shown = select(*(runs[one.name] for one in fields(PastRun))).where(func.isfinite(runs.started_at))
    query = shown.order_by(runs.started_at.desc()).limit(count)
    with engine.connect() as database:
        found = database.execute(query).mappings().all()
    return [
        PastRun(
            run_id=row["run_id"],
            started_at=row["started_at"],
            mode=row["mode"],
            verdict=row["verdict"] or "",
            rows_compared=row["rows_compared"] or 0,
            rows_different=row["rows_different"] or 0,
            bracket_events=row["bracket_events"] or 0,
            seconds=row["seconds"] or 0.0,
            report_path=row["report_path"],
        )
        for row in reversed(found)
    ]


def last_judged(engine: Engine, topic: str, topic_id: str | None) -> tuple[str, datetime, str] | None:
    """The newest run judged by an archive of this topic: its id, its time, and the archive's head then."""
    runs, of_topic = reconciliation_runs.c, reconciliation_topics.c
    query = (
        select(runs.run_id, runs.started_at, of_topic.archive_head)
        .join_from(reconciliation_runs, reconciliation_topics)
        .where(of_topic.topic == topic, of_topic.archive_head > "", of_topic.topic_id.is_not_distinct_from(topic_id))
        .order_by(runs.started_at.desc())
        .limit(1)
    )
    with engine.connect() as database:
        row = database.execute(query).one_or_none()
    return None if row is None else (row.run_id, row.started_at, row.archive_head)


def ledger_data(balance: LedgerBalance) -> dict[str, Any]:
    """The balance as JSON data."""
    return {
        "topic": balance.topic,
        "records": balance.records,
        "accepted": balance.accepted,
        "duplicate": balance.duplicate,
        "late": balance.late,
        "dead_lettered": balance.dead_lettered,
        "reasons": dict(balance.reasons),
        "remarks": dict(balance.remarks),
        "balanced": balance.balanced,
        "faults": [fault.sentence for fault in balance.faults],
    }


def difference_data(difference: Difference) -> dict[str, Any]:
    """A difference as JSON data, under the names of the table's columns."""
    return {
        "board": difference.board,
        "sink": difference.sink.value,
        "rnk": difference.rank,
        "entity": None if difference.entity is None else " / ".join(difference.entity),
        "kind": difference.kind.value,
        "column_name": difference.column,
        "streamed": plain(difference.streamed),
        "recomputed": plain(difference.recomputed),
        "cause": difference.cause,
        "accepted": difference.accepted,
        "explanation": difference.explanation,
        "action": difference.action,
        "evidence": plain(dict(difference.evidence)),
    }


def plain(value: Any) -> Any:
    """JSON data that Postgres can hold: no NUL in texts, no NaN; integers beyond 64 bits as text."""
    if isinstance(value, Unreadable):
        return plain(value.text)
    if isinstance(value, RecordAt):
        return plain(value.evidence())
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, Mapping):
        members = cast("Mapping[Any, Any]", value)
        return {str(key): plain(member) for key, member in members.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(member) for member in cast("Iterable[Any]", value)]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    return orjson.loads(orjson.dumps(value, default=str))


def _difference(run_id: str, number: int, difference: Difference) -> dict[str, Any]:
    data = difference_data(difference)
    data["entity"] = plain(data["entity"])
    return {"run_id": run_id, "difference_id": number, **data, "explanation": plain(data["explanation"])}


def _keys(cut: Mapping[int, int]) -> dict[str, int]:
    return {str(partition): offset for partition, offset in sorted(cut.items())}
