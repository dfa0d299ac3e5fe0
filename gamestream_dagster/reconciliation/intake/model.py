"""The words of the proof of intake as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.fates.http_ledger import Counts
from gamestream_dagster.fates.outputs import Fate
from gamestream_dagster.reconciliation.model.values import EXIT_CODES, Cause, Verdict

_LAST_MILLIS = 253_402_300_799_999  # of the year 9999


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


@dataclass
class IntakeMinute:
    """What the stages counted of one minute: of the API's clock for HTTP, of Kafka's for all else."""

    minute: int
    """Milliseconds since 1970."""
    http: Counts = field(default_factory=Counts)
    bearing: int = 0
    """Records of the raw topic that bear a header of the API, by the minute in which it received them."""
    raw: int = 0
    enriched: int = 0
    late: int = 0
    dead: int = 0
    copies: int = 0
    open: int = 0
    """Records whose fate is not known yet, or no longer."""
    job: int | None = None
    """What intake itself counted; None: it may still be at it."""
    scores: int = 0
    """Enriched production scores."""
    faults: list[str] = field(default_factory=list[str])

    @property
    def settled(self) -> int:
        """Records with a fate, and those that are left out."""
        return self.enriched + self.late + self.dead + self.copies + self.open


@dataclass(frozen=True)
class IntakeLedger:
    """The ledger since a minute."""

    since: int
    minutes: Sequence[IntakeMinute]

    @property
    def faults(self) -> list[str]:
        """A sentence, with its minute, on everything that does not add up."""
        return [f"{clock(one.minute)}: {fault}" for one in self.minutes for fault in one.faults]

    @property
    def balanced(self) -> bool:
        """Whether every stage adds up in every minute."""
        return not any(one.faults for one in self.minutes)


@dataclass(frozen=True)
class IntakeProof:
    """The result of one reconciliation of intake."""

    verdict: Verdict
    reason: str
    started_at: datetime
    seconds: float = 0.0
    since: int = 0
    """Kafka time of the first records that are judged, milliseconds; 0: all of them."""
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
    ledger: IntakeLedger | None = None
    """The stages of the last minutes; None where nobody could look."""

    @property
    def judged(self) -> int:
        """Positions whose fate was compared."""
        return sum(self.fates.values())

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return EXIT_CODES[self.verdict]


def clock(millis: int) -> str:
    """A minute for people; a producer's clock can give times that no calendar has."""
    if not 0 <= millis <= _LAST_MILLIS:
        return f"{millis} ms"
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
