"""Records of the topics that `event_intake_v1` writes, and the record of the raw topic that each of them is about."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson

from gamestream_dagster.catalogue.topics import RAW_TOPIC


class Fate(StrEnum):
    """What intake makes of one record of the raw topic."""

    ENRICHED = "enriched"  # accepted and counted
    LATE = "late"  # accepted, more than 10 minutes behind
    DEAD = "dead"  # refused, or an id that came before with other content
    COPY = "copy"  # an event that came before: written nowhere


OUTPUT_TOPICS: Final[Mapping[Fate, str]] = {
    Fate.ENRICHED: "game-events-enriched",
    Fate.LATE: "game-events-late",
    Fate.DEAD: "game-events-dlq",
}
"""Where intake writes the records of each fate. Copies are written nowhere."""

SCORES_TOPIC: Final = "user-score"
INTAKE_JOB: Final = "event_intake_v1"


class Written(NamedTuple):
    """What one output record says about its raw record."""

    partition: int
    """Of the raw topic."""
    offset: int
    mark: str
    """Digest of an accepted event; reason of a dead letter."""
    content: str | None
    """MD5 of a dead letter's bytes in hex digits; None for an accepted event and for a tombstone."""


def written(fate: Fate, value: bytes | None) -> Written | None:
    """Decode an output record.

    Args:
        fate: of the topic that holds the record.
        value: the record's value.

    Returns:
        None for a record that the job cannot have written.
    """
    try:
        found: Any = orjson.loads(value or b"")
        if fate is not Fate.DEAD:
            return Written(_whole(found["raw_partition"]), _whole(found["raw_offset"]), _text(found["digest"]), None)
        if found["source_topic"] != RAW_TOPIC:
            return None
        payload = _payload(found)
        content = None if payload is None else hashlib.md5(payload, usedforsecurity=False).hexdigest()
        place = _whole(found["source_partition"]), _whole(found["source_offset"])
        return Written(*place, _text(found["reason"]), content)
    except (ValueError, KeyError, TypeError, IndexError, binascii.Error):
        return None


def _payload(found: Mapping[str, Any]) -> bytes | None:
    encoded, text = found.get("content_base64"), found.get("content")
    if encoded is not None:
        return base64.b64decode(_text(encoded), validate=True)
    return None if text is None else _text(text).encode()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise TypeError("not a position")
    return value
