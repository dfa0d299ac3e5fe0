"""What a comparison of live and settled numbers says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from gamestream_dagster.reconciliation.model.values import Verdict


class DayCause(StrEnum):
    """Why a live count of a day differs from the settled one. A cause that live lacks counts below 0."""

    LATE = "LATE"  # came over 10 minutes late: only the settled day counts it
    BACKFILLED = "BACKFILLED"  # put straight into the archive: only the settled day counts it
    DUPLICATE = "DUPLICATE"  # came again after intake had forgotten its id: live counts it twice
    NOT_YET_LIVE = "NOT_YET_LIVE"  # intake has not passed it yet
    BEFORE_LIVE = "BEFORE_LIVE"  # intake passed it before the archive of the enriched events begins
    ERASED = "ERASED"  # of players erased since: live, or the settled day, still counts it
    SINCE_SETTLED = "SINCE_SETTLED"  # archived after the day was settled: its next version counts it
    LOST = "UNEXPLAINED_LOST"  # intake has passed later records, and this one is not in its topic
    FOREIGN = "UNEXPLAINED_FOREIGN"  # in the topic of intake, and no raw record has its id
    LIVE_ROWS = "UNEXPLAINED_LIVE_ROWS"  # the live table is not what the topic gives
    SETTLED_ROWS = "UNEXPLAINED_SETTLED_ROWS"  # the settled table is not what the archive gives

    @property
    def unexplained(self) -> bool:
        """Whether it is an alarm. Each kind has a name of its own, so that two do not cancel each other."""
        return self.value.startswith("UNEXPLAINED")


MEANINGS: Mapping[DayCause, str] = {
    DayCause.LATE: "came over 10 minutes late: only the settled day counts it",
    DayCause.BACKFILLED: "put straight into the archive: only the settled day counts it",
    DayCause.DUPLICATE: "came again after intake had forgotten its id: live counts each",
    DayCause.NOT_YET_LIVE: "intake has not passed it yet",
    DayCause.BEFORE_LIVE: "passed intake before the archive of game-events-enriched begins",
    DayCause.ERASED: "of players who were erased since: live, or the settled day, still counts it",
    DayCause.SINCE_SETTLED: "archived after the day was settled: the next version counts it",
    DayCause.LOST: "not in its topic, though intake has passed later records; see `gamestream reconcile --intake`",
    DayCause.FOREIGN: "in game-events-enriched, and no raw record has its id",
    DayCause.LIVE_ROWS: "the table is not what the topic gives; see `gamestream reconcile`",
    DayCause.SETTLED_ROWS: "the settled table is not what the archive gives; settle the day again",
}


@dataclass(frozen=True)
class ErasedEvents:
    """Events of a day by type whose players were erased since, as far as their counts are kept."""

    live: Mapping[str, int] = field(default_factory=dict[str, int])
    """In game-events-enriched, each record once."""
    settled: Mapping[str, int] = field(default_factory=dict[str, int])
    """In game-events-raw before the day was settled, each id once."""


@dataclass(frozen=True)
class TypeCount:
    """One event type of a day."""

    event_type: str
    live: int
    """Sum of the live minutes of the day."""
    settled: int
    """What the settled day says."""
    causes: Mapping[DayCause, int] = field(default_factory=dict[DayCause, int])
    """Events by cause; they add up to `live - settled`."""

    @property
    def difference(self) -> int:
        """How many more events live counts."""
        return self.live - self.settled


@dataclass(frozen=True)
class DayProof:
    """Live against settled for one day."""

    day: date
    verdict: Verdict
    reason: str
    version: int | None = None
    """Settlement version of the day."""
    types: tuple[TypeCount, ...] = ()
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """As of every reconciliation: 0 match or explained, 1 different, 2 could not run."""
        return {Verdict.DIFFERENT: 1, Verdict.COULD_NOT_RUN: 2}.get(self.verdict, 0)
