"""Id and time of Avro records that have none, by `catalogue.game_rules`; GameJudge.java is the same in Java."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from gamestream_dagster.catalogue.game_event import GameEventType
from gamestream_dagster.events.avro_schemas import HEADER, is_framed

DERIVED_ID: Final = "avro-"
"""Begins the ids of events whose records have none."""

NO_FIELDS: Final[Mapping[str, Any]] = MappingProxyType({})
_HASH_CHARACTERS: Final = 32


def derived_fields(
    event: GameEventType | None, sent: Mapping[str, Any], value: bytes | None, kafka_timestamp: int | None = None
) -> Mapping[str, Any]:
    """What an Avro record lacks and its type derives; without a Kafka timestamp the time is left out.

    Args:
        event: the record's type.
        sent: the fields of its envelope that are not absent.
        value: the record; in JSON nothing is derived.
        kafka_timestamp: milliseconds since 1970.
    """
    if event is None or not event.derives or value is None or not is_framed(value):
        return NO_FIELDS
    found: dict[str, Any] = {}
    lacking = [name for name in event.derives if name not in sent]
    if "event_time" in lacking and kafka_timestamp is not None:
        found["event_time"] = kafka_timestamp
    if "event_id" in lacking:
        after = f"-{kafka_timestamp}" if "event_time" in found else ""
        found["event_id"] = f"{derived_id(event, value)}{after}"
    return found


def derived_id(event: GameEventType, value: bytes) -> str:
    """The id of an Avro record: of the bytes behind the schema's number, which a resent record shares."""
    hashed = hashlib.sha256(event.name.encode() + b"\0" + value[HEADER.size :]).hexdigest()
    return f"{DERIVED_ID}{hashed[:_HASH_CHARACTERS]}"
