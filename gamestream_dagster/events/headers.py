"""Headers that gamestream gives to records of the raw topic, and their form in the archive.

The archive keeps these headers alone: nothing reads others, and those of a foreign producer can hold addresses and ids
that an archive without addresses must not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

APP_HEADER: Final = "gamestream-app"
KEY_HEADER: Final = "gamestream-key-id"
RECEIVED_HEADER: Final = "gamestream-received-ms"
GEO_HEADER: Final = "gamestream-geo-version"
"""Of an event whose country the API has looked up: the version of the table."""
ATTEMPT_HEADER: Final = "gamestream-attempt"
REPLAY_OF_HEADER: Final = "gamestream-replay-of"

ARCHIVED: Final = (APP_HEADER, KEY_HEADER, RECEIVED_HEADER, GEO_HEADER, ATTEMPT_HEADER, REPLAY_OF_HEADER)
"""Headers that the archive keeps, in this order."""

MAX_HEADER_BYTES: Final = 200
"""A longer value is not one of ours, and is left out."""


def headers_text(headers: Mapping[str, bytes | None]) -> str | None:
    """The archived form of a record's headers: a JSON object of texts; None without any.

    A value that is empty, longer than `MAX_HEADER_BYTES`, or no printable UTF-8 is left out: any producer can send one.
    """
    if not headers:
        return None
    found: dict[str, str] = {}
    for name in ARCHIVED:
        value = headers.get(name)
        if value and len(value) <= MAX_HEADER_BYTES:
            text = value.decode("utf-8", errors="replace")
            if text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text:
                found[name] = text
    return orjson.dumps(found).decode() if found else None


def archived_headers(text: str | None) -> Mapping[str, bytes | None]:
    """The headers in an archived form."""
    found: dict[str, str] = orjson.loads(text) if text else {}
    return {name: value.encode() for name, value in found.items()}
