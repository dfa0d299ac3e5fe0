"""Detection rules as Sigma files: the part of Sigma that both evaluators can do, and a clear error for the rest.

Supported are `detection` with selections of fields (plain values with `*` and `?`, lists, the modifiers `startswith`,
`endswith`, `contains`, `all`), conditions of `and`, `or`, `not`, parentheses, `1 of`, `all of`, and the correlations
`event_count` with `gte` and `temporal_ordered` of an `event_count` and a rule. Texts compare with regard to case, other
than in Sigma: sshd's words have one spelling, and a folded comparison would differ between Java and Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, cast

import yaml
from pydantic import TypeAdapter

from gamestream_dagster.catalogue.durations import DurationMs
from gamestream_dagster.security.errors import RuleError

RULES_DIR: Final = Path(__file__).with_name("rules")
FIELDS: Final = ("outcome", "kind", "program", "host", "source", "country", "message")
"""What a try has for rules to look at."""
GROUP_BY: Final = ["source"]
MOST_EVENTS: Final = 50
"""Greatest `gte` of a correlation: both evaluators keep so many times for each source."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_DURATION: Final = TypeAdapter[int](DurationMs)
_TOKEN: Final = re.compile(r"\s*(\(|\)|[A-Za-z0-9_*]+)")
_KNOWN: Final = frozenset({
    "title", "id", "name", "description", "status", "references", "author", "date", "modified", "tags", "logsource",
    "detection", "correlation", "falsepositives", "level", "fields", "license", "related",
})  # fmt: skip


class Level(StrEnum):
    """How grave a detection is. An informational rule detects nothing by itself: correlations use it."""

    INFORMATIONAL = "informational"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True)
class Match:
    """A field against a text, in parts around `*` (any text) and `?` (one character)."""

    field: str
    parts: tuple[str, ...]  # `*`, `?`, and `=` with a text behind it
    missing: bool = False  # the field must be absent (`null` in the file)


@dataclass(frozen=True)
class All:
    """Every one must hold."""

    of: tuple[Condition, ...]


@dataclass(frozen=True)
class Any_:  # noqa: N801 - `Any` is taken
    """One must hold."""

    of: tuple[Condition, ...]


@dataclass(frozen=True)
class Not:
    """It must not hold."""

    of: Condition


Condition = Match | All | Any_ | Not


@dataclass(frozen=True)
class Rule:
    """One rule on one try."""

    name: str
    title: str
    level: Level
    condition: Condition


@dataclass(frozen=True)
class EventCount:
    """So many tries of a source, matched by a rule, within a time."""

    name: str
    title: str
    level: Level
    rule: Rule
    at_least: int
    timespan_ms: int


@dataclass(frozen=True)
class Ordered:
    """A try that a rule matches, at most so long after the newest of a count."""

    name: str
    title: str
    level: Level
    first: EventCount
    then: Rule
    timespan_ms: int


AnyRule = Rule | EventCount | Ordered


def load_rules(folder: Path = RULES_DIR) -> dict[str, AnyRule]:
    """Every rule of a folder by name, in the order of the files.

    Raises:
        RuleError: a file cannot be used; names it and the place.
    """
    files = {path: _read(path) for path in sorted(folder.glob("*.yml"))}
    if not files:
        raise RuleError(f"{folder} holds no rule (*.yml)", "restore the installed package, or name another folder")
    found: dict[str, AnyRule] = {}
    for kind in (_is_plain, _is_count, _is_ordered):
        for path, raw in files.items():
            if kind(raw):
                rule = _rule(path, raw, found)
                if rule.name in found:
                    raise RuleError(f"{path}: the name {rule.name!r} is taken", "give the rule another `name`")
                found[rule.name] = rule
    return {str(raw["name"]): found[str(raw["name"])] for raw in files.values()}


def _is_plain(raw: Mapping[str, Any]) -> bool:
    return "detection" in raw


def _is_count(raw: Mapping[str, Any]) -> bool:
    return "correlation" in raw and raw["correlation"].get("type") != "temporal_ordered"


