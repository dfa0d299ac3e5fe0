"""The words of a reconciliation as values: verdict, difference, cause, and what a comparison found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

Row = dict[str, Any]
"""One row of a board by column: int, str or finite float; times as milliseconds of the epoch.

A value that the column's type does not allow is an `Unreadable`.
"""


class Unreadable:
    """A value that a sink holds and that the job cannot have written: `infinity`, `NaN`, a text in place of a number.

    Args:
        text: the value as the sink writes it: Postgres's own text, or JSON.
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unreadable) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class RecordAt:
    """Where a record of a board's topic is."""

    topic: str
    partition: int
    offset: int
    key: bytes | None

    def evidence(self) -> dict[str, Any]:
        """As plain JSON data."""
        key = None if self.key is None else self.key.decode("utf-8", errors="backslashreplace")
        return {"topic": self.topic, "partition": self.partition, "offset": self.offset, "key": key}

    def __str__(self) -> str:
        return f"{self.topic} p{self.partition}@{self.offset}"


class SinkRow(dict[str, Any]):
    """A `Row` that knows where it stands in its sink. Two rows are equal if their columns are."""

    record: RecordAt | None = None
    """The record that holds it, in a board's topic."""
    age: int | None = None
    """Transactions since the row was last written, in Postgres; comparable within one snapshot only."""


Entity = tuple[str, ...]
"""What a row is about: the values of the board's `entity` columns."""


class Mode(StrEnum):
    """How the cut is bounded."""

    BRACKET = "bracket"  # no pause: the board lies between two cuts
    DRAINED = "drained"  # input has stopped: both cuts are one, every comparison is equality
    SAVEPOINT = "savepoint"  # the jobs stop with a savepoint and go on afterwards: equality at their own cut
    TRANSACTIONAL = "transactional"  # the Kafka boards as readers with read_committed see them


class Sink(StrEnum):
    """Where a streamed board is read."""

    POSTGRES = "postgres"  # the table that the JDBC sink upserts
    KAFKA = "kafka"  # the compacted topic, read with read_committed


class Verdict(StrEnum):
    """What a run says."""

    MATCH = "MATCH"  # every row is what the bracket allows
    EXPLAINED = "EXPLAINED"  # rows differ, each by a cause that the policy accepts
    DIFFERENT = "DIFFERENT"  # at least one difference that nothing excuses
    COULD_NOT_RUN = "COULD_NOT_RUN"  # nothing was compared: never the same as fine


EXIT_CODES: Mapping[Verdict, int] = {
    Verdict.MATCH: 0,
    Verdict.EXPLAINED: 0,
    Verdict.DIFFERENT: 1,
    Verdict.COULD_NOT_RUN: 2,
}


class DifferenceKind(StrEnum):
    """In what way a row is outside what the bracket allows."""

    VALUE = "VALUE"  # a column holds a value that no cut in the bracket gives
    RANK = "RANK"  # the rows are right, their order is not
    MISSING = "MISSING"  # an entity, or a rank, that must be on the board is not
    EXTRA = "EXTRA"  # a row that cannot be on the board
    STALE = "STALE"  # the board stands at an older window than the input implies


