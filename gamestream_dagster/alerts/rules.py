"""What is alerted on: `alerts.yaml`, `series.yaml` and `objectives.yaml` as checked values.

A stack may have an `alerts.yaml` of its own in its home: its entries replace ours by name, and add to them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gamestream_dagster.alerts.errors import ExpressionError, RuleError
from gamestream_dagster.alerts.expression import Condition, parse
from gamestream_dagster.alerts.store import Severity

FOLDER: Final = Path(__file__).parent
ALERTS_FILE: Final = "alerts.yaml"
NAME: Final = "^[a-z][a-z0-9_]{0,62}$"
WAREHOUSE: Final = "warehouse"
"""Source of the series that are the result of a query of their own."""
VARIABLE: Final = "^GAMESTREAM_ALERTS_[A-Z0-9_]+$"
_DURATION: Final = re.compile(r"([0-9]{1,5})(s|m|h|d)")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_PLACE: Final = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_KNOWN_PLACE: Final = re.compile(r"\$labels\.[a-z_]+|\$value(\s*\|\s*(humanize|humanizePercentage))?")

Model = TypeVar("Model", bound=BaseModel)


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Series(_Entry):
    """A series that conditions may name."""

    name: str = Field(pattern=NAME)
    meaning: str = Field(min_length=5)
    labels: tuple[str, ...] = ()
    source: str = Field(pattern=NAME)
    counts_readings: bool = False
    """Its value is how many readings another series is made of: fewer than a condition asks for is no data."""


class Rule(_Entry):
    """One entry of `alerts.yaml`: a condition over series, or the prefix of the alerts that a sensor raises itself."""

    name: str = Field(pattern=NAME)
    condition: str = ""
    raised_as: str = ""
    """Prefix of ids in the table `alerts`, such as `job/`; instead of a condition."""
    lasts: timedelta = Field(default=timedelta(0), alias="for")
    severity: Severity
    message: str = Field(min_length=5, max_length=400)
    runbook: str = Field(pattern=r"^docs/runbooks/[a-z0-9_]+\.md$")

    @field_validator("lasts", mode="before")
    @classmethod
    def _duration(cls, given: Any) -> Any:
        found = _DURATION.fullmatch(str(given))
        if found is None:
            raise ValueError("write a duration such as 30s, 5m, 1h or 2d")
        return timedelta(**{_UNITS[found[2]]: int(found[1])})

    @field_validator("condition")
    @classmethod
    def _parsed(cls, given: str) -> str:
        if given:
            try:
                parse(given)
            except ExpressionError as error:
                raise ValueError(str(error)) from error
        return given

    @field_validator("message")
    @classmethod
    def _places(cls, given: str) -> str:
        for place in _PLACE.findall(given):
            if _KNOWN_PLACE.fullmatch(place) is None:
                raise ValueError(
                    f"{{{{ {place} }}}} is unknown; write {{{{ $labels.NAME }}}}, {{{{ $value }}}}, or the latter with "
                    "| humanize or | humanizePercentage"
                )
        return given

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if bool(self.condition) == bool(self.raised_as):
            raise ValueError("give a condition, or raised_as, and not both")
        if self.raised_as and self.lasts:
            raise ValueError("`for` needs a condition; leave it out with raised_as")
        return self

    @cached_property
    def parsed(self) -> Condition:
        """The condition; only of a rule that has one."""
        return parse(self.condition)

    def told(self, labels: Mapping[str, str], value: float) -> str:
        """The message with its places filled in, as Prometheus would."""
        return _PLACE.sub(lambda place: _filled(place[1], labels, value), self.message)


class Route(_Entry):
    """Where messages go: severities, and the environment variable with the addresses."""

    name: str = Field(pattern=NAME)
    severities: frozenset[Severity] = Field(min_length=1)
    address_in: str = Field(pattern=VARIABLE)


class Objective(_Entry):
    """A share of time, or of readings, that must be good; `series` is 1 when good and 0 when not."""

    name: str = Field(pattern=NAME)
    meaning: str = Field(min_length=5)
    series: str = Field(pattern=NAME)
    target: float = Field(gt=0, lt=1)
    runbook: str = Field(pattern=r"^docs/runbooks/[a-z0-9_]+\.md$")


class Book(_Entry):
    """All of it. `rules` include those that the objectives give."""

    rules: tuple[Rule, ...]
    series: Mapping[str, Series]
    routes: tuple[Route, ...]
    queries: Mapping[str, str] = Field(default_factory=dict)
    """SQL of the series of the source `warehouse`, by name."""
    objectives: tuple[Objective, ...] = ()

    def rule(self, name: str) -> Rule:
        """The rule of a name.

        Raises:
            RuleError: there is none.
        """
        for rule in self.rules:
            if rule.name == name:
                return rule
        raise RuleError(name, "there is no such alert", "see `gamestream alerts list` for the names")

    def rule_of(self, alert_id: str) -> Rule | None:
        """The rule that an alert in the table belongs to."""
        name = alert_id.partition("{")[0]
        for rule in self.rules:
            if rule.name == name or (rule.raised_as and alert_id.startswith(rule.raised_as)):
                return rule
        return None

    def routes_of(self, severity: Severity) -> list[Route]:
        """Where messages of a severity go."""
        return [route for route in self.routes if severity in route.severities]

    @cached_property
    def kept(self) -> Mapping[str, float]:
        """Series whose samples are kept, and for how long, seconds: as far back as a condition looks."""
        found: dict[str, float] = {}
        for rule in self.rules:
            for name, seconds in rule.parsed.back if rule.condition else ():
                found[name] = max(found.get(name, 0.0), seconds)
        return found


BURN_RATES: Final = ((14.4, "1h", "5m", Severity.CRITICAL), (6.0, "6h", "30m", Severity.HIGH),
                     (1.0, "3d", "6h", Severity.WARNING))  # fmt: skip
"""Factor, long and short window, severity: 2 % of a month's budget in an hour, 5 % in six, 10 % in three days."""
FEWEST_READINGS: Final = {"1h": 10, "6h": 30, "3d": 120}
"""In the long window."""
FEWEST_RECENT: Final = {"5m": 2, "30m": 5, "6h": 10}
"""In the short window."""


