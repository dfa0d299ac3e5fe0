"""The settled metrics: a folder `batch_sql/<metric>/` each, with `metric.yaml`, `query.sql` and `tests/`.

Tables, assets, checks, suites, pages of the docs and the order of computation follow from the folder; no code names a
metric. What a metric reads is taken from its SQL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, timedelta
from enum import StrEnum
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gamestream_dagster.catalogue.boards import IDENTIFIER, Identifier
from gamestream_dagster.catalogue.errors import CatalogueError, reasons
from gamestream_dagster.settings import PROJECT_ROOT

BATCH_SQL_DIR = PROJECT_ROOT / "batch_sql"
DESCRIPTION = "metric.yaml"
GAME_EVENTS = "game_events"
EVENT_TYPES = "event_types"
DEVICE_MODELS = "device_models"
BASE_RELATIONS = frozenset({GAME_EVENTS, EVENT_TYPES, DEVICE_MODELS})
"""Relations that every query may read beside other metrics; `metrics.compute` makes them."""

MOST_DAYS = 400
"""Days that a metric can look back: more than a year, for what has no beginning, such as balances."""

HAS_ROWS = "has_rows"
KEY_IS_UNIQUE = "key_is_unique"
NO_NULLS = "no_nulls"
LIVE_EQUALS_SETTLED = "live_equals_settled"
_BUILT_IN = frozenset({HAS_ROWS, KEY_IS_UNIQUE, NO_NULLS, LIVE_EQUALS_SETTLED})


class MetricType(StrEnum):
    """Type of a metric's column, as it stands in Postgres."""

    BIGINT = "bigint"
    DOUBLE = "double"
    DECIMAL = "decimal"  # money and currencies: 38 digits, 6 of them decimal places
    STRING = "string"
    DATE = "date"
    TIMESTAMP = "timestamp"
    BOOLEAN = "boolean"
    JSON = "json"


_SUMMED = frozenset({MetricType.BIGINT, MetricType.DECIMAL})


class MetricColumn(BaseModel):
    """One column of a metric's table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: MetricType
    meaning: str = Field(min_length=1)
    unit: str = Field(default="", description="Such as `players`, `USD`, `share`.")
    required: bool = Field(default=False, description="Never null.")


class CheckSeverity(StrEnum):
    """What a failed check does."""

    FAIL = "fail"  # what reads this metric is not computed
    WARN = "warn"  # it is shown


class MetricCheck(BaseModel):
    """One rule of a metric: a condition that holds for every row of a day, in the SQL of DuckDB and of Postgres."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    severity: CheckSeverity
    holds: str = Field(min_length=1, description="The rule as a sentence.")
    where: str = Field(min_length=1, description="The condition; null counts as broken.")


class LiveSum(BaseModel):
    """A number that streams, too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    of: Identifier = Field(description="Column of the output, of which the rows of a day are added up.")
    per: int = Field(default=1, gt=0, description="Units of it in one of the settled column: 1000000 for millionths.")


class LiveOutput(BaseModel):
    """A streamed output that answers the same question as some columns of a metric."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: Identifier
    by: dict[Identifier, Identifier] = Field(
        default_factory=dict, description="What both are told apart by: column of the metric's key, and of the output."
    )
    sums: dict[Identifier, LiveSum] = Field(min_length=1, description="By column of the metric.")


class Metric(BaseModel):
    """One settled metric."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Identifier
    folder: Path
    sql: str
    title: str = Field(min_length=1)
    owner: str = "team:game-analytics"
    grain: str = Field(min_length=1)
    definition: str = Field(min_length=1)
    source: str = Field(min_length=1, description="Where the definition comes from.")
    partition: Identifier
    key: tuple[Identifier, ...] = Field(min_length=1)
    windows: dict[Identifier, Annotated[int, Field(ge=1, le=MOST_DAYS)]] = Field(
        default_factory=dict, description="Days up to its own that it reads of a metric; of others its own day alone."
    )
    lateness: str = Field(default="A late event settles the day again, with the next version.")
    empty: CheckSeverity = Field(default=CheckSeverity.WARN, description="What a day without rows is.")
    columns: dict[Identifier, MetricColumn]
    checks: dict[Identifier, MetricCheck] = Field(default_factory=dict)
    divided: bool = Field(default=False, description="The table has a part for each day, which is dropped as a whole.")
    kept_days: int | None = Field(default=None, ge=1, description="Older days are dropped; none: never.")
    live: tuple[LiveOutput, ...] = Field(default=(), description="Streamed outputs that it is compared with.")

    def __hash__(self) -> int:
        return hash((self.name, self.sql))

    @model_validator(mode="after")
    def _parts_fit(self) -> Metric:
        for name in (self.partition, *self.key):
            if name not in self.columns:
                raise ValueError(f"there is no column {name!r}")
        if self.columns[self.partition].type is not MetricType.DATE:
            raise ValueError(f"the partition {self.partition!r} must be a date")
        if self.partition not in self.key:
            raise ValueError(f"the key must hold the partition {self.partition!r}")
        self._check_live()
        if taken := _BUILT_IN & self.checks.keys():
            raise ValueError(f"every metric has the check {sorted(taken)[0]!r}; name yours otherwise")
        return self

    def _check_live(self) -> None:
        for live in self.live:
            if strange := [name for name in live.by if name not in self.key or name == self.partition]:
                raise ValueError(f"`live` is by {strange[0]!r}, which is no column of the key beside the partition")
            for name in live.sums:
                if name not in self.columns or self.columns[name].type not in _SUMMED:
                    raise ValueError(f"`live` sums {name!r}, which is no column of type bigint or decimal")

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Relations that its query reads, sorted: metrics and base relations.

        Raises:
            CatalogueError: the query cannot be parsed, or is not one SELECT.
        """
        return relations_of(self.sql, self.folder / "query.sql")

    @property
    def upstream(self) -> tuple[str, ...]:
        """The metrics that it reads."""
        return tuple(name for name in self.reads if name not in BASE_RELATIONS)

    @property
    def reads_events(self) -> bool:
        """It reads the archive itself, and so needs a complete day."""
        return GAME_EVENTS in self.reads

    @property
    def required(self) -> tuple[str, ...]:
        """Columns that are never null."""
        return tuple(name for name, one in self.columns.items() if one.required or name in self.key)

    @property
    def fingerprint(self) -> str:
        """Digest of all that its rows depend on beside its input: the query, columns and windows."""
        columns = ",".join(f"{name}:{one.type.value}" for name, one in self.columns.items())
        windows = ",".join(f"{name}:{days}" for name, days in sorted(self.windows.items()))
        text = "\n".join((self.sql, columns, ",".join(self.key), windows))
        return hashlib.sha256(text.encode()).hexdigest()

    def window_of(self, upstream: str) -> int:
        """How many days up to its own it reads of a metric."""
        return self.windows.get(upstream, 1)

    def days_of(self, upstream: str, day: date, first: date) -> list[date]:
        """The days that it reads of a metric for a day, oldest first; none before `first`."""
        window = (day - timedelta(days=back) for back in reversed(range(self.window_of(upstream))))
        return [one for one in window if one >= first]

    def blocks(self, check: str) -> bool:
        """Whether nothing is computed from a day that breaks a check. A day without rows is red, and blocks nothing."""
        if check in self.rules:
            return self.rules[check].severity is CheckSeverity.FAIL
        return check == KEY_IS_UNIQUE

    @property
    def rules(self) -> dict[str, MetricCheck]:
        """Every check over rows: that of nulls, then its own."""
        nulls = MetricCheck(
            severity=CheckSeverity.FAIL,
            holds="The key and the required columns are never null.",
            where=" AND ".join(f'"{name}" IS NOT NULL' for name in self.required),
        )
        return {NO_NULLS: nulls, **self.checks}


