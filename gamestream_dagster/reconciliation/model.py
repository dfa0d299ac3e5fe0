"""The words of a reconciliation as values: verdict, difference, cause, and the run that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from gamestream_dagster.catalogue.boards import Board

Row = dict[str, Any]
"""One row of a board by column: int, str or float; times as milliseconds of the epoch."""

Entity = tuple[str, ...]
"""What a row is about: the values of the board's `entity` columns."""


class Mode(StrEnum):
    """How the cut is bounded."""

    BRACKET = "bracket"  # no pause: the board lies between two cuts
    DRAINED = "drained"  # input has stopped: both cuts are one, every comparison is equality


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
    """Why a difference exists. Causes by counterfactual come with a later version; until then there is one."""

    UNEXPLAINED = "UNEXPLAINED"  # no cause is known: an alarm


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
    cause: Cause = Cause.UNEXPLAINED
    evidence: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def row(self) -> tuple[str, Sink, int | None, Entity | None]:
        """Which row: two differences of one row count as one row that differs."""
        return self.board, self.sink, self.rank, self.entity


@dataclass(frozen=True)
class BoardResult:
    """What the comparison of one board in one sink found."""

    board: str
    sink: Sink
    rows_compared: int
    differences: tuple[Difference, ...]
    as_of: int | None = None
    """Window that was compared, milliseconds; None for a board without a window."""

    @property
    def rows_different(self) -> int:
        """Rows with at least one difference."""
        return len({difference.row for difference in self.differences})


@dataclass(frozen=True)
class JobCut:
    """What one job had surely put into its sinks, and how that is known."""

    job: str
    flink_job_id: str
    fingerprint: str
    checkpoint_id: int
    low: Mapping[int, int]
    """Next offset by partition."""


@dataclass(frozen=True)
class LedgerBalance:
    """The ledger in one line: every record of the topic up to the archive's end, by what became of it."""

    topic: str
    records: int
    accepted: int
    duplicate: int
    late: int
    dead_lettered: int
    reasons: Mapping[str, int]
    faults: tuple[str, ...] = ()
    """Holes, overlaps and counters that disagree, one sentence each, with partition and offsets."""
    remarks: Mapping[str, int] = field(default_factory=dict[str, int])
    """Accepted records with something to be said, such as UNKNOWN_FIELD."""

    @property
    def balanced(self) -> bool:
        """Every record has one outcome, and nothing is missing or counted twice."""
        parts = self.accepted + self.duplicate + self.late + self.dead_lettered
        return parts == self.records and not self.faults


@dataclass(frozen=True)
class ReconciliationRun:
    """One reconciliation, finished."""

    run_id: str
    mode: Mode
    verdict: Verdict
    reason: str
    started_at: datetime
    seconds: float
    boards: tuple[BoardResult, ...] = ()
    jobs: tuple[JobCut, ...] = ()
    high: Mapping[int, int] = field(default_factory=dict[int, int])
    bracket_events: int = 0
    ledger: LedgerBalance | None = None
    unconfirmed: int = 0
    """Differences of the first look that a later look, after another checkpoint, did not show again."""
    report_path: Path | None = None
    descriptions: Mapping[str, Board] = field(default_factory=dict[str, Board])

    @property
    def differences(self) -> tuple[Difference, ...]:
        """All differences, in the order of the boards."""
        return tuple(difference for board in self.boards for difference in board.differences)

    @property
    def rows_compared(self) -> int:
        """Rows of all boards and sinks."""
        return sum(board.rows_compared for board in self.boards)

    @property
    def rows_different(self) -> int:
        """Rows with at least one difference."""
        return sum(board.rows_different for board in self.boards)

    @property
    def rows_equal(self) -> int:
        """Rows that are what the bracket allows."""
        return self.rows_compared - self.rows_different

    @property
    def rows_unexplained(self) -> int:
        """Rows with a difference whose cause is not known."""
        return len({d.row for d in self.differences if d.cause is Cause.UNEXPLAINED})

    @property
    def exit_code(self) -> int:
        """0 fine, 1 different, 2 could not run."""
        return EXIT_CODES[self.verdict]
