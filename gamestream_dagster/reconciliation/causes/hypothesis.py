"""What may be supposed about an entity's events: pure values, and the families in which they are tried.

What a job counted wrongly is taken from its own count (cells.py). Where that leaves a choice between a few records,
each selection is a guess of its own, marked as chosen: it is a cause only if no other one of its size or smaller fits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, product
from typing import Any

from gamestream_dagster.reconciliation.causes.cells import Cell, Cells, Place, place_of
from gamestream_dagster.reconciliation.model.values import Cause, Causes
from gamestream_dagster.reconciliation.recompute.events_at import Position

MOST_STEPS = 12
"""Members of a family at most: a long list of guesses would hit upon any number."""

MOST_CHOICES = 64
"""Selections of records that are tried at most; where there are more, no cause is named."""

MOST_LATE = 6
"""Late events of one entity of which each selection is tried; of more only those that were late enough."""

_SLICE_MS = 5_000
_WRAP = 1 << 32
_INT_MAX = (1 << 31) - 1


@dataclass(frozen=True)
class Candidate:
    """An event of an entity that a cause could be about."""

    position: Position
    kafka_timestamp: int
    event_time_millis: int | None
    score: int | None
    event_id: str | None
    reason: str | None
    remark: str | None
    copy: bool
    since_previous: int | None
    late_by: int | None
    conflict: bool = False
    """A copy whose content is not that of the first record."""
    first: Position | None = None
    """Of a copy the record that counts."""
    counts_here: bool = True
    """The event lies in the window of the board, if that has one."""

    @property
    def place(self) -> Place:
        """The minute in which a job counts it."""
        return place_of(self.position, self.kafka_timestamp)

    def evidence(self, topic: str) -> dict[str, Any]:
        """The event as JSON data for people."""
        partition, offset, _ = self.position
        told: dict[str, Any] = {
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "event_id": self.event_id,
            "score": self.score,
            "event_time_millis": self.event_time_millis,
            "kafka_timestamp": self.kafka_timestamp,
            "reason": self.reason,
            "copy_after_ms": self.since_previous if self.copy else None,
            "copy_of": None if self.first is None else f"p{self.first[0]}@{self.first[1]}",
            "behind_ms": self.late_by,
        }
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True)
class Hypothesis:
    """One guess about one entity: what the job left out, and what it counted beyond the truth."""

    causes: Causes
    removed: tuple[Candidate, ...] = ()
    added: tuple[Candidate, ...] = ()
    wrapped: bool = False
    """The sums wrapped at 32 bits."""
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the cause has to say beside the events."""
    chosen: bool = False
    """The evidence allows other selections too: it must be the only one of its size or smaller that fits."""
    borne_out: bool = True
    """The job's own count bears it out. Otherwise it is no cause, however well it fits, but a possibility."""

    def joined(self, other: Hypothesis) -> Hypothesis:
        """Both at once."""
        return Hypothesis(
            in_order({*self.causes, *other.causes}),
            tuple(dict.fromkeys((*self.removed, *other.removed))),
            tuple(dict.fromkeys((*self.added, *other.added))),
            self.wrapped or other.wrapped,
            {**self.facts, **other.facts},
            self.chosen or other.chosen,
            self.borne_out and other.borne_out,
        )

    @property
    def events(self) -> tuple[Candidate, ...]:
        """The events that carry it."""
        return (*self.removed, *self.added)

    @property
    def story(self) -> tuple[object, ...]:
        """What it says to people: the same of two selections between which nothing but the position tells."""
        return tuple(
            tuple(sorted((one.event_id or "" if one.copy else "", one.score or 0, _slice(one)) for one in part))
            for part in (self.removed, self.added)
        )


def in_order(causes: Iterable[Cause]) -> Causes:
    """Causes in the order in which they are told."""
    found = set(causes)
    return tuple(cause for cause in Cause if cause in found)


def _slice(one: Candidate) -> int:
    return (one.event_time_millis or 0) // _SLICE_MS


Families = Mapping[Cause, Sequence[Hypothesis]]
"""By cause the guesses about one entity; the chosen ones smallest first."""


