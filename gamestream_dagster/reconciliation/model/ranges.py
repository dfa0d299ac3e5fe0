"""The possible values of a running sum between two cuts. Pure.

A job keeps one running sum per group of events and reads each partition in order, but groups advance
independently between two checkpoints. So a sum over several groups can stand at any combination of their
prefixes, and a sum of one group at exactly one of its running totals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

# Beyond these limits the exact set of reachable sums costs too much: only the bounds are tested.
MAX_STEPS = 5_000
_MAX_SET = 50_000
_MAX_BITS = 1 << 20
SETTLING_MS = 60_000


@dataclass(frozen=True)
class SumRange:
    """Values of one running sum between the low and the high cut. Scores are never negative."""

    low: int
    """Sum of the events before the low cut."""
    high: int
    """Sum of the events before the high cut."""
    steps: tuple[tuple[int, ...], ...] | None = ()
    """Scores between the cuts by offset, one tuple per group; None: too many to list."""
    exists_at_low: bool = True

    @property
    def exact(self) -> bool:
        """True when `allows` tests the exact set of sums, not only the bounds."""
        if self.steps is None:
            return False
        groups = [group for group in self.steps if group]
        if len(groups) < 2:
            return True
        return _set_size(groups) <= _MAX_SET or (
            self.high - self.low < _MAX_BITS and sum(map(len, groups)) <= MAX_STEPS
        )

    def allows(self, value: int) -> bool:
        """Whether the sum can have stood at `value` at some moment between the cuts."""
        if not self.low <= value <= self.high:
            return False
        if value == self.low and not self.exists_at_low:
            # Before the first event there is no sum, so that event must have scored nothing.
            return self.steps is None or any(group and group[0] == 0 for group in self.steps)
        if value in (self.low, self.high):
            return True
        if self.steps is None or not self.exact:
            return True
        return _reachable([group for group in self.steps if group], value - self.low)

    def describe(self) -> str:
        """The range as text, for an explanation."""
        if self.low == self.high:
            return str(self.low)
        groups = [group for group in self.steps or () if group]
        if self.steps is not None and len(groups) == 1 and len(groups[0]) <= 5:
            totals = [self.low, *(self.low + total for total in accumulate(groups[0]))]
            return "one of " + ", ".join(str(total) for total in dict.fromkeys(totals))
        return f"between {self.low} and {self.high}"


@dataclass(frozen=True)
class LabelRange:
    """Greatest text of an entity: the one at the low cut, or a greater one before the high cut."""

    low: str | None
    later: frozenset[str] = frozenset()

    def allows(self, value: object) -> bool:
        """Whether the label can have been `value` between the cuts."""
        if not isinstance(value, str):
            return False
        if value == self.low:
            return True
        return value in self.later and (self.low is None or value.encode() > self.low.encode())

    def describe(self) -> str:
        """The allowed labels as text."""
        allowed = [] if self.low is None else [self.low]
        allowed += sorted(name for name in self.later if name != self.low and self.allows(name))[:5]
        return " or ".join(repr(name) for name in allowed) or "no name"


@dataclass(frozen=True)
class TimeRange:
    """Newest Kafka time, or first or last event time, of a row's events between the cuts, milliseconds."""

    low: int
    high: int

    def allows(self, value: object) -> bool:
        """Whether the time can have been `value` at some moment between the cuts."""
        return isinstance(value, int) and self.low <= value <= self.high


@dataclass(frozen=True)
class StandingRange:
    """Number of subjects that have a key between the cuts: they come and go."""

    low: int
    """Subjects that had the key at the low cut, and have had no other since."""
    high: int
    """Subjects that had the key at some moment."""

    def allows(self, value: object) -> bool:
        """Whether so many can have had the key at some moment between the cuts. With none there is no row."""
        return isinstance(value, int) and max(1, self.low) <= value <= self.high


@dataclass(frozen=True)
class Watermarks:
    """Watermarks that the events before the low and before the high cut give, milliseconds; None: none yet."""

    low: int | None
    high: int | None

    def may_have_passed(self, moment: int) -> bool:
        """Whether a job can have passed a moment (milliseconds) at some time between the cuts."""
        return self.high is not None and self.high >= moment

    def has_surely_passed(self, moment: int) -> bool:
        """Whether a job has passed it: by a minute, for a restored job begins to count its watermark anew."""
        return self.low is not None and self.low >= moment + SETTLING_MS


def _set_size(groups: Sequence[Sequence[int]]) -> int:
    size = 1
    for group in groups:
        size *= len(group) + 1
        if size > _MAX_SET:
            return size
    return size


def _reachable(groups: Sequence[Sequence[int]], target: int) -> bool:
    """Whether some prefixes, one per group, sum to `target`."""
    if len(groups) == 1:
        return target == 0 or target in accumulate(groups[0])
    if _set_size(groups) <= _MAX_SET:
        sums = {0}
        for group in groups:
            totals = [0, *accumulate(group)]
            sums = {base + total for base in sums for total in totals if base + total <= target}
        return target in sums
    # Bit n means that n is reachable.
    bits, mask = 1, (1 << (target + 1)) - 1
    for group in groups:
        reached = bits
        for total in accumulate(group):
            if total > target:
                break
            reached |= bits << total
        bits = reached & mask
    return bool(bits >> target & 1)