def _is_ordered(raw: Mapping[str, Any]) -> bool:
    return "correlation" in raw and raw["correlation"].get("type") == "temporal_ordered"


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise RuleError(f"{path} cannot be read as YAML", "mend the file, or take it away") from error
    if not isinstance(raw, dict):
        raise RuleError(f"{path} holds no rule", "write one Sigma rule in each file")
    found = cast("dict[str, Any]", raw)
    if unknown := sorted(set(found) - _KNOWN):
        raise RuleError(f"{path}: {', '.join(unknown)} is not supported", "take it out of the rule")
    if ("detection" in found) == ("correlation" in found):
        raise RuleError(f"{path} needs `detection` or `correlation`", "write one of them")
    if not isinstance(found.get("detection", found.get("correlation")), dict):
        raise RuleError(f"{path}: `detection` and `correlation` hold `name: value` lines", "write them so")
    if not _NAME.fullmatch(str(found.get("name", ""))):
        raise RuleError(
            f"{path}: `name` is no identifier", "give the rule a name of small letters, digits and _, a letter first"
        )
    return found


def _rule(path: Path, raw: Mapping[str, Any], known: Mapping[str, AnyRule]) -> AnyRule:
    name, title = str(raw["name"]), str(raw.get("title", raw["name"]))
    try:
        level = Level(raw.get("level", "medium"))
    except ValueError:
        raise RuleError(f"{path}: `level` is none of {', '.join(Level)}", "write one of them") from None
    if "detection" in raw:
        return Rule(name, title, level, _Detection(path, raw["detection"]).condition())
    return _correlation(path, name, title, level, raw["correlation"], known)


def _correlation(  # noqa: PLR0917 - parts of one file
    path: Path, name: str, title: str, level: Level, raw: Mapping[str, Any], known: Mapping[str, AnyRule]
) -> AnyRule:
    kind = raw.get("type")
    if unknown := sorted(set(raw) - {"type", "rules", "group-by", "timespan", "condition"}):
        raise RuleError(f"{path}: correlation with {', '.join(unknown)} is not supported", "take it out of the rule")
    if raw.get("group-by") != GROUP_BY:
        raise RuleError(f"{path}: only `group-by: [source]` is supported", "write that")
    try:
        timespan = _DURATION.validate_python(raw.get("timespan"))
    except ValueError as error:
        raise RuleError(f"{path}: `timespan` is no duration", "write one such as 120s or 10m") from error
    named = raw.get("rules")
    used = [known.get(str(one)) for one in cast("list[Any]", named)] if isinstance(named, list) else []
    if kind == "event_count":
        condition = raw.get("condition")
        count = cast("dict[str, Any]", condition).get("gte") if isinstance(condition, dict) else None
        if type(count) is not int or not 1 <= count <= MOST_EVENTS or condition != {"gte": count}:
            raise RuleError(f"{path}: `condition` must be `gte` and a number from 1 to {MOST_EVENTS}", "write that")
        if len(used) != 1 or not isinstance(used[0], Rule):
            raise RuleError(f"{path}: `rules` of an event_count must name one rule with `detection`", "name one")
        return EventCount(name, title, level, used[0], count, timespan)
    if kind == "temporal_ordered":
        if len(used) != 2 or not isinstance(used[0], EventCount) or not isinstance(used[1], Rule):
            raise RuleError(
                f"{path}: `rules` of a temporal_ordered must name an event_count, then a rule with `detection`",
                "name these two",
            )
        if "condition" in raw:
            raise RuleError(f"{path}: a temporal_ordered has no `condition` here", "take it out of the rule")
        return Ordered(name, title, level, used[0], used[1], timespan)
    raise RuleError(f"{path}: the correlation {kind!r} is not supported", "use event_count or temporal_ordered")


