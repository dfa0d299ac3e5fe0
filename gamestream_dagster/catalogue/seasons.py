"""Seasons: stretches of event time, in UTC, in each of which the boards of a season begin anew."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.settings import Season

_HOUR = 3_600_000
_DAY = 24 * _HOUR

LENGTHS: dict[Season, int] = {Season.HOURLY: _HOUR, Season.DAILY: _DAY, Season.WEEKLY: 7 * _DAY}
"""Milliseconds. Every season of a kind is as long as any other: UTC has no summer time."""

# 1970-01-01 was a Thursday, three days into a week that began on Monday.
_SHIFTS: dict[Season, int] = {Season.WEEKLY: 3 * _DAY}


class SeasonError(GamestreamError, ValueError):
    """A text names no season; the message says what would."""


@dataclass(frozen=True)
class SeasonSpan:
    """One season: from its start, which is its id, up to its end; milliseconds of event time."""

    start: int
    end: int

    @property
    def label(self) -> str:
        """`2026-11-21`, or `2026-11-21T14:00:00Z` where the season does not begin at midnight."""
        at = datetime.fromtimestamp(self.start / 1000, UTC)
        return f"{at:%Y-%m-%d}" if self.start % _DAY == 0 else f"{at:%Y-%m-%dT%H:%M:%SZ}"


def length_millis(season: Season) -> int:
    """How long every season of a kind is; that of a day where no seasons are kept."""
    return LENGTHS.get(season, _DAY)


def shift_millis(season: Season) -> int:
    """What is added to a time so that seasons begin at multiples of their length."""
    return _SHIFTS.get(season, 0)


def season_at(season: Season, millis: int) -> SeasonSpan:
    """The season that a time belongs to.

    Raises:
        SeasonError: no seasons are kept.
    """
    if season is Season.NONE:
        raise SeasonError("No seasons are kept: set `season` to hourly, daily or weekly.")
    start = millis - (millis + shift_millis(season)) % length_millis(season)
    return SeasonSpan(start, start + length_millis(season))


def season_named(season: Season, text: str) -> SeasonSpan:
    """The season that begins at a date, or at a date and hour in UTC.

    Raises:
        SeasonError: it is no time, or no season begins then; names the one that the time belongs to.
    """
    try:
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        millis = round(at.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise SeasonError(
            f"{text!r} is not a season; write its start, such as 2026-11-21 or 2026-11-21T14:00Z."
        ) from error
    found = season_at(season, millis)
    if found.start != millis:
        raise SeasonError(f"No {season.value} season begins at {text}; that time belongs to {found.label}.")
    return found