def load_book(home: Path | None = None) -> Book:
    """The alerts of a stack.

    Args:
        home: its home; with an `alerts.yaml`, whose entries replace ours by name, and `series/*.sql` of its series.

    Raises:
        RuleError: an entry is wrong, or names a series that nothing collects.
    """
    alerts = _read(FOLDER / ALERTS_FILE)
    own = home / ALERTS_FILE if home is not None else None
    extra = _read(own) if own is not None and own.exists() else {}
    series = {one.name: one for one in _entries(Series, _read(FOLDER / "series.yaml"), "series", "series.yaml")}
    objectives = _entries(Objective, _read(FOLDER / "objectives.yaml"), "objectives", "objectives.yaml")
    rules = _entries(Rule, alerts, "alerts", ALERTS_FILE)
    routes = _entries(Route, alerts, "routes", ALERTS_FILE)
    if unknown := sorted(set(extra) - {"alerts", "routes", "series"}):
        raise RuleError(str(own), f"{unknown[0]!r} is unknown", "write `alerts:`, `routes:` and `series:`")
    queries = _queries(series.values(), FOLDER)
    if home is not None:
        more = _own_series(extra, str(own), series)
        queries |= _queries(more.values(), home)
        series |= more
    rules = _replaced((*rules, *_burning(objectives, series)), _entries(Rule, extra, "alerts", str(own)))
    routes = _replaced(routes, _entries(Route, extra, "routes", str(own)))
    for rule in rules:
        _check_series(rule, series)
    return Book(rules=rules, series=series, routes=routes, queries=queries, objectives=objectives)


def _own_series(extra: Mapping[str, Any], where: str, ours: Mapping[str, Series]) -> dict[str, Series]:
    found = {one.name: one for one in _entries(Series, extra, "series", where)}
    for name, one in found.items():
        if name in ours:
            raise RuleError(f"{where}, {name}", "a series of ours has this name", "give yours another one")
        if one.source != WAREHOUSE:
            raise RuleError(f"{where}, {name}", f"source {one.source!r}", f"write `source: {WAREHOUSE}`")
    return found