def duplicates(candidates: Iterable[Candidate], cells: Cells, delay_millis: int | None) -> list[Hypothesis]:
    """Copies counted again, as many as the job's own count of their minutes lacks among the dropped ones.

    Args:
        candidates: the entity's records.
        cells: what the job counted.
        delay_millis: how long the board's window waits for late events; None: it has no window.
    """
    copies = [one for one in candidates if one.copy and one.counts_here and not _swapped(one, cells)]
    found = [
        Hypothesis(
            in_order(Cause.DUP_CONFLICT if one.conflict else Cause.DUPLICATE for one in members),
            added=members,
            facts={"copies_at_least_ms_apart": min(one.since_previous or 0 for one in members)},
            chosen=chosen,
            borne_out=all(_is_told(one, cells) for one in members),
        )
        for members, chosen in _selections(copies, cells, _copies_counted)
    ]
    if delay_millis is None:
        return found
    # A window may have dropped as late what the job had let through.
    known = {one.added for one in found}
    in_time = [
        replace(one, added=members, chosen=True)
        for one in found
        if (members := tuple(event for event in one.added if (event.late_by or 0) <= delay_millis))
        and members not in known
    ]
    return sorted(found + in_time, key=lambda one: len(one.added))


def _is_told(one: Candidate, cells: Cells) -> bool:
    cell = cells.of(one.position, one.kafka_timestamp)
    return cell is not None and cell.dropped is not None


def conflicts(candidates: Sequence[Candidate], cells: Cells) -> list[Hypothesis]:
    """Ids with other content in two partitions, where the job counted another record than the first by Kafka's time.

    The job's own count says so: it dropped a first record of one minute and counted a copy of the other.
    """
    firsts = {one.position: one for one in candidates if not one.copy}
    swaps = [one for one in candidates if one.conflict and _swapped(one, cells)]
    if len(swaps) > MOST_LATE:
        return []
    found: list[Hypothesis] = []
    for size in range(1, len(swaps) + 1):
        for members in combinations(swaps, size):
            removed = tuple(firsts[one.first] for one in members if one.first in firsts)
            if len({one.first for one in members}) == size:
                found.append(
                    Hypothesis(
                        (Cause.DUP_CONFLICT,),
                        tuple(one for one in removed if one.counts_here),
                        tuple(one for one in members if one.counts_here),
                        facts={
                            "counted_in_place_of": [f"p{one.first[0]}@{one.first[1]}" for one in members if one.first]
                        },
                        chosen=True,
                    )
                )
    return found


def _swapped(one: Candidate, cells: Cells) -> bool:
    """Whether the job's count bears out that it counted a copy in place of a first record of another partition."""
    mine = cells.of(one.position, one.kafka_timestamp)
    if one.first is None or one.first[0] == one.position[0] or mine is None or mine.most_again <= 0:
        return False
    return any(
        place[0] == one.first[0] and one.first[1] < cell.upto and cell.again < 0 and not cell.unsettled
        for place, cell in cells.known.items()
    )


def late(candidates: Iterable[Candidate], delay_millis: int) -> list[Hypothesis]:
    """Events dropped because they were behind the watermark, smallest selection first.

    How far the watermark had come hangs on the other partitions too: of a few any may have been in time.
    """
    behind = [
        one
        for one in candidates
        if one.reason is None and not one.copy and one.counts_here and (one.late_by or 0) > delay_millis
    ]
    found = {
        members: Hypothesis((Cause.LATE,), removed=members, facts={"behind_at_least_ms": least}, chosen=len(behind) > 1)
        for least, members in _at_least(behind, lambda one: one.late_by or 0)
    }
    if len(behind) <= MOST_LATE:
        others = [members for size in range(1, len(behind) + 1) for members in combinations(behind, size)]
        found = {members: Hypothesis((Cause.LATE,), removed=members, chosen=True) for members in others} | found
    return sorted(found.values(), key=lambda one: len(one.removed))


def dead_lettered(candidates: Sequence[Candidate], cells: Cells) -> list[Hypothesis]:
    """Refused events counted, or accepted ones with a remark refused, as many as the job's own count says."""
    refused = [one for one in candidates if one.reason is not None and one.score is not None and one.counts_here]
    added = _by_word(refused, cells, lambda one: one.reason or "", lambda cell: (cell.refused_counted, cell.reasons))
    remarked = [one for one in candidates if one.reason is None and not one.copy and one.remark and one.counts_here]
    removed = _by_word(
        remarked, cells, lambda one: one.remark or "", lambda cell: (-cell.refused_counted, cell.remarks)
    )
    counted = [
        Hypothesis(
            (Cause.DEAD_LETTERED,),
            added=members,
            facts={"counted_in_spite_of": sorted({one.reason or "" for one in members})},
            chosen=chosen,
        )
        for members, chosen in added
    ]
    return counted + [
        Hypothesis(
            (Cause.DEAD_LETTERED,),
            removed=members,
            facts={"refused_for": sorted({one.remark or "" for one in members})},
            chosen=chosen,
        )
        for members, chosen in removed
    ]


