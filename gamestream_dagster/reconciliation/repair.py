"""Repair of what was understood: rows that a sink shows although the job wrote others. Never of what nobody explains.

Only causes between the job and the sink can be repaired in the sink: a row that the job itself has wrong would come
back with its next change. The row that is put back is the one that the other sink holds, which is the job's own; and
only if the sink still shows what was looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson
from confluent_kafka import Producer
from sqlalchemy import ColumnElement, Connection, MetaData, Table, and_, delete, update
from sqlalchemy.dialects.postgresql import insert

from gamestream_dagster.catalogue.boards import Board, ColumnType
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.reconciliation.board_topic import BoardTopic, Change
from gamestream_dagster.reconciliation.causes.witness import OTHER_SHOWS, SHOWN
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model import Cause, Difference, ReconciliationRun, Row, Sink
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import board_table

BEHIND_THE_JOB = frozenset({Cause.SINK_LAG, Cause.STALE_ROW, Cause.EDITED_BY_HAND})
_FLUSH_SECONDS = 20.0


class RepairAction(StrEnum):
    """What is done to one row."""

    UPSERT = "UPSERT"  # put the job's row at its rank
    DELETE = "DELETE"  # take the row away


class RepairOutcome(StrEnum):
    """What became of one step."""

    DONE = "DONE"  # the sink shows the job's row
    MOVED_ON = "MOVED_ON"  # the sink no longer shows what was looked at: nothing was done


@dataclass(frozen=True)
class RepairStep:
    """One row to put right."""

    board: str
    sink: Sink
    rank: int
    action: RepairAction
    shown: Row | None
    right: Row | None
    cause: str


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
    steps: dict[tuple[str, Sink, int], RepairStep] = {}
    left: list[LeftAlone] = []
    for one in run.differences:
        if one.unexplained:
            left.append(LeftAlone(one, "nobody knows why it differs: never repaired"))
        elif run.descriptions[one.board].season_column is not None:
            left.append(LeftAlone(one, "rows of a season are not repaired: " + one.action))
        elif one.rank is None or OTHER_SHOWS not in one.evidence:
            left.append(LeftAlone(one, one.action))
        elif not all(BEHIND_THE_JOB.intersection(causes) for causes in one.alternatives):
            left.append(LeftAlone(one, "the job itself may have it so: " + one.action))
        else:
            shown, right = one.evidence[SHOWN], one.evidence[OTHER_SHOWS]
            action = RepairAction.DELETE if right is None else RepairAction.UPSERT
            steps.setdefault(
                (one.board, one.sink, one.rank),
                RepairStep(one.board, one.sink, one.rank, action, shown, right, one.cause),
            )
    return RepairPlan(tuple(steps.values()), tuple(left))


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
            say(f"{step.action.value.lower()} {step.board} #{step.rank} in {step.sink.value}")
            if step.sink is Sink.POSTGRES:
                with engine.begin() as database:
                    changed = _in_postgres(database, board, step)
            else:
                changed = _in_kafka(settings.kafka, board, step)
            done.append((step, RepairOutcome.DONE if changed else RepairOutcome.MOVED_ON))
    return done


def _in_postgres(database: Connection, board: Board, step: RepairStep) -> bool:
    """One statement that takes hold only if the row is still the one that was looked at."""
    table = board_table(board, MetaData())
    if step.shown is None:
        fresh = insert(table).values(_stored(board, step.right or {})).on_conflict_do_nothing()
        return bool(database.execute(fresh).rowcount)
    same = _is_row(table, _stored(board, step.shown))
    if step.right is None:
        return bool(database.execute(delete(table).where(same)).rowcount)
    return bool(database.execute(update(table).where(same).values(_stored(board, step.right))).rowcount)


def _is_row(table: Table, row: Mapping[str, Any]) -> ColumnElement[bool]:
    return and_(*(table.c[name].is_not_distinct_from(value) for name, value in row.items()))


def _stored(board: Board, row: Row) -> dict[str, Any]:
    """The row as Postgres takes it: milliseconds become times."""
    return {
        name: datetime.fromtimestamp(row[name] / 1000, UTC)
        if column.type is ColumnType.TIMESTAMP and row[name] is not None
        else row[name]
        for name, column in board.columns.items()
    }


def _in_kafka(bootstrap: str, board: Board, step: RepairStep) -> bool:
    """A record with the row's own key after the wrong one, as the job would write it."""
    newest = _newest(bootstrap, board, step.rank)
    shown = None if newest is None or newest.value is None else newest.row(board)
    if shown != step.shown:
        return False
    key = newest.key if newest is not None else orjson.dumps({board.rank_column: step.rank})
    value = None if step.right is None else orjson.dumps(_written(board, step.right))
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "log_level": 2})
    failed: list[str] = []
    producer.produce(
        board.topic, value, key=key, on_delivery=lambda error, _: failed.append(error.str()) if error else None
    )
    if producer.flush(_FLUSH_SECONDS) or failed:
        reason = failed[0] if failed else f"no answer within {_FLUSH_SECONDS:.0f} s"
        raise CouldNotLookError(f"{board.topic} did not take the record ({reason})", "see `gamestream status`")
    return True


def _newest(bootstrap: str, board: Board, rank: int) -> Change | None:
    newest: Change | None = None
    for change in BoardTopic(bootstrap, board).changes():
        key: Sequence[Any] | Mapping[str, Any] = orjson.loads(change.key)
        if isinstance(key, Mapping) and key.get(board.rank_column) == rank:
            newest = change
    return newest


def _written(board: Board, row: Row) -> Row:
    """The row as Flink writes it: times as text in UTC."""
    return {
        name: f"{datetime.fromtimestamp(row[name] / 1000, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + "Z"
        if column.type is ColumnType.TIMESTAMP and row[name] is not None
        else row[name]
        for name, column in board.columns.items()
    }