def load_metrics(folder: Path = BATCH_SQL_DIR) -> dict[str, Metric]:
    """Every metric by name, each after those that it reads.

    Raises:
        CatalogueError: a folder is not usable, a query reads what there is not, or metrics read each other in a circle.
    """
    found = {path.parent.name: _metric_of(path) for path in sorted(folder.glob(f"*/{DESCRIPTION}"))}
    for metric in found.values():
        if strange := [name for name in metric.windows if name not in metric.upstream]:
            raise CatalogueError(
                f"{metric.folder / DESCRIPTION} has a window of {strange[0]!r}, which it does not read; remove it"
            )
        unknown = [name for name in metric.upstream if name not in found]
        if unknown:
            raise CatalogueError(
                f"{metric.folder / 'query.sql'} reads {unknown[0]!r}, which is neither a metric nor one of "
                f"{', '.join(sorted(BASE_RELATIONS))}; add batch_sql/{unknown[0]}/ or mend the name"
            )
    try:
        order = list(TopologicalSorter({name: sorted(one.upstream) for name, one in found.items()}).static_order())
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise CatalogueError(f"Metrics read each other in a circle: {circle}; let one of them read events") from error
    return {name: found[name] for name in order}


def metric_named(name: str, metrics: Mapping[str, Metric]) -> Metric:
    """A metric.

    Raises:
        CatalogueError: there is none of that name.
    """
    if name not in metrics:
        raise CatalogueError(f"There is no metric {name!r}; the metrics are: {', '.join(metrics) or 'none yet'}")
    return metrics[name]


def with_upstream(names: tuple[str, ...], metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    """Metrics and all that they read, in the order of computation; no names: all of them.

    Raises:
        CatalogueError: there is none of such a name.
    """
    wanted = set[str]()
    todo = list(names or metrics)
    while todo:
        metric = metric_named(todo.pop(), metrics)
        if metric.name not in wanted:
            wanted.add(metric.name)
            todo += metric.upstream
    return {name: one for name, one in metrics.items() if name in wanted}


def relations_of(sql: str, path: Path) -> tuple[str, ...]:
    """Names of the relations that a query reads, without those that it defines itself.

    Raises:
        CatalogueError: it is not one query that can be parsed.
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.scope import traverse_scope

    try:
        parsed = [one for one in sqlglot.parse(sql, read="duckdb") if one is not None]
        if len(parsed) != 1 or not isinstance(parsed[0], exp.Query):
            raise CatalogueError(f"{path} must be one SELECT; write one query")
        scopes = traverse_scope(parsed[0])
    except SqlglotError as error:
        raise CatalogueError(f"{path} cannot be parsed: {str(error).splitlines()[0]}") from error
    tables = {source for scope in scopes for source in scope.sources.values() if isinstance(source, exp.Table)}
    for table in tables:
        if table.db or not isinstance(table.this, exp.Identifier) or not IDENTIFIER.match(table.name):
            raise CatalogueError(f"{path} reads {table.sql()!r}; read metrics and base relations by their plain names")
    return tuple(sorted({table.name for table in tables}))


def _metric_of(path: Path) -> Metric:
    query = path.with_name("query.sql")
    try:
        described: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Metric(name=path.parent.name, folder=path.parent, sql=query.read_text(encoding="utf-8"), **described)
    except ValidationError as error:
        raise CatalogueError(f"{path} cannot be used: {reasons(error)}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError) as error:
        raise CatalogueError(f"{path} and its query.sql cannot be used: {error}") from error
