"""What a comparison of live and settled numbers says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

from gamestream_dagster.reconciliation.model.values import Verdict

Number = int | Decimal


class DayCause(StrEnum):
    """Why a live number of a day differs from the settled one. Of a count, a cause that live lacks is below 0."""

    LATE = "LATE"  # came over 10 minutes late: only the settled day counts it
    BACKFILLED = "BACKFILLED"  # put straight into the archive: only the settled day counts it
    DUPLICATE = "DUPLICATE"  # came again after intake had forgotten its id: live counts it twice
    NOT_YET_LIVE = "NOT_YET_LIVE"  # intake has not passed it yet
    BEFORE_LIVE = "BEFORE_LIVE"  # intake passed it before the archive of the enriched events begins
    ERASED = "ERASED"  # of players erased since: live, or the settled day, still counts it
    SINCE_SETTLED = "SINCE_SETTLED"  # archived after the day was settled: its next version counts it
    LOST = "UNEXPLAINED_LOST"  # intake has passed later records, and this one is not in its topic
    FOREIGN = "UNEXPLAINED_FOREIGN"  # in the topic of intake, and no raw record has its id
    CHANGED = "UNEXPLAINED_CHANGED"  # one record counts otherwise in the topic of intake than in the raw topic
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
    DayCause.CHANGED: "counts otherwise in game-events-enriched than raw; see `gamestream reconcile --intake`",
    DayCause.LIVE_ROWS: "the table is not what the topic gives; see `gamestream reconcile`",
    DayCause.SETTLED_ROWS: "the settled table is not what the archive gives; settle the day again",
}


@dataclass(frozen=True)
class LiveNumber:
    """One number of a settled day, beside what was streamed."""

    metric: str
    column: str
    output: str
    group: tuple[str, ...]
    """Values of what both are told apart by; empty for a number of the whole day."""
    live: Number
    """Sum over the rows of the day, in the unit of the settled column."""
    settled: Number
    causes: Mapping[DayCause, Number] = field(default_factory=dict[DayCause, Number])
    """What each cause accounts for; together `difference`."""

    @property
    def difference(self) -> Number:
        """How much more live says."""
        return self.live - self.settled

    @property
    def name(self) -> str:
        """Column and group, such as `events of level_start`."""
        return f"{self.column} of {', '.join(self.group)}" if self.group else self.column


@dataclass(frozen=True)
class DayProof:
    """Live against settled for one day."""

    day: date
    verdict: Verdict
    reason: str
    versions: Mapping[str, int] = field(default_factory=dict[str, int])
    """Settlement version of the day by compared metric."""
    numbers: tuple[LiveNumber, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    """Why an output was not compared, by its name."""
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """As of every reconciliation: 0 match or explained, 1 different, 2 could not run."""
        return {Verdict.DIFFERENT: 1, Verdict.COULD_NOT_RUN: 2}.get(self.verdict, 0)
