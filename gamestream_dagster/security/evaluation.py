"""The rules in Python: the same tries and detections as the job `security_v1` finds in the same records."""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from gamestream_dagster.security.flink_rules import most_units, pattern
from gamestream_dagster.security.lines import LogLine, read_line
from gamestream_dagster.security.patterns import DAY_MS, LineKind
from gamestream_dagster.security.sigma import (
    All,
    Any_,
    AnyRule,
    Condition,
    EventCount,
    Level,
    Match,
    Not,
    Ordered,
    Rule,
)

_PAM: Final = (LineKind.PAM_FAILURE, LineKind.PAM_MORE)
CountryOf = Callable[[str], str]


@dataclass(frozen=True)
class Detection:
    """One detection: a rule, where, and for how many tries it stands."""

    rule: str
    level: Level
    host: str
    source: str
    millis: int
    weight: int


@dataclass
class Tries:
    """Tries of one source on one day (UTC)."""

    failed: int = 0
    succeeded: int = 0


@dataclass
class Found:
    """What an evaluator has found so far.

    Attributes:
        lines: records that were read.
        unread: of these, the ones without a usable line.
        tries: by day (milliseconds of its begin) and source.
        detections: in the order of the records.
    """

    lines: int = 0
    unread: int = 0
    tries: defaultdict[tuple[int, str], Tries] = field(default_factory=lambda: defaultdict(Tries))
    detections: list[Detection] = field(default_factory=list[Detection])


class Evaluator:
    """Reads records one after the other. It keeps every connection and source in memory, as the job keeps two days.

    Args:
        rules: as `sigma.load_rules` gives them.
        country_of: the country of an address; rules may ask for it.
    """

    def __init__(self, rules: Mapping[str, AnyRule], country_of: CountryOf = lambda address: "unknown") -> None:
        self._rules = rules
        self._counts = [rule for rule in rules.values() if isinstance(rule, EventCount)]
        self._most = most_units(rules)
        self._country_of = country_of
        self._connections: defaultdict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
        self._recent: dict[tuple[str, str], deque[int]] = {}
        self.found = Found()

    def feed(self, value: bytes | None, kafka_ms: int) -> list[Detection]:
        """One record, with the broker's time; what it sets off."""
        line = read_line(value)
        self.found.lines += 1
        self.found.unread += line.reason is not None
        if line.source is None:
            return []
        millis = line.millis if line.millis is not None else kafka_ms // 1000 * 1000
        tries = self._new_tries(line, line.source)
        accepted = line.kind is LineKind.ACCEPTED
        day = self.found.tries[millis - millis % DAY_MS, line.source]
        day.failed += tries
        day.succeeded += line.repeats if accepted else 0
        outcome = "succeeded" if accepted else "failed" if tries else None
        fields: dict[str, str | None] = {
            "outcome": outcome,
            "kind": line.kind.value,
            "program": line.program,
            "host": line.host,
            "source": line.source,
            "country": self._country_of(line.source),
            "message": line.message,
        }
        found: list[Detection] = []
        for unit in range(1, max(1, min(tries, self._most)) + 1):
            weight = line.repeats if accepted else tries - self._most + 1 if unit == self._most else 1
            found += (
                Detection(rule.name, rule.level, line.host, line.source, millis, weight)
                for rule in self._set_off(fields, line.source, millis, unit)
            )
        self.found.detections += found
        return found

    def _new_tries(self, line: LogLine, source: str) -> int:
        """Tries that a line adds to those of its connection: sshd, PAM and `Invalid user` report the same ones."""
        seen = self._connections[line.host, line.pid, source]
        before = max(seen.values(), default=0)
        if line.kind is LineKind.FAILED:
            seen["sshd"] += line.repeats
        elif line.kind in _PAM:
            seen["pam"] += line.repeats
        elif line.kind is LineKind.INVALID_USER:
            seen["invalid"] += line.repeats
        return max(seen.values(), default=0) - before

    def _set_off(self, fields: Mapping[str, str | None], source: str, millis: int, unit: int) -> Iterator[AnyRule]:
        for count in self._counts:
            if holds(count.rule.condition, fields):
                self._recent.setdefault((count.name, source), deque(maxlen=count.at_least)).append(millis)
        for rule in self._rules.values():
            if rule.level is not Level.INFORMATIONAL and self._is_met(rule, fields, source, millis, unit):
                yield rule

    def _is_met(self, rule: AnyRule, fields: Mapping[str, str | None], source: str, millis: int, unit: int) -> bool:
        match rule:
            case Rule():
                return unit == 1 and holds(rule.condition, fields)
            case EventCount():
                return holds(rule.rule.condition, fields) and self._newest(rule, source) is not None
            case Ordered():
                newest = self._newest(rule.first, source)
                late = newest is None or millis - newest > rule.timespan_ms
                return unit == 1 and not late and holds(rule.then.condition, fields)

    def _newest(self, count: EventCount, source: str) -> int | None:
        """Time of the newest try of a count that is reached; None: it is not."""
        recent = self._recent.get((count.name, source), deque[int]())
        reached = len(recent) == count.at_least and max(recent) - min(recent) <= count.timespan_ms
        return max(recent) if reached else None


def holds(condition: Condition, fields: Mapping[str, str | None]) -> bool:
    """Whether a try fulfils a condition."""
    match condition:
        case Match():
            value = fields[condition.field]
            if condition.missing:
                return value is None
            return value is not None and _expression(condition.parts).fullmatch(value) is not None
        case All():
            return all(holds(one, fields) for one in condition.of)
        case Any_():
            return any(holds(one, fields) for one in condition.of)
        case Not():
            return not holds(condition.of, fields)


@cache
def _expression(parts: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(pattern(parts))