class Cause(StrEnum):
    """Why a difference exists: what has to be supposed so that the recompute gives what the sink shows."""

    SINK_LAG = "SINK_LAG"  # the sink shows what the job wrote earlier
    LATE = "LATE"  # events came behind the watermark, and a window no longer took them
    CLOCK_AHEAD = "CLOCK_AHEAD"  # a record's Kafka time was ahead of the clock, and the watermark with it
    DUPLICATE = "DUPLICATE"  # events were counted twice
    DUP_CONFLICT = (
        "DUP_CONFLICT"  # a record counted whose id another record with other content carries, which is the first
    )
    DEAD_LETTERED = "DEAD_LETTERED"  # the job counted what validation refuses, or refused what it accepts
    MISSING_EVENTS = "MISSING_EVENTS"  # a run of offsets was never counted
    STATE_EXPIRED = "STATE_EXPIRED"  # a total restarted after an idle gap
    OVERFLOW = "OVERFLOW"  # a total wrapped at 32 bits
    TIE_ORDER = "TIE_ORDER"  # same values, other order
    STALE_ROW = "STALE_ROW"  # a row that should have been deleted
    RESTORED_FROM_OLD_STATE = "RESTORED_FROM_OLD_STATE"  # a deployment went on from less than the best state
    ERASED = "ERASED"  # the row counts records of erased players, or names one: it is older than the erase
    EDITED_BY_HAND = "EDITED_BY_HAND"  # what this sink shows was never a result, and the other sink is right
    UNEXPLAINED = "UNEXPLAINED"  # none of these: an alarm


Causes = tuple[Cause, ...]
"""Causes that together make one difference, in the order of `Cause`."""


@dataclass(frozen=True)
class Difference:
    """One way in which one row differs."""

    board: str
    sink: Sink
    kind: DifferenceKind
    rank: int | None
    entity: Entity | None
    column: str | None
    streamed: Any
    recomputed: Any
    """The value, or what would be allowed, as plain JSON data."""
    explanation: str
    """In what way the row is outside what the input allows."""
    alternatives: tuple[Causes, ...] = ()
    """Each is a smallest set of causes that gives what the sink shows; more than one: they cannot be told apart."""
    accepted: bool = False
    """The policy accepts every alternative."""
    action: str = ""
    """What to do about it."""
    evidence: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """`events` (the first that carry the cause) and `events_total`, beside what the cause itself has to say."""

    @property
    def cause(self) -> str:
        """`LATE`, `DUPLICATE + LATE` (both together), `LATE or DUPLICATE` (either), or `UNEXPLAINED`."""
        told = [" + ".join(causes) for causes in self.alternatives]
        return " or ".join(told) or Cause.UNEXPLAINED.value

    @property
    def unexplained(self) -> bool:
        """No cause was found."""
        return not self.alternatives

    @property
    def season(self) -> int | None:
        """Start of the season that the row belongs to, milliseconds, if its board has seasons."""
        return self.evidence.get("season")

    @property
    def row(self) -> tuple[object, ...]:
        """Which row: two differences at one rank count as one row that differs.

        What has no rank is told apart by its entity and record.
        """
        where = self.board, self.sink, self.season or self.evidence.get("stands_in")
        if self.rank is not None:
            return *where, self.rank
        return *where, self.kind is DifferenceKind.STALE, self.entity, str(self.evidence.get("record"))


def without_a_rank(differences: Iterable[Difference]) -> int:
    """How many rows that differ have no rank: absent entities, foreign records, a board that stands still."""
    return len({one.row for one in differences if one.rank is None})


@dataclass(frozen=True)
class BoardResult:
    """What the comparison of one board in one sink found."""

    board: str
    sink: Sink
    rows_compared: int
    """Ranks that the sink shows or should show, and each row that differs without having one (`compared`)."""
    differences: tuple[Difference, ...]
    as_of: int | None = None
    """Window that was compared, milliseconds; None for a board without a window."""
    ranked: bool = True
    """Whether the rows have ranks; without ranks the keys that the sink shows or should show are the rows compared."""

    @property
    def rows_different(self) -> int:
        """Rows with at least one difference."""
        return len({difference.row for difference in self.differences})

    @property
    def rows_equal(self) -> int:
        """Rows that are what the bracket allows: those compared, less those that differ."""
        return self.rows_compared - self.rows_different

    def with_differences(self, differences: Sequence[Difference]) -> BoardResult:
        """The same comparison with other differences; the counts still add up."""
        if not self.ranked:
            return replace(self, differences=tuple(differences))
        places = self.rows_compared - without_a_rank(self.differences)
        return replace(self, rows_compared=places + without_a_rank(differences), differences=tuple(differences))
