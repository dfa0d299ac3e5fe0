"""Why products disagree about the retention of one player: their definitions of day N, applied to the same events.

Sources: Unity (staff in the Analytics forum): calendar days from midnight UTC. PlayFab (New User Retention report): day
0 is the day of registration, and a player is retained who comes on the N-th day after it. Amplitude (How time works in
retention analysis): by default windows of 24 hours from the first event, times rounded down to the hour. PostHog
(`TimeWindowMode`): by default calendar dates, in the project's time zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path

import duckdb

from gamestream_dagster.metrics.errors import MetricError
from gamestream_dagster.metrics.settle import metrics_dir
from gamestream_dagster.metrics.store import open_store
from gamestream_dagster.settings import Settings

DAY_NUMBERS = (1, 3, 7, 14, 30)
OURS = "gamestream"
EVENTS = "events"
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Answer:
    """What one product says about one day number."""

    product: str
    day_n: int
    begins: datetime
    """Of day N, UTC."""
    ends: datetime
    """Not part of it."""
    event: datetime | None
    """The player's first event in it."""
    known: bool
    """The whole day lies before the end of the last settled day."""

    @property
    def retained(self) -> bool | None:
        """None: not known yet."""
        return True if self.event is not None else False if self.known else None


@dataclass(frozen=True)
class Explained:
    """The retention of one player by each product."""

    player: str
    installed_at: datetime
    known_until: datetime
    answers: tuple[Answer, ...]

    def differing(self, day_n: int) -> list[Answer]:
        """The answers about a day number that are not ours."""
        about = [one for one in self.answers if one.day_n == day_n]
        ours = next(one for one in about if one.product == OURS)
        return [one for one in about if one.retained != ours.retained]


def explained(player: str, times: Sequence[datetime], known_until: datetime, zone: tzinfo = UTC) -> Explained:
    """Each product's answer. Pure.

    Args:
        player: whose events they are.
        times: of all events of the player, UTC; at least one.
        known_until: end of the last settled day.
        zone: of the PostHog project.
    """
    ordered = sorted(times)
    first = ordered[0]
    hour = first.replace(minute=0, second=0, microsecond=0)
    answers: list[Answer] = []
    for day_n in DAY_NUMBERS:
        calendar = _calendar_day(first, day_n, UTC)
        windows = {
            OURS: calendar,
            "Unity": calendar,
            "PlayFab": calendar,
            "Amplitude": (hour + day_n * _DAY, hour + (day_n + 1) * _DAY),
            "PostHog": _calendar_day(first, day_n, zone),
        }
        for product, (begins, ends) in windows.items():
            event = next((at for at in ordered if begins <= at < ends), None)
            answers.append(Answer(product, day_n, begins, ends, event, ends <= known_until))
    return Explained(player, first, known_until, tuple(answers))


def _calendar_day(first: datetime, day_n: int, zone: tzinfo) -> tuple[datetime, datetime]:
    day = first.astimezone(zone).date() + day_n * _DAY
    return _midnight(day, zone), _midnight(day + _DAY, zone)


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def explain_retention(settings: Settings, player: str, zone: tzinfo = UTC) -> Explained:
    """The retention of a player, by the settled events.

    Raises:
        MetricError: nothing is settled, or no settled day has an event of the player.
    """
    with open_store(settings) as store:
        settled = store.newest([EVENTS])
    if not settled:
        raise MetricError("No day of events is settled", "run `gamestream metrics backfill --from DAY --to DAY`")
    last = max(one.day for one in settled)
    times = _times(player, [metrics_dir(settings) / one.file for one in settled])
    if not times:
        raise MetricError(
            f"No settled day has an event of the player {player!r}",
            "see `gamestream metrics list` for the settled days",
        )
    return explained(player, times, _midnight(last + _DAY, UTC), zone)


def _times(player: str, files: Sequence[Path]) -> list[datetime]:
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise MetricError(f"{missing[0]} is gone", "settle that day again with `gamestream metrics backfill`")
    with duckdb.connect(":memory:", config={"memory_limit": "512MiB", "threads": 2}) as database:
        rows = database.execute(
            'SELECT "timestamp" FROM read_parquet($paths, hive_partitioning = false) WHERE user_id = $player',
            {"paths": [str(path) for path in files], "player": player},
        ).fetchall()
    return [at.replace(tzinfo=UTC) for (at,) in rows]
