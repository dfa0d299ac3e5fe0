"""The words of the proof of intake as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.fates.outputs import Fate
from gamestream_dagster.reconciliation.model.values import EXIT_CODES, Cause, Verdict


class FateKind(StrEnum):
    """In what way the outputs of intake are not what the archive's judgement gives."""

    MISSING = "MISSING"  # no output holds a record that intake had read
    DOUBLED = "DOUBLED"  # a record, or a copy of it, is in the outputs more than once
    WRONG_PLACE = "WRONG_PLACE"  # a record is in another output than the one where it belongs
    WRONG_CONTENT = "WRONG_CONTENT"  # a record is where it belongs with another digest, reason or other bytes
    COUNTED_AGAIN = "COUNTED_AGAIN"  # a copy was written after the job had forgotten its id
    FOREIGN = "FOREIGN"  # a record of an output that is about no raw record, or that the job cannot have written
    SCORE_MISSING = "SCORE_MISSING"  # an enriched score is not in the boards' topic
    SCORE_DOUBLED = "SCORE_DOUBLED"  # an enriched score is in the boards' topic more often than it was enriched
    SCORE_CONTENT = "SCORE_CONTENT"  # a score in the boards' topic has another team or other points


class Held(StrEnum):
    """Why a position was not judged."""

    OPEN = "open"  # intake had not surely read it, or it came after the cut
    PAST = "past"  # its output no longer keeps records of that time, or the archive begins later


@dataclass(frozen=True)
class FateFault:
    """A run of positions with the same fault."""

    kind: FateKind
    partition: int
    """Of the raw topic; of a FOREIGN record that cannot be read, of the output."""
    first_offset: int
    last_offset: int
    records: int
    expected: Fate | None
    """What the archive says; None: the archive has no such record."""
    cause: Cause
    accepted: bool
    """The policy accepts the cause."""
    held_in: Sequence[str]
    """The first output records of the run, such as `game-events-late p0@17`."""
    sentence: str


@dataclass(frozen=True)
class OutputRead:
    """What was read of one output."""

    topic: str
    records: int
    unreadable: int
    """Records that the job cannot have written."""
    superseded: int
    """Records of an earlier run of the job, which was then told to read everything again."""
    whole_since: int
    """Kafka time, milliseconds, from which on the output keeps every record; 0: from its beginning."""


@dataclass(frozen=True)
class IntakeProof:
    """The result of one reconciliation of intake."""

    verdict: Verdict
    reason: str
    started_at: datetime
    seconds: float = 0.0
    low: Mapping[int, int] = field(default_factory=dict[int, int])
    """Next offset by partition up to which every record must have its fate."""
    high: Mapping[int, int] = field(default_factory=dict[int, int])
    topic_id: TopicId | None = None
    checkpoint_id: int = 0
    fates: Mapping[Fate, int] = field(default_factory=dict[Fate, int])
    """Judged positions by the archive's judgement. Their sum and `held` is every record before the high cut."""
    held: Mapping[Held, int] = field(default_factory=dict[Held, int])
    """Positions that were not judged."""
    scores: int = 0
    """Enriched production scores that were looked for in the boards' topic."""
    outputs: Sequence[OutputRead] = ()
    faults: Sequence[FateFault] = ()
    """The first runs, by kind and position."""
    fault_records: Mapping[FateKind, int] = field(default_factory=dict[FateKind, int])
    """Positions with each fault, also those beyond the first runs."""
    holds_from: Mapping[int, int] = field(default_factory=dict[int, int])
    """Where the archive begins, by partition; 0 for those left out."""

    @property
    def judged(self) -> int:
        """Positions whose fate was compared."""
        return sum(self.fates.values())

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return EXIT_CODES[self.verdict]