Selection = tuple[tuple[Candidate, ...], bool]
"""Records, and whether the evidence allows other selections."""


def _by_word(
    events: Sequence[Candidate],
    cells: Cells,
    word: Callable[[Candidate], str],
    tally: Callable[[Cell], tuple[int, Mapping[str, int]]],
) -> list[Selection]:
    """Selections by reason or remark whose numbers are those of the minutes; else by single records."""
    known = [one for one in events if cells.of(one.position, one.kafka_timestamp) is not None]
    here = [cell for place in {one.place for one in known} if (cell := cells.known.get(place)) is not None]
    tallies = [tally(cell) for cell in here]
    words = sorted({name for _, by_word in tallies for name in by_word})[:MOST_LATE]
    fitting = {
        tuple(one for one in known if word(one) in chosen)
        for size in range(len(words) + 1)
        for chosen in combinations(words, size)
        if all(sum(by_word.get(name, 0) for name in chosen) == max(0, number) for number, by_word in tallies)
    }
    if fitting:
        return [(members, len(fitting) > 1) for members in sorted(fitting, key=len) if members]

    def bounds(cell: Cell) -> tuple[int, int, int]:
        number, by_word = tally(cell)
        every = sum(by_word.values())
        return min(max(0, number), every), min(max(0, number), every), every

    return _selections(known, cells, bounds)


def _copies_counted(cell: Cell) -> tuple[int, int, int]:
    return max(0, min(cell.copies, cell.again)), cell.most_again, cell.copies


def _selections(
    events: Sequence[Candidate], cells: Cells, bounds: Callable[[Cell], tuple[int, int, int]]
) -> list[Selection]:
    """The selections of an entity's records that the job's count allows, smallest first; none where they are too many.

    Args:
        events: the records; those of which the job tells nothing are in no selection.
        cells: the job's count.
        bounds: of a minute the least and the greatest number that was selected, and how many there are of everybody's.
    """
    by_cell: dict[Place, list[Candidate]] = defaultdict(list)
    for one in events:
        if cells.of(one.position, one.kafka_timestamp) is not None:
            by_cell[one.place].append(one)
    parts: list[list[tuple[Candidate, ...]]] = []
    choices = 1
    for place, mine in by_cell.items():
        least, most, every = bounds(cells.known[place])
        fewest, largest = max(0, least - (every - len(mine))), min(len(mine), most)
        part: list[tuple[Candidate, ...]] = []
        for size in range(fewest, largest + 1):
            for members in combinations(mine, size):
                part.append(members)
                if len(part) * choices > MOST_CHOICES:
                    return []
        choices *= max(1, len(part))
        parts.append(part or [()])
    found = [tuple(one for members in chosen for one in members) for chosen in product(*parts)]
    return [(members, len(found) > 1) for members in sorted(found, key=len) if members]


def overflow() -> list[Hypothesis]:
    """The sums wrapped."""
    return [Hypothesis((Cause.OVERFLOW,), wrapped=True, facts={"greatest_32_bit_value": _INT_MAX})]


def pairs(families: Families) -> list[Hypothesis]:
    """Every two guesses of different causes; no pair of two causes that leave too many choices."""
    causes = [cause for cause in Cause if families.get(cause)]
    found: list[Hypothesis] = []
    for place, first in enumerate(causes):
        for second in causes[place + 1 :]:
            members = [a.joined(b) for a, b in product(families[first], families[second])]
            if len(members) <= MOST_CHOICES:
                found += sorted(members, key=lambda one: len(one.events))
    return found


def unwrapped(value: Any, low: int, high: int) -> int | None:
    """What a 32-bit sum stood for, if its range explains it: the value plus a whole number of wraps."""
    if not isinstance(value, int) or not -_INT_MAX - 1 <= value <= _INT_MAX or high <= _INT_MAX or high - low >= _WRAP:
        return None
    wraps = -((value - low) // _WRAP)
    meant = value + wraps * _WRAP
    return meant if wraps > 0 and low <= meant <= high else None


def _at_least(
    events: Sequence[Candidate], measure: Callable[[Candidate], int]
) -> list[tuple[int, tuple[Candidate, ...]]]:
    """The events whose measure reaches a bound, for each bound that makes a difference, the least first."""
    bounds = sorted({measure(one) for one in events})
    if len(bounds) > MOST_STEPS:  # keep the ends and an even choice between them
        bounds = [bounds[place * (len(bounds) - 1) // (MOST_STEPS - 1)] for place in range(MOST_STEPS)]
    return [(bound, tuple(one for one in events if measure(one) >= bound)) for bound in bounds]
