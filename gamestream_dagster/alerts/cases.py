"""Made-up series for every rule, with the states that they must lead to; the form of promtool's rule tests.

Values are those of promtool: `0 1 2`, `0x3` (0, and the same three more times), `0+10x5`, `100-10x3`; `_` is no sample.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import promql_parser as promql
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gamestream_dagster.alerts.errors import RuleError
from gamestream_dagster.alerts.look import Evaluated, Key, look
from gamestream_dagster.alerts.machine import AlertState, Standing
from gamestream_dagster.alerts.rules import FOLDER, Book
from gamestream_dagster.alerts.samples import Labels, Recorded, Sample, labels_of, written
from gamestream_dagster.alerts.store import Change

_STEP: Final = re.compile(r"(-?[0-9.]+(?:e[+-]?[0-9]+)?)(?:([+-][0-9.]+(?:e[+-]?[0-9]+)?))?(?:x([0-9]{1,5}))?")
_MOST_VALUES: Final = 20_000


class Case(BaseModel):
    """One test of one rule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    says: str = Field(min_length=5)
    every: str = "1m"
    """Between two samples, and two evaluations."""
    series: Mapping[str, str] = Field(min_length=1)
    labels: Mapping[str, str] = {}
    """Of the alert that is asked about."""
    states: Mapping[str, AlertState] = Field(min_length=1)
    """By the time since the first sample, such as `10m`."""

    @property
    def step_seconds(self) -> float:
        """Seconds between two evaluations."""
        return seconds_of(self.every)


@dataclass(frozen=True)
class Outcome:
    """What a case gave. `wrong`: sentences; empty when it passed."""

    case: Case
    wrong: tuple[str, ...]
    changes: tuple[tuple[float, Change], ...]
    messages: Mapping[float, str]
    """Of the alert that is asked about, by the time it was asked."""

    @property
    def passed(self) -> bool:
        """Whether each state was as expected."""
        return not self.wrong


def load_cases(path: Path = FOLDER / "cases.yaml") -> list[Case]:
    """The cases of a file.

    Raises:
        RuleError: the file or a case is wrong.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RuleError(str(path), f"no valid YAML ({' '.join(str(error).split())})", "correct it") from error
    except OSError as error:
        raise RuleError(str(path), f"cannot be read ({error.strerror})", "give the path of a file of cases") from error
    if not isinstance(content, list):
        raise RuleError(str(path), "no list", "write a case as `- rule: ...`")
    found: list[Case] = []
    for position, one in enumerate(content, start=1):
        try:
            case = Case.model_validate(one)
            for text in case.series.values():
                values_of(text)
            for text in (case.every, *case.states):
                seconds_of(text)
        except (ValidationError, ValueError) as error:
            told = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise RuleError(f"{path.name}, case {position}", told.rstrip("."), "correct the case") from error
        found.append(case)
    return found


def run_case(case: Case, book: Book) -> Outcome:
    """Evaluate the rule of a case at each of its steps, from a fresh state.

    Raises:
        RuleError: there is no such rule.
    """
    only = book.model_copy(update={"rules": (book.rule(case.rule),)})
    rows = {_series(name): values_of(text) for name, text in case.series.items()}
    wanted = {seconds_of(at): state for at, state in case.states.items()}
    steps = max(int(max(wanted) / case.step_seconds), *(len(values) - 1 for values in rows.values()))
    states: dict[Key, Standing] = {}
    history: list[Sample] = []
    wrong: list[str] = []
    changes: list[tuple[float, Change]] = []
    messages: dict[float, str] = {}
    asked = labels_of(case.labels)
    for index in range(steps + 1):
        at = index * case.step_seconds
        current = _sampled(rows, index, at)
        found = look(only, Recorded(at, current, history), {}, states, at)
        history += current
        states = {one.key: one.standing for one in found if not one.has_ended}
        changes += [(at, one.change) for one in found if one.change and one.labels == asked]
        if at in wanted:
            wrong += _compared(case, found, asked, at, wanted[at])
            messages[at] = next((one.message for one in found if one.labels == asked), "")
    if unseen := sorted(at for at in wanted if at % case.step_seconds):
        wrong.append(f"{case.rule}: {unseen[0]:g} s is between two evaluations; write a multiple of {case.every}")
    return Outcome(case, tuple(wrong), tuple(changes), messages)


def _compared(case: Case, found: list[Evaluated], asked: Labels, at: float, wanted: AlertState) -> list[str]:
    state = next((one.standing.state for one in found if one.labels == asked), None)
    if state is wanted:
        return []
    there = ", ".join(f"{one.alert_id} {one.standing.state}" for one in found) or "nothing"
    name = written(case.rule, asked)
    return [f"{case.rule} ({case.says}): after {at:g} s {name} should be {wanted}, and there is {there}"]


def _sampled(rows: Mapping[tuple[str, Labels], list[float | None]], index: int, at: float) -> list[Sample]:
    return [
        Sample(name, labels, at, value)
        for (name, labels), values in rows.items()
        if index < len(values) and (value := values[index]) is not None
    ]


def _series(text: str) -> tuple[str, Labels]:
    try:
        selector = promql.parse(text)
    except ValueError as error:
        raise RuleError("cases", f"{text!r} is no series", 'write name{label="value"}') from error
    if not isinstance(selector, promql.VectorSelector) or not selector.name:
        raise RuleError("cases", f"{text!r} is no series", 'write name{label="value"}')
    return selector.name, labels_of({one.name: one.value for one in selector.matchers.matchers})


def values_of(text: str) -> list[float | None]:
    """The values of a series in promtool's notation; None is no sample.

    Raises:
        ValueError: a part is not in the notation.
    """
    found: list[float | None] = []
    for part in text.split():
        gap = re.fullmatch(r"_(?:x([0-9]{1,5}))?", part)
        if gap is not None:
            found += [None] * (int(gap[1]) if gap[1] else 1)
            continue
        if part == "NaN":
            found.append(float("nan"))
            continue
        step = _STEP.fullmatch(part)
        if step is None:
            raise ValueError(f"{part!r} is no value; write 5, 5x3, 0+10x5 or _")
        start, by, times = float(step[1]), float(step[2] or 0), int(step[3] or 0)
        found += [start + by * index for index in range(times + 1)]
        if len(found) > _MOST_VALUES:
            raise ValueError(f"a series has more than {_MOST_VALUES:,} values; use longer steps")
    return found


def seconds_of(text: Any) -> float:
    """A duration such as `90s`, `5m`, `1h30m`.

    Raises:
        ValueError: it is none.
    """
    if str(text) in {"0", "0s", "0m"}:
        return 0.0
    try:
        return promql.parse_duration(str(text)).total_seconds()
    except Exception as error:  # promql-parser raises its own kinds; all mean the same
        raise ValueError(f"{text!r} is no duration; write 30s, 5m or 1h") from error
