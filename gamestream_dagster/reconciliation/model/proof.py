"""A reconciliation as a value: the run, its proof for each topic, the cuts of the jobs, the ledgers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.reconciliation.model.values import EXIT_CODES, BoardResult, Difference, Mode, Row, Verdict


@dataclass(frozen=True)
class JobCut:
    """What one job had surely put into its sinks, and how that is known."""

    job: str
    flink_job_id: str
    fingerprint: str
    checkpoint_id: int
    low: Mapping[int, int]
    """Next offset by partition."""
    topic_id: TopicId | None = None
    """The incarnation of the topic that the job's state is of; None: not recorded (deployed by an earlier version)."""
    began: Mapping[int, int] | None = None
    """Oldest offset that the topic held when the job started from nothing, by partition; None: not recorded."""


class FaultKind(StrEnum):
    """In what way the two counters of the ledger disagree, or the archive is not whole."""

    HOLE = "HOLE"  # the archive lacks offsets
    OVERLAP = "OVERLAP"  # the archive has offsets twice
    MISSING = "MISSING"  # a job did not count what the archive holds
    TWICE = "TWICE"  # a job counted more than the archive holds
    EDITED = "EDITED"  # a row of a job's counter is not what the job wrote
    UNLIKE = "UNLIKE"  # the counts differ, and no single run of offsets tells why


@dataclass(frozen=True)
class LedgerFault:
    """One place where the ledger does not add up."""

    kind: FaultKind
    where: str
    """`archive`, or the job that counted."""
    partition: int
    first_offset: int
    last_offset: int
    """The named run of offsets, both included; for `UNLIKE` the span of the minute."""
    records: int
    """How many records are missing or too many."""
    sentence: str
    """For people: names the partition and the offsets."""
    minute: int | None = None
    """Of `EDITED` the row's minute, milliseconds."""
    shown: Row | None = None
    """Of `EDITED` the row as it was found; None: it is gone."""
    right: Row | None = None
    """Of `EDITED` the row as the job must have written it; empty: it wrote none; None: not known."""
    topic: str = ""
    """The topic whose ledger it is of; `balance` fills it in."""


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
    faults: tuple[LedgerFault, ...] = ()
    """Holes, overlaps and counters that disagree."""
    remarks: Mapping[str, int] = field(default_factory=dict[str, int])
    """Accepted records with something to be said, such as UNKNOWN_FIELD."""

    @property
    def balanced(self) -> bool:
        """Every record has one outcome, and nothing is missing or counted twice."""
        parts = self.accepted + self.duplicate + self.late + self.dead_lettered
        return parts == self.records and not self.faults


@dataclass(frozen=True)
class TopicProof:
    """The part of a run about one topic: the boards that are computed from it, at a bracket of its own."""

    topic: str
    verdict: Verdict
    reason: str
    about: tuple[str, ...] = ()
    """Names of the boards that are computed from the topic, whether or not they could be compared."""
    boards: tuple[BoardResult, ...] = ()
    jobs: tuple[JobCut, ...] = ()
    high: Mapping[int, int] = field(default_factory=dict[int, int])
    topic_id: TopicId | None = None
    """The incarnation of the topic that the cuts belong to; None: the broker gives no ids."""
    holds_from: Mapping[int, int] = field(default_factory=dict[int, int])
    """Where the archive begins, by partition; 0 for those left out. The verdict says nothing of what was before."""
    archive_head: str | None = None
    """Digest of the archive's newest entry: it pins every file that was judged by."""
    bracket_events: int = 0
    ledger: LedgerBalance | None = None
    unconfirmed: int = 0
    """Differences of the first look that a later look, after another checkpoint, did not show again."""

    @property
    def looked(self) -> bool:
        """Whether the boards of the topic were compared."""
        return self.verdict is not Verdict.COULD_NOT_RUN


@dataclass(frozen=True)
class ReconciliationRun:
    """One reconciliation, finished: a proof for each topic that its boards are computed from."""

    run_id: str
    mode: Mode
    verdict: Verdict
    reason: str
    started_at: datetime
    seconds: float
    topics: tuple[TopicProof, ...] = ()
    report_path: Path | None = None
    descriptions: Mapping[str, Board] = field(default_factory=dict[str, Board])
    left_out: tuple[str, ...] = ()
    """Outputs that were not compared though nobody chose among them, and why, a sentence for each reason."""

    def proof_of(self, board: str) -> TopicProof:
        """The part of the run that is about a board."""
        return next(one for one in self.topics if board in one.about)

    @property
    def only(self) -> TopicProof:
        """The one proof of a run about boards of one topic."""
        (one,) = self.topics
        return one

    @property
    def boards(self) -> tuple[BoardResult, ...]:
        """What the comparisons found, topic by topic."""
        return tuple(board for one in self.topics for board in one.boards)

    @property
    def jobs(self) -> tuple[JobCut, ...]:
        """The cuts of the jobs; a job that reads several topics has one for each."""
        return tuple(job for one in self.topics for job in one.jobs)

    @property
    def bracket_events(self) -> int:
        """Records between the cuts, over all topics."""
        return sum(one.bracket_events for one in self.topics)

    @property
    def unconfirmed(self) -> int:
        """Differences that a later look did not show again, over all topics."""
        return sum(one.unconfirmed for one in self.topics)

    @property
    def ledgers(self) -> tuple[LedgerBalance, ...]:
        """The ledgers of the topics that have one."""
        return tuple(one.ledger for one in self.topics if one.ledger is not None)

    @property
    def ledger_faults(self) -> tuple[LedgerFault, ...]:
        """What does not add up, in all ledgers."""
        return tuple(fault for one in self.ledgers for fault in one.faults)

    @property
    def balanced(self) -> bool:
        """Whether every topic has a ledger, and each of them adds up."""
        return bool(self.topics) and all(one.ledger is not None and one.ledger.balanced for one in self.topics)

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
        return sum(board.rows_equal for board in self.boards)

    @property
    def rows_unexplained(self) -> int:
        """Rows with a difference whose cause is not known."""
        return len({d.row for d in self.differences if d.unexplained})

    @property
    def exit_code(self) -> int:
        """0 fine, 1 different, 2 could not run."""
        return EXIT_CODES[self.verdict]
