"""The plan of an experiment: what is compared, on whom and until when, decided before the data exists."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable
from datetime import UTC, date, datetime, time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Self

import orjson
import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictStr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from gamestream_dagster.catalogue.durations import DurationMs
from gamestream_dagster.experiments.errors import PlanError

MOST_VARIANTS: Final = 20
MOST_METRICS: Final = 50
_MOST_BYTES: Final = 256 * 1024
_PROBLEMS_SHOWN: Final = 5
_UNITS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


def _duration_text(millis: int) -> str:
    unit, length = next((unit, length) for unit, length in _UNITS.items() if millis % length == 0)
    return f"{millis // length}{unit}"


Name = Annotated[StrictStr, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Duration = Annotated[DurationMs, PlainSerializer(_duration_text, return_type=str)]
"""Milliseconds, read from and written as a text such as `7d`."""
Players = Annotated[int, Field(ge=2, le=10**12, strict=True)]


class MetricKind(StrEnum):
    """What a metric is of one player."""

    PROPORTION = "proportion"  # 0 or 1, such as a purchase or a return on day 7
    MEAN = "mean"  # a finite number, such as rounds played


class Role(StrEnum):
    """What a metric decides."""

    PRIMARY = "primary"  # the result; corrected by Holm together with the secondary ones
    SECONDARY = "secondary"  # corrected, reported, decides nothing
    GUARDRAIL = "guardrail"  # must not get worse; not corrected, so that harm is not overlooked


class Better(StrEnum):
    """The direction that is wanted."""

    HIGHER = "higher"
    LOWER = "lower"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Metric(_Part):
    """One number of each player."""

    kind: MetricKind
    role: Role = Role.SECONDARY
    better: Better = Better.HIGHER
    column: Name | None = Field(default=None, description="Column of a file; default: the metric's name.")
    covariate: Name | None = Field(
        default=None, description="Column of a file with the player's value before the experiment: CUPED."
    )
    event: Name | None = Field(
        default=None, description="Type of game events, for players from the archive: at least one, or how many."
    )
    sum: Name | None = Field(default=None, description="Number among the event's properties that is added up.")

    @model_validator(mode="after")
    def _measured(self) -> Self:
        if self.kind is MetricKind.PROPORTION and (self.covariate is not None or self.sum is not None):
            raise ValueError("`covariate` and `sum` belong to kind `mean`")
        if self.sum is not None and self.event is None:
            raise ValueError("`sum` names a property of `event`, which is missing")
        return self


def _with_moments(given: Any, *names: str) -> Any:
    """The days and times that YAML has read as such: a day is its beginning, and both are UTC."""
    if not isinstance(given, dict):
        return given
    found = dict(given)
    for name in names:
        if isinstance(day := found.get(name), date):
            moment = day if isinstance(day, datetime) else datetime.combine(day, time(), UTC)
            found[name] = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return found


class Horizon(_Part):
    """When a fixed-horizon experiment is read: at a time, or at a number of players."""

    date: datetime | None = Field(default=None, description="UTC; a day alone is its beginning.")
    players: Players | None = Field(default=None, description="Players in all arms together.")

    @model_validator(mode="before")
    @classmethod
    def _day(cls, given: Any) -> Any:
        return _with_moments(given, "date")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.date is None) == (self.players is None):
            raise ValueError("write either `date` or `players`")
        if self.date is not None and self.date.tzinfo is None:
            raise ValueError("`date` has no zone; add Z for UTC")
        return self


class Sequential(_Part):
    """A result that may be read at any time: wider intervals that hold at every look."""

    players: Players = Field(description="In all arms together; where the intervals are narrowest.")


class Stop(_Part):
    """When the result may be read."""

    horizon: Horizon | None = None
    sequential: Sequential | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.horizon is None) == (self.sequential is None):
            raise ValueError("write either `horizon` or `sequential`")
        return self


class Exposure(_Part):
    """Which first exposures count, of players from the archive."""

    since: datetime | None = Field(default=None, alias="from", description="Earlier exposures are none.")
    until: datetime | None = Field(default=None, description="Who is first exposed then or later takes no part.")
    window: Duration | None = Field(
        default=None, description="What counts of each player after the exposure; who had less time has to wait."
    )
    pre_period: Duration | None = Field(
        default=None, description="Before the exposure: the covariate of each mean (CUPED)."
    )

    @model_validator(mode="before")
    @classmethod
    def _days(cls, given: Any) -> Any:
        return _with_moments(given, "from", "until")

    @model_validator(mode="after")
    def _usable(self) -> Self:
        for name, moment in (("from", self.since), ("until", self.until)):
            if moment is not None and moment.tzinfo is None:
                raise ValueError(f"`{name}` has no zone; add Z for UTC")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("`from` is not before `until`")
        if 0 in {self.window, self.pre_period}:
            raise ValueError("`window` and `pre_period` are longer than 0")
        return self


class Plan(_Part):
    """An experiment as its YAML file describes it."""

    experiment: Name = Field(description="As in the events `experiment_exposure`.")
    description: Name | None = None
    owner: Name | None = None
    control: Name = Field(description="The variant that the others are compared with.")
    variants: dict[Name, Positive] = Field(description="Planned share of the players, or weight, by variant.")
    metrics: dict[Name, Metric]
    stop: Stop | None = Field(default=None, description="None: read whenever somebody likes, so exploratory.")
    exposure: Exposure = Exposure()
    alpha: Annotated[float, Field(ge=1e-6, le=0.5)] = 0.05
    power: Annotated[float, Field(ge=0.5, le=0.999)] = 0.8

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not 2 <= len(self.variants) <= MOST_VARIANTS:
            raise ValueError(f"`variants` has {len(self.variants)}, an experiment has 2 to {MOST_VARIANTS}")
        if self.control not in self.variants:
            raise ValueError(f"`control` is {self.control!r}, which is none of the variants {', '.join(self.variants)}")
        if not 1 <= len(self.metrics) <= MOST_METRICS:
            raise ValueError(f"`metrics` has {len(self.metrics)}, a plan has 1 to {MOST_METRICS}")
        if all(metric.role is not Role.PRIMARY for metric in self.metrics.values()):
            raise ValueError("no metric has `role: primary`, so nothing decides")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """Planned share of the players by variant; they add up to 1."""
        whole = math.fsum(self.variants.values())
        return {variant: weight / whole for variant, weight in self.variants.items()}

    @property
    def treatments(self) -> tuple[str, ...]:
        """The variants that are compared with the control, in the order of the plan."""
        return tuple(variant for variant in self.variants if variant != self.control)

    @property
    def digest(self) -> str:
        """SHA-256 of the content in hex digits: comments, order and layout of the file do not change it.

        Nor do fields that are left as they are by default: later versions have more of them.
        """
        content = self.model_dump(mode="json", exclude_defaults=True) | {"alpha": self.alpha, "power": self.power}
        return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def column_of(self, metric: str) -> str:
        """The column of a file that holds a metric."""
        return self.metrics[metric].column or metric


class _Loader(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error: the last would win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for place, key in enumerate(keys):
            if key in keys[:place]:
                mark = node.value[place][0].start_mark
                raise yaml.MarkedYAMLError(problem=f"{key!r} stands twice", problem_mark=mark)
        return super().construct_mapping(node, deep)


def load_plan(path: Path) -> Plan:
    """The plan in a file.

    Raises:
        PlanError: the file cannot be read, or is no plan; names what is wrong and where.
    """
    again = "give the YAML file of a plan (docs/experiments.md)"
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise PlanError(f"{path} is larger than any plan", again)
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise PlanError(f"{path} cannot be read ({error.strerror})", again) from error
    except UnicodeDecodeError as error:
        raise PlanError(f"{path} is not UTF-8", again) from error
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        raise PlanError(f"{path} is not YAML ({_said(error)})", "fix it at that place") from error
    if not isinstance(content, dict):
        raise PlanError(f"{path} is no plan: it is no mapping of names to values", again)
    return plan_of(content, str(path))


def plan_of(content: dict[Any, Any], where: str) -> Plan:
    """The plan that data describe.

    Args:
        content: parsed YAML or JSON.
        where: named in errors.

    Raises:
        PlanError: it is no plan; names each field that is wrong.
    """
    try:
        return Plan.model_validate(content)
    except ValidationError as error:
        found = [_problem(one) for one in error.errors()]
        more = f" (and {len(found) - _PROBLEMS_SHOWN} more)" if len(found) > _PROBLEMS_SHOWN else ""
        shown = "; ".join(found[:_PROBLEMS_SHOWN]) + more
        raise PlanError(f"{where} is no plan: {shown}", "fix it (docs/experiments.md has an example)") from error


def _problem(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"] if part != "[key]")
    said = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "string_type":
        said = "a name is a text: put on, off, yes, no, dates and numbers in quotes"
    return f"`{place}`: {said}" if place else said


def _said(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or str(error) or type(error).__name__
    return " ".join(str(said).split())[:200] + (f" in line {mark.line + 1}" if mark else "")