def _queries(series: Iterable[Series], folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in series:
        if one.source == WAREHOUSE:
            path = folder / "series" / f"{one.name}.sql"
            try:
                found[one.name] = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise RuleError(f"{one.name}", f"{path} cannot be read", "write the query into it") from error
    return found


def _check_series(rule: Rule, series: Mapping[str, Series]) -> None:
    for name in rule.parsed.series if rule.condition else ():
        if name not in series:
            raise RuleError(
                f"{ALERTS_FILE}, {rule.name}",
                f"nothing collects the series {name!r}",
                f"name one of {', '.join(sorted(series))}",
            )


def _burning(objectives: Iterable[Objective], series: Mapping[str, Series]) -> list[Rule]:
    """Three rules for each objective, as in the table of Google's SRE workbook."""
    found: list[Rule] = []
    for one in objectives:
        budget = f"{1 - one.target:.6g}"
        labels = series[one.series].labels if one.series in series else ()
        about = "".join(f" of {{{{ $labels.{label} }}}}" for label in labels)
        for factor, long, short, severity in BURN_RATES:
            burns = " and ".join(
                f"(1 - avg_over_time({one.series}[{window}])) / {budget} > {factor:g}" for window in (long, short)
            )
            enough = (
                f"count_over_time({one.series}[{long}]) >= {FEWEST_READINGS[long]} and "
                f"count_over_time({one.series}[{short}]) >= {FEWEST_RECENT[short]}"
            )
            found.append(
                Rule.model_validate(
                    {
                        "name": f"{one.name}_burns_{factor:g}x".replace(".", "_"),
                        "condition": f"{burns} and {enough}",
                        "severity": severity,
                        "message": f"The {one.name}{about} loses its budget more than {factor:g} times too fast, over "
                        f"{long} and {short} (objective: {one.target * 100:.4g} % of readings)",
                        "runbook": one.runbook,
                    }
                )
            )
    return found


def _replaced(ours: Iterable[Model], own: Iterable[Model]) -> tuple[Model, ...]:
    found = {getattr(one, "name"): one for one in ours}  # noqa: B009 - entries of any kind have a name
    found.update({getattr(one, "name"): one for one in own})  # noqa: B009
    return tuple(found.values())


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise RuleError(str(path), f"no valid YAML ({' '.join(str(error).split())})", "correct it") from error
    except OSError as error:
        raise RuleError(str(path), f"cannot be read ({error.strerror})", "restore it") from error
    if not isinstance(content, dict):
        raise RuleError(str(path), "no mapping", "write `alerts:` with a list of entries")
    return content


def _entries(kind: type[Model], content: Mapping[str, Any], key: str, where: str) -> tuple[Model, ...]:
    given = content.get(key) or []
    if not isinstance(given, list):
        raise RuleError(f"{where}, {key}", "no list", "write an entry as `- name: ...`")
    found: dict[str, Model] = {}
    for position, entry in enumerate(given, start=1):
        named = entry.get("name") if isinstance(entry, dict) else None
        place = f"{where}, {named or f'{key} entry {position}'}"
        try:
            made = kind.model_validate(entry)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "entry"
            told = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
            raise RuleError(place, f"{field}: {told}", "correct the entry") from error
        name = getattr(made, "name")  # noqa: B009 - as above
        if name in found:
            raise RuleError(place, "the name is used twice", "give one of them another name")
        found[name] = made
    return tuple(found.values())


def _filled(place: str, labels: Mapping[str, str], value: float) -> str:
    if place.startswith("$labels."):
        return labels.get(place.removeprefix("$labels."), "")
    if place.endswith("humanizePercentage"):
        return f"{value * 100:.4g}%"
    return humanized(value) if place.endswith("humanize") else f"{value:.12g}"


def humanized(value: float) -> str:
    """As Prometheus' `humanize`: four digits and an SI prefix."""
    if value == 0 or not math.isfinite(value):
        return f"{value:.4g}"
    large = abs(value) >= 1
    size, steps = abs(value), 0
    while steps < 8 and (size >= 1000 if large else size < 1):
        size, steps = (size / 1000 if large else size * 1000), steps + 1
    prefix = " kMGTPEZY"[steps] if large else " munpfazy"[steps]
    return f"{'-' if value < 0 else ''}{size:.4g}{prefix.strip()}"
