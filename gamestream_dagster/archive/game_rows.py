"""Game events to archive rows, by the judge of the game events.

An accepted event has its normal form: the fields of the envelope, `properties` as canonical JSON, `digest` and `late`.
A refused one has the reason, the path of the `field`, and those fields of its envelope that are good by themselves, so
that it can be found by its id.

The address of a player is not archived. An accepted event that was sent with one is kept without its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gamestream_dagster.catalogue.game_event import GameCatalogue
from gamestream_dagster.catalogue.sources import HEADERS_COLUMN
from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent, GameRefused
from gamestream_dagster.events.rule import Row

WITHHELD = "withheld"
"""Beside the columns: whether the record's bytes are left out."""

_OTHER_NAMES = {"event_time": "event_time_millis"}
_NOT_AS_IT_IS = {"reason", "field", HEADERS_COLUMN, WITHHELD}  # headers are no part of the value


def game_rows(
    catalogue: GameCatalogue, columns: Sequence[str], registry: Registry | None = None
) -> Callable[[bytes | None, int], Sequence[Row]]:
    """From a record's value and Kafka timestamp to its one row.

    Args:
        catalogue: whose events they are.
        columns: what a row holds, in order.
        registry: of the schemas of Avro records; None: these are refused.
    """
    judge = GameEventJudge(catalogue, registry)
    take = _picker(columns)

    def rows(value: bytes | None, kafka_timestamp: int) -> Sequence[Row]:
        outcome = judge.judge(value, kafka_timestamp)
        if isinstance(outcome, GameEvent):
            return (take(outcome),)
        return (_refused_row(outcome, judge.good_fields(value), columns),)

    return rows


def _picker(columns: Sequence[str]) -> Callable[[GameEvent], Row]:
    places = {name: place for place, name in enumerate(GameEvent._fields)}
    address, nothing, withheld = places["ip_address"], len(places), len(places) + 1
    wanted = [
        withheld if column == WITHHELD else nothing if column in _NOT_AS_IT_IS else places[column] for column in columns
    ]

    def row(event: GameEvent) -> Row:
        values = (*event, None, event[address] is not None)
        return tuple([values[place] for place in wanted])

    return row


def _refused_row(outcome: GameRefused, fields: dict[str, Any], columns: Sequence[str]) -> Row:
    values = {_OTHER_NAMES.get(name, name): value for name, value in fields.items()}
    values |= {"reason": outcome.reason.value, "field": outcome.field, WITHHELD: False}
    return tuple([values.get(column) for column in columns])
