"""Edits that a person makes in the sinks of the boards: each names the ranks that it makes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from confluent_kafka import Producer
from sqlalchemy import text

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.reconciliation.model.values import Sink
from gamestream_dagster.reconciliation.observe.sinks import read_topic
from gamestream_dagster.reconciliation.repair import written
from gamestream_dagster.settings import Settings


@dataclass(frozen=True)
class HandEdit:
    """One edit of one board in one sink."""

    board: str
    sink: Sink
    ranks: frozenset[int]
    """Ranks that are wrong afterwards."""
    make: Callable[[Settings], None]


def update(board: str, change: str, *ranks: int) -> HandEdit:
    """An UPDATE of rows in Postgres. `change`: the SET clause."""
    listed = ", ".join(map(str, ranks))
    return _sql(board, ranks, f"UPDATE {board} SET {change} WHERE rnk IN ({listed})")


def swap(board: str, first: int, second: int) -> HandEdit:
    """Two rows of Postgres exchange their ranks."""
    return _sql(
        board,
        (first, second),
        f"UPDATE {board} SET rnk = -1 WHERE rnk = {first}",
        f"UPDATE {board} SET rnk = {first} WHERE rnk = {second}",
        f"UPDATE {board} SET rnk = {second} WHERE rnk = -1",
    )


def remove(board: str, rank: int) -> HandEdit:
    """A row is deleted in Postgres."""
    return _sql(board, (rank,), f"DELETE FROM {board} WHERE rnk = {rank}")


def add(board: str, like: int, rank: int) -> HandEdit:
    """A row is inserted in Postgres: a copy of the row at `like`, at another rank."""
    columns = [name for name in load_boards()[board].columns if name != "rnk"]
    listed = ", ".join(columns)
    return _sql(
        board, (rank,), f"INSERT INTO {board} (rnk, {listed}) SELECT {rank}, {listed} FROM {board} WHERE rnk = {like}"
    )


def record(board: str, rank: int, change: Mapping[str, Any], like: int | None = None) -> HandEdit:
    """A foreign record in the board's topic: the present row, or that of the rank `like`, with other values."""

    def make(settings: Settings) -> None:
        described = load_boards()[board]
        shown = {one[described.rank_column]: one for one in read_topic(settings.kafka, described)}
        row = shown[like or rank]
        _produce(settings, described.topic, {"rnk": rank}, {**written(described, row), **change})

    return HandEdit(board, Sink.KAFKA, frozenset({rank}), make)


def tombstone(board: str, rank: int) -> HandEdit:
    """A foreign tombstone in the board's topic."""
    return HandEdit(
        board,
        Sink.KAFKA,
        frozenset({rank}),
        lambda settings: _produce(settings, load_boards()[board].topic, {"rnk": rank}, None),
    )


def _sql(board: str, ranks: tuple[int, ...], *statements: str) -> HandEdit:
    def make(settings: Settings) -> None:
        with open_engine(settings) as engine, engine.begin() as database:
            for statement in statements:
                assert database.execute(text(statement)).rowcount, statement

    return HandEdit(board, Sink.POSTGRES, frozenset(ranks), make)


def _produce(settings: Settings, topic: str, key: Mapping[str, Any], value: Mapping[str, Any] | None) -> None:
    producer = Producer(settings.kafka.options())
    producer.produce(topic, None if value is None else orjson.dumps(value), key=orjson.dumps(key))
    assert producer.flush(20) == 0