class _Detection:
    """Reads the `detection` of one file."""

    def __init__(self, path: Path, raw: Mapping[str, Any]) -> None:
        self._path = path
        if "timeframe" in raw:
            raise RuleError(f"{path}: `timeframe` is not supported", "write a correlation rule")
        expression = raw.get("condition")
        if not isinstance(expression, str):
            raise RuleError(f"{path}: `condition` must be one text", "write it so")
        self._selections = {name: self._selection(value) for name, value in raw.items() if name != "condition"}
        self._tokens = self._split(expression)

    def condition(self) -> Condition:
        found = self._either()
        if self._tokens:
            raise RuleError(f"{self._path}: `condition` has {self._tokens[0]!r} where it should end", "mend it")
        return found

    def _split(self, text: str) -> list[str]:
        tokens, at = list[str](), 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if not found:
                raise RuleError(f"{self._path}: `condition` has a part that is not supported", "use and, or, not, 1 of")
            tokens.append(found[1])
            at = found.end()
        return tokens

    def _either(self) -> Condition:
        parts = [self._both()]
        while self._tokens[:1] == ["or"]:
            self._tokens.pop(0)
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Any_(tuple(parts))

    def _both(self) -> Condition:
        parts = [self._term()]
        while self._tokens[:1] == ["and"]:
            self._tokens.pop(0)
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _term(self) -> Condition:
        token = self._tokens.pop(0) if self._tokens else ""
        if token == "not":  # noqa: S105 - a word of the condition
            return Not(self._term())
        if token == "(":  # noqa: S105
            inner = self._either()
            if not self._tokens or self._tokens.pop(0) != ")":
                raise RuleError(f"{self._path}: `condition` lacks a closing parenthesis", "add it")
            return inner
        if token in ("1", "all") and self._tokens[:1] == ["of"]:
            self._tokens.pop(0)
            named = self._named(self._tokens.pop(0) if self._tokens else "")
            return All(named) if token == "all" else Any_(named)  # noqa: S105
        if token not in self._selections:
            raise RuleError(f"{self._path}: `condition` names {token!r}, which is no selection", "name one of the file")
        return self._selections[token]

    def _named(self, pattern: str) -> tuple[Condition, ...]:
        wanted = re.compile(".*" if pattern == "them" else re.escape(pattern).replace(r"\*", ".*"))
        found = tuple(value for name, value in self._selections.items() if wanted.fullmatch(name))
        if not found:
            raise RuleError(f"{self._path}: `condition` asks for {pattern!r}, which no selection fits", "mend it")
        return found

    def _selection(self, raw: Any) -> Condition:
        if isinstance(raw, list):
            return Any_(tuple(self._selection(one) for one in cast("list[Any]", raw)))
        if not isinstance(raw, dict) or not raw:
            raise RuleError(f"{self._path}: a selection must hold `field: value` lines", "write it so")
        return All(tuple(self._field(str(key), value) for key, value in cast("dict[Any, Any]", raw).items()))

    def _field(self, key: str, value: Any) -> Condition:
        field, *modifiers = key.split("|")
        if field not in FIELDS:
            raise RuleError(f"{self._path}: there is no field {field!r}", f"use one of {', '.join(FIELDS)}")
        unknown = set(modifiers) - {"startswith", "endswith", "contains", "all"}
        places = [one for one in modifiers if one != "all"]
        if unknown or len(places) > 1:
            raise RuleError(
                f"{self._path}: the modifiers {'|'.join(modifiers)} are not supported",
                "use one of startswith, endswith, contains, and all",
            )
        values: Sequence[Any] = cast("list[Any]", value) if isinstance(value, list) else [value]
        if not values:
            raise RuleError(f"{self._path}: the field {field!r} has an empty list", "give it a value")
        matches = tuple(self._match(field, one, places[0] if places else "") for one in values)
        return All(matches) if "all" in modifiers else Any_(matches)

    def _match(self, field: str, value: Any, place: str) -> Match:
        if value is None and not place:
            return Match(field, (), missing=True)
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise RuleError(f"{self._path}: a value of {field!r} is neither a text nor a whole number", "write a text")
        parts = list(_parts(str(value)))
        if not str(value).isprintable() or "${" in str(value):
            raise RuleError(f"{self._path}: a value of {field!r} has characters that no rule can have", "remove them")
        before = ["*"] if place in ("endswith", "contains") else []
        after = ["*"] if place in ("startswith", "contains") else []
        return Match(field, (*before, *parts, *after))


def _parts(text: str) -> Iterator[str]:
    """Texts and wildcards of a value; a backslash takes the meaning from `*`, `?` and itself."""
    literal, at = "", 0
    while at < len(text):
        if text[at] == "\\" and text[at + 1 : at + 2] in ("*", "?", "\\"):
            literal += text[at + 1]
            at += 2
            continue
        if text[at] in "*?":
            if literal:
                yield f"={literal}"
            yield text[at]
            literal = ""
        else:
            literal += text[at]
        at += 1
    if literal:
        yield f"={literal}"
