"""Event times of game events: ISO-8601 with a zone, or milliseconds since 1970."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from gamestream_dagster.catalogue.game_event import EventTimes

_DIGITS: Final = re.compile(r"[0-9]+")
_MAX_DIGITS: Final = 15  # of `latest`
_ISO: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:([Zz])|([+-])([0-9]{2}):([0-9]{2}))?"
)
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - both sides of the difference have no zone
_EXAMPLE: Final = "send it as 2026-01-31T12:00:00Z, or as milliseconds since 1970"


class BadTimeError(ValueError):
    """Not a usable time; the message continues a sentence that begins with the field's name."""


def event_millis(given: str | int, times: EventTimes) -> int:
    """Milliseconds since 1970 of a time as it was sent.

    Raises:
        BadTimeError: it is none, has no zone, or is outside the years in which a game can run.
    """
    if isinstance(given, int):
        return _within(given, times)
    if _DIGITS.fullmatch(given):
        significant = given.lstrip("0") or "0"
        return _within(int(significant) if len(significant) <= _MAX_DIGITS else times.latest + 1, times)
    found = _ISO.fullmatch(given)
    if found is None:
        raise BadTimeError(f"is not a time; {_EXAMPLE}")
    if not found[8] and not found[9]:
        raise BadTimeError("has no zone; add Z for UTC, or an offset such as +02:00")
    millis = _iso_millis(found)
    if not times.earliest <= millis <= times.latest:
        raise BadTimeError("is before 2001 or after 9999; set the sender's clock")
    return millis


def _iso_millis(found: re.Match[str]) -> int:
    try:
        year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
        moment = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001
    except ValueError:
        raise BadTimeError("is not a date and time that exists") from None
    millis = (moment - _EPOCH) // timedelta(milliseconds=1) + int((found[7] or "").ljust(3, "0")[:3])
    if found[8]:
        return millis
    hours, minutes = int(found[10]), int(found[11])
    if hours > 23 or minutes > 59:
        raise BadTimeError("has an offset that does not exist")
    offset = (hours * 60 + minutes) * 60_000
    return millis - offset if found[9] == "+" else millis + offset


def _within(millis: int, times: EventTimes) -> int:
    if millis < times.earliest:
        raise BadTimeError("lies before 2001 as milliseconds; epoch seconds must be multiplied by 1000")
    if millis > times.latest:
        raise BadTimeError("lies after the year 9999 as milliseconds; micro- or nanoseconds must be divided down")
    return millis
