"""What may be supposed about an entity's events: pure values, and the families in which they are tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any

from gamestream_dagster.reconciliation.model import Cause, Causes

Position = tuple[int, int, int]
"""Partition, offset and item of an archived record."""

MOST_STEPS = 12
"""Members of a family at most: a long list of guesses would hit upon any number."""

MOST_LATE = 6
"""Late events of one entity of which each selection is tried; of more only those that were late enough."""

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
            "behind_ms": self.late_by,
        }
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True)
class Supposition:
    """One guess about one entity: what the job left out, and what it counted beyond the truth."""

    causes: Causes
    removed: tuple[Candidate, ...] = ()
    added: tuple[Candidate, ...] = ()
    wrapped: bool = False
    """The sums wrapped at 32 bits."""
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the cause has to say beside the events."""

    def joined(self, other: Supposition) -> Supposition:
        """Both at once."""
        causes = tuple(cause for cause in Cause if cause in {*self.causes, *other.causes})
        return Supposition(
            causes,
            tuple(dict.fromkeys((*self.removed, *other.removed))),
            tuple(dict.fromkeys((*self.added, *other.added))),
            self.wrapped or other.wrapped,
            {**self.facts, **other.facts},
        )

    @property
    def events(self) -> tuple[Candidate, ...]:
        """The events that carry it."""
        return (*self.removed, *self.added)


Families = Mapping[Cause, Sequence[Supposition]]
"""By cause the guesses about one entity, the fullest first."""


def duplicates(candidates: Iterable[Candidate]) -> list[Supposition]:
    """Copies counted again: those that came late enough for the job to have forgotten the first."""
    copies = [one for one in candidates if one.copy]
    return [
        Supposition((Cause.DUPLICATE,), added=members, facts={"copies_at_least_ms_apart": least})
        for least, members in _at_least(copies, lambda one: one.since_previous or 0)
    ]


def late(candidates: Iterable[Candidate], delay_millis: int) -> list[Supposition]:
    """Events dropped because they were behind the watermark."""
    behind = [one for one in candidates if one.reason is None and not one.copy and (one.late_by or 0) > delay_millis]
    found = [
        Supposition((Cause.LATE,), removed=members, facts={"behind_at_least_ms": least})
        for least, members in _at_least(behind, lambda one: one.late_by or 0)
    ]
    if len(behind) > MOST_LATE:
        return found
    # How far the watermark had come hangs on the other partitions too: of a few any may have been in time.
    tried = {one.removed for one in found}
    others = [members for size in range(len(behind), 0, -1) for members in combinations(behind, size)]
    return found + [Supposition((Cause.LATE,), removed=members) for members in others if members not in tried]


def dead_lettered(candidates: Sequence[Candidate]) -> list[Supposition]:
    """Refused events counted, or accepted events with a remark refused, by reason."""
    found: list[Supposition] = []
    refused = [one for one in candidates if one.reason is not None and one.score is not None]
    reasons = sorted({one.reason or "" for one in refused})
    for chosen in [reasons, *([reason] for reason in reasons)] if len(reasons) > 1 else [[one] for one in reasons]:
        members = tuple(one for one in refused if one.reason in chosen)
        found.append(Supposition((Cause.DEAD_LETTERED,), added=members, facts={"counted_in_spite_of": chosen}))
    remarked = [one for one in candidates if one.reason is None and not one.copy and one.remark is not None]
    for remark in sorted({one.remark or "" for one in remarked}):
        members = tuple(one for one in remarked if one.remark == remark)
        found.append(Supposition((Cause.DEAD_LETTERED,), removed=members, facts={"refused_for": remark}))
    return found[:MOST_STEPS]


def overflow() -> list[Supposition]:
    """The sums wrapped."""
    return [Supposition((Cause.OVERFLOW,), wrapped=True, facts={"greatest_32_bit_value": _INT_MAX})]


def pairs(families: Families) -> list[Supposition]:
    """Every two guesses of different causes, the fullest first."""
    causes = [cause for cause in Cause if families.get(cause)]
    found: list[Supposition] = []
    for place, first in enumerate(causes):
        for second in causes[place + 1 :]:
            members = [a.joined(b) for a, b in product(families[first], families[second])]
            found += members[: MOST_STEPS * 4]
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
