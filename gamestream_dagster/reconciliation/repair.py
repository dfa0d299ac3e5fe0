"""Repair of what was understood: rows that a sink shows although the job wrote others. Never of what nobody explains.

Only causes between the job and the sink can be repaired in the sink: a row that the job itself has wrong would come
back with its next change. The row that is put back is the one that the other sink holds, which is the job's own; and
only if the sink still shows what was looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, cast

import orjson
from confluent_kafka import Producer
from sqlalchemy import ColumnElement, Connection, MetaData, Table, Text, and_, delete, select, update
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import insert

from gamestream_dagster.catalogue.boards import Board, ColumnType
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.reconciliation.causes.witness import KEY, OTHER_IS_WRONG, OTHER_SHOWS, SHOWN
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model.proof import ReconciliationRun
from gamestream_dagster.reconciliation.model.values import Cause, Difference, RecordAt, Row, Sink, SinkRow, Unreadable
from gamestream_dagster.reconciliation.observe.board_topic import BoardTopic, Change, is_whole
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.described_tables import board_table

BEHIND_THE_JOB = frozenset({Cause.SINK_LAG, Cause.STALE_ROW, Cause.EDITED_BY_HAND})
_FLUSH_SECONDS = 20.0


class RepairAction(StrEnum):
    """What is done to one row."""

    UPSERT = "UPSERT"  # put the job's row under its key
    DELETE = "DELETE"  # take the row away


class RepairOutcome(StrEnum):
    """What became of one step."""

    DONE = "DONE"  # the sink shows the job's row
    MOVED_ON = "MOVED_ON"  # the sink no longer shows what was looked at: nothing was done
    NOT_KEPT = "NOT_KEPT"  # the sink took the write and does not show it: a trigger or a rule drops it


@dataclass(frozen=True)
class RepairStep:
    """One row to put right."""

    board: str
    sink: Sink
    rank: int | None
    """None: rows have no ranks, or a record whose key names no row."""
    action: RepairAction
    shown: Row | None
    right: Row | None
    cause: str
    key: Mapping[str, Any] | None = None
    """The key columns; times as milliseconds."""
    record: RecordAt | None = None
    """The newest record of the key, in a board's topic."""

    @property
    def place(self) -> str:
        """Which row, for people: its rank, else its key, else the record that names none."""
        if self.rank is not None:
            return f"#{self.rank}"
        return f"record {self.record}" if self.key is None else " / ".join(map(str, self.key.values()))


@dataclass(frozen=True)
class LeftAlone:
    """A difference that is not repaired, and why."""

    difference: Difference
    why: str


@dataclass(frozen=True)
class RepairPlan:
    """Steps, and what is left alone."""

    steps: tuple[RepairStep, ...]
    left_alone: tuple[LeftAlone, ...]


def plan_repair(run: ReconciliationRun) -> RepairPlan:
    """What can be put right of a run's differences; changes nothing."""
    steps: dict[tuple[object, ...], RepairStep] = {}
    left: list[LeftAlone] = []
    for one in run.differences:
        why = _left_alone(one, run.descriptions[one.board].job)
        if why:
            left.append(LeftAlone(one, why))
        else:
            step = _step(one, ranked=run.descriptions[one.board].ranked)
            where = tuple(step.key.values()) if step.key is not None else (str(step.record),)
            steps.setdefault((one.board, one.sink, *where), step)
    return RepairPlan(tuple(steps.values()), tuple(left))


def _left_alone(difference: Difference, job: str) -> str:
    """Why a difference is not repaired; empty if it is."""
    if difference.unexplained:
        return "nobody knows why it differs: never repaired"
    if not all(BEHIND_THE_JOB.intersection(causes) for causes in difference.alternatives):
        return "the job itself has it so: " + difference.action
    if KEY not in difference.evidence:
        foreign = difference.sink is Sink.KAFKA and "record" in difference.evidence
        return "" if foreign else difference.action
    right = difference.evidence[OTHER_SHOWS]
    if _other_is_wrong(difference, right):
        return f"neither sink holds the job's row: `gamestream jobs apply {job} --replay` writes it again"
    return ""


def _other_is_wrong(difference: Difference, right: Row | None) -> bool:
    """Whether the other sink cannot say what the job wrote."""
    return OTHER_IS_WRONG in difference.evidence or (right is not None and not is_whole(right))


def _step(difference: Difference, *, ranked: bool) -> RepairStep:
    evidence = difference.evidence
    key = cast("Mapping[str, Any] | None", evidence.get(KEY))
    shown, right = evidence.get(SHOWN), evidence.get(OTHER_SHOWS)
    record = shown.record if isinstance(shown, SinkRow) and shown.record else evidence.get("record")
    return RepairStep(
        board=difference.board,
        sink=difference.sink,
        rank=list(key.values())[-1] if key is not None and ranked else difference.rank,
        action=RepairAction.DELETE if right is None else RepairAction.UPSERT,
        shown=shown,
        right=right,
        cause=difference.cause,
        key=key,
        record=record if difference.sink is Sink.KAFKA else None,
    )


