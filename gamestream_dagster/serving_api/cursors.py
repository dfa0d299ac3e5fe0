"""Cursors of pages: which view of a board a page is of, and where the next page begins."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass

import orjson

from gamestream_dagster.http_server.errors import RequestRefusedError, bad_request

_MOST_CHARACTERS = 400


@dataclass(frozen=True)
class Cursor:
    """A place in a view."""

    view_id: str
    place: int
    """Of the first row of the next page, from 0."""

    def __str__(self) -> str:
        return urlsafe_b64encode(orjson.dumps([1, self.view_id, self.place])).decode().rstrip("=")


def parse_cursor(text: str) -> Cursor:
    """The cursor of an earlier answer.

    Raises:
        RequestRefusedError: 400, the text is none.
    """
    try:
        found = orjson.loads(urlsafe_b64decode(text[:_MOST_CHARACTERS] + "=" * (-len(text) % 4)))
    except (ValueError, Base64Error):
        found = None
    match found:
        case [1, str(view_id), int(place)] if place >= 0 and not isinstance(place, bool):
            return Cursor(view_id, place)
        case _:
            raise bad_request(
                "BAD_CURSOR", "The cursor is none of ours; send `next` of the page before as it is, or leave it out."
            )


def expired() -> RequestRefusedError:
    """410: the view of a cursor is no longer held."""
    return RequestRefusedError(
        410, "CURSOR_EXPIRED", "The list that the cursor is of is no longer held; ask for its first page again."
    )