def apply_repair(
    settings: Settings, run: ReconciliationRun, plan: RepairPlan, say: Callable[[str], None] = lambda _: None
) -> list[tuple[RepairStep, RepairOutcome]]:
    """Carry out the steps.

    Raises:
        CouldNotLookError: a board's topic cannot be read, or does not take the record.
        ServiceError: Postgres or Kafka gives no answer.
    """
    done: list[tuple[RepairStep, RepairOutcome]] = []
    with open_engine(settings) as engine:
        for step in plan.steps:
            board = run.descriptions[step.board]
            say(f"{step.action.value.lower()} {step.board} {step.place} in {step.sink.value}")
            if step.sink is Sink.POSTGRES:
                with engine.begin() as database:
                    outcome = _in_postgres(database, board, step)
            else:
                outcome = _in_kafka(settings.kafka, board, step)
            done.append((step, outcome))
    return done


def _in_postgres(database: Connection, board: Board, step: RepairStep) -> RepairOutcome:
    """One statement that takes hold only if the row is still the one that was looked at."""
    table = board_table(board, MetaData())
    place = and_(*(table.c[name] == value for name, value in _stored(board, step.key or {}).items()))
    if step.shown is None:
        fresh = insert(table).values(_stored(board, step.right or {})).on_conflict_do_nothing()
        changed = database.execute(fresh).rowcount
    elif step.right is None:
        changed = database.execute(delete(table).where(place, _is_row(board, table, step.shown))).rowcount
    else:
        same = _is_row(board, table, step.shown)
        changed = database.execute(update(table).where(place, same).values(_stored(board, step.right))).rowcount
    count = select(table.c[board.key_columns[-1]]).where(place)
    if step.right is None:
        kept = database.execute(count).first() is None
    else:
        kept = database.execute(count.where(_is_row(board, table, step.right))).first() is not None
    if kept:
        return RepairOutcome.DONE
    unchanged = (
        database.execute(count).first() is None
        if step.shown is None
        else database.execute(count.where(_is_row(board, table, step.shown))).first() is not None
    )
    return RepairOutcome.NOT_KEPT if changed or unchanged else RepairOutcome.MOVED_ON


def _is_row(board: Board, table: Table, row: Row) -> ColumnElement[bool]:
    """The row by all its columns; a value that the driver cannot load is compared as Postgres's own text."""
    stored = _stored(board, row)
    return and_(
        *(
            sql_cast(table.c[name], Text) == value.text
            if isinstance(value, Unreadable)
            else table.c[name].is_not_distinct_from(value)
            for name, value in stored.items()
        )
    )


def _stored(board: Board, row: Mapping[str, Any]) -> dict[str, Any]:
    """Columns as Postgres takes them: milliseconds become times."""
    return {
        name: datetime.fromtimestamp(row[name] / 1000, UTC)
        if column.type is ColumnType.TIMESTAMP and isinstance(row[name], int)
        else row[name]
        for name, column in board.columns.items()
        if name in row
    }


def _in_kafka(kafka: KafkaConnection, board: Board, step: RepairStep) -> RepairOutcome:
    """What the job would have written, after the wrong record; a key that is spelt otherwise gets a tombstone first."""
    newest, own = _newest(kafka, board, step)
    if newest is None or step.record is None or newest.offset != step.record.offset:
        return RepairOutcome.MOVED_ON
    producer = Producer(kafka.options({"enable.idempotence": True}))
    failed: list[str] = []

    def put(key: bytes | None, value: bytes | None) -> None:
        producer.produce(
            board.topic, value, key=key, on_delivery=lambda error, _: failed.append(error.str()) if error else None
        )

    if newest.key != own and newest.value is not None:
        put(newest.key, None)
    if own is not None and (newest.key == own or step.right is not None):
        put(own, None if step.right is None else orjson.dumps(written(board, step.right) | orjson.loads(own)))
    if producer.flush(_FLUSH_SECONDS) or failed:
        reason = failed[0] if failed else f"no answer within {_FLUSH_SECONDS:.0f} s"
        raise CouldNotLookError(f"{board.topic} did not take the record ({reason})", "see `gamestream status`")
    return RepairOutcome.DONE


def _newest(kafka: KafkaConnection, board: Board, step: RepairStep) -> tuple[Change | None, bytes | None]:
    """The newest record of the step's key by value, and the job's own spelling of the key.

    Of a key that names no row: its newest record by its bytes, and None.
    """
    own = None if step.key is None else orjson.dumps(written(board, step.key))
    spelt: bytes | None = None
    newest: Change | None = None
    for change in BoardTopic(kafka, board).changes():
        if change.key is None:
            continue
        if step.key is None:
            same = step.record is not None and change.key == step.record.key
        else:
            same = change.key_of(board) == tuple(step.key.values())
            # The job was there first; where it does not write the key as we would, its first record tells how it does.
            spelt = own if change.key == own else (spelt or change.key) if same else spelt
        if same:
            newest = change
    if board.season_column is None:
        return newest, own
    return newest, spelt


def written(board: Board, row: Mapping[str, Any]) -> Row:
    """Columns as Flink writes them: times as text in UTC."""
    return {
        name: _time_text(row[name]) if column.type is ColumnType.TIMESTAMP and row[name] is not None else row[name]
        for name, column in board.columns.items()
        if name in row
    }


def _time_text(millis: int) -> str:
    at = datetime.fromtimestamp(millis / 1000, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}" + (f".{at.microsecond // 1000:03}" if at.microsecond else "") + "Z"
