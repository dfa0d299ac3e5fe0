"""The outputs of the jobs: a folder `flink_sql/<job>/outputs/<output>/` each, with `output.yaml` and `recompute.sql`.

Everything that handles outputs (sinks, tables, topics, checks, recompute, reconciliation, dashboard) works from this
description; nothing else in the project knows an output by its name. A board is an output with ranks.
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gamestream_dagster.catalogue.durations import DurationMs
from gamestream_dagster.catalogue.errors import CatalogueError, reasons
from gamestream_dagster.catalogue.parameters import parameters_of, with_parameters
from gamestream_dagster.catalogue.roles import ColumnRole, check_roles, known_roles
from gamestream_dagster.settings import PROJECT_ROOT, Ranks, Season

FLINK_SQL_DIR = PROJECT_ROOT / "flink_sql"
OUTPUTS = "outputs"  # the folder of a job that holds a folder for each of its outputs
DESCRIPTION = "output.yaml"
MOST_RANKS = 1000
IDENTIFIER = re.compile(r"^[a-z][a-z0-9_]{0,62}$")


def _identifier(name: str) -> str:
    if not IDENTIFIER.match(name):
        raise ValueError(f"{name!r} is not an identifier: use small letters, digits and _, at most 63, a letter first")
    return name


Identifier = Annotated[str, AfterValidator(_identifier)]


class ColumnType(StrEnum):
    """Type of a board's column, as it stands in Postgres."""

    BIGINT = "bigint"
    STRING = "string"
    DOUBLE = "double"
    TIMESTAMP = "timestamp"
    BOOLEAN = "boolean"


_MEANINGS = {
    ColumnRole.RANK: "Rank on the board, from 1.",
    ColumnRole.KEY: "Identifies whom the row is about.",
    ColumnRole.LABEL: "Name to show: the greatest text, by bytes, that an accepted event carried.",
    ColumnRole.VALUE: "Integer computed from the events of the row's window.",
    ColumnRole.AS_OF: "End of the window that the row belongs to, in event time; not part of the window.",
    ColumnRole.SEASON: "Start of the season that the row belongs to, UTC.",
    ColumnRole.NEWEST: "Kafka time of the newest event that the row counts.",
    ColumnRole.FIRST: "When the first event of the row happened.",
    ColumnRole.LAST: "When the last event of the row happened.",
}


class Column(BaseModel):
    """One column of a board."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: ColumnType
    role: ColumnRole
    over: tuple[Identifier, ...] = ()
    of: Identifier | None = None
    after: DurationMs | None = Field(
        default=None, gt=0, description="Of a `final` column: length of what begins at `of`; default: one minute."
    )
    numerator: str | None = Field(default=None, description="Product of integer columns, such as `a * b`.")
    denominator: str | None = None
    description: str = Field(default="", description="One sentence; default: what the role says.")

    @property
    def meaning(self) -> str:
        """One sentence for people who read the table."""
        if self.description:
            return self.description
        match self.role:
            case ColumnRole.SUM:
                return f"Sum of the scores of all accepted events, by {' and '.join(self.over)}."
            case ColumnRole.COUNT:
                return f"Number of accepted events, by {' and '.join(self.over)}."
            case ColumnRole.DISTINCT:
                return f"Number of different {self.of} in accepted events, by {' and '.join(self.over)}."
            case ColumnRole.CHOICE:
                return f"Who has the greatest {self.of} within the row's key."
            case ColumnRole.RATIO:
                return f"({self.numerator}) / ({self.denominator}), as a double."
            case ColumnRole.STANDING:
                return f"Number of {' and '.join(self.over)} whose last event has the row's key."
            case ColumnRole.FINAL:
                what = "minute" if self.after is None else f"{self.after // 60_000} minutes"
                return f"Whether the watermark has passed the {what} from {self.of} on."
            case _:
                return _MEANINGS[self.role]


class Window(BaseModel):
    """The sliding window of a board whose rows belong to an `as_of`. Times in seconds of event time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: Identifier
    tick_seconds: int = Field(gt=0)
    length_seconds: int = Field(gt=0)
    delay_seconds: int = Field(ge=0, description="Watermark delay of the job's source.")


class KafkaSink(BaseModel):
    """The compacted topic that holds an output's changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str | None = Field(
        default=None, pattern=r"^[a-z][a-z0-9-]{0,248}$", description="Default: the name with `-`."
    )
    delivery: Literal["exactly-once", "at-least-once"] = "exactly-once"
    transaction_timeout_seconds: int = Field(default=900, gt=0, description="How long Kafka keeps an open transaction.")


class PostgresSink(BaseModel):
    """The Postgres table that holds an output's rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flush_rows: int = Field(default=500, gt=0, description="Rows that are written at once, at most.")
    flush_interval: str = Field(default="500 ms", pattern=r"^[1-9][0-9]{0,5} (ms|s)$")
    max_retries: int = Field(default=5, ge=0)


class Sinks(BaseModel):
    """Where an output is written: by default both, so that each can witness for the other."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kafka: KafkaSink | None = None
    postgres: PostgresSink | None = None

    @model_validator(mode="after")
    def _somewhere(self) -> Sinks:
        if self.kafka is None and self.postgres is None:
            raise ValueError("name `kafka` or `postgres`, or leave `sinks` out for both")
        return self


class OrderTerm(BaseModel):
    """One term of a board's total order."""

    model_config = ConfigDict(frozen=True)

    column: Identifier
    descending: bool


class Board(BaseModel):
    """One output of a job, as its `output.yaml` describes it. With `rows`, `order` and a rank column it is a board."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Identifier
    job: Identifier
    folder: Path
    title: str
    description: str
    owner: str
    reads: tuple[str, ...] = Field(default=(), description="Topics that the output's job reads.")
    only_with_ranks: bool = Field(default=False, description="Its job is of the stack with `ranks: all` alone.")
    source: str | None = Field(
        default=None, description="Topic that the output is computed from, where its job reads several."
    )
    sinks: Sinks = Sinks(kafka=KafkaSink(), postgres=PostgresSink())
    rows: int = Field(default=10_000, gt=0, le=1_000_000, description="Ranks of a board; otherwise the most rows.")
    order: tuple[OrderTerm, ...] = ()
    window: Window | None = None
    retention: DurationMs | None = Field(
        default=None, description="A row that was last written longer ago may be gone; None: rows stay."
    )
    filtered: bool = Field(
        default=False, description="Only some keys of the events have a row: recompute.sql says which."
    )
    parameters: dict[str, str] = Field(
        default_factory=dict, description="Of its job: what `${name}` stands for in recompute.sql."
    )
    columns: dict[Identifier, Column]

    @model_validator(mode="after")
    def _columns_exist(self) -> Board:
        named = [term.column for term in self.order]
        if self.window:
            named.append(self.window.as_of)
        for column in self.columns.values():
            if column.of and column.role is not ColumnRole.DISTINCT:  # that one names a column of the events
                named.append(column.of)
        for name in named:
            if name not in self.columns:
                raise ValueError(f"column {name!r} is used but not described; add it to `columns`")
        if not self.entity:
            raise ValueError("no column has the role `key`; it names what a row is about")
        self._check_ranks()
        seasons = [name for name, column in self.columns.items() if column.role is ColumnRole.SEASON]
        if len(seasons) > 1:
            raise ValueError(f"only one column can have the role `season`, not {' and '.join(seasons)}")
        for name in seasons:
            if self.window:
                raise ValueError(f"a board has a window or seasons: take `window` or column {name!r} away")
        recompute = self.folder / "recompute.sql"
        text = recompute.read_text(encoding="utf-8") if recompute.is_file() else ""
        wrong = list(check_roles(self.columns, self.window, text))
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _check_ranks(self) -> None:
        ranks = [name for name, column in self.columns.items() if column.role is ColumnRole.RANK]
        if len(ranks) > 1:
            raise ValueError(f"exactly one column of a board has the role `rank`, not {' and '.join(ranks)}")
        if ranks and not self.order:
            raise ValueError(f"column {ranks[0]!r} is a rank: say by which `order`, or take the column away")
        if not ranks and self.order:
            raise ValueError("`order` needs a column with the role `rank`; an output without ranks has neither")
        if ranks and ("rows" not in self.model_fields_set or self.rows > MOST_RANKS):
            raise ValueError(f"a board needs `rows`, the number of its ranks, at most {MOST_RANKS}")
        if ranks and self.retention is not None:
            raise ValueError("`retention` is for an output without ranks: the rows of a board replace each other")
        if ranks and self.filtered:
            raise ValueError("`filtered` is for an output without ranks: the ranks of a board choose its rows")
        if not ranks and self.season_column is not None:
            raise ValueError(f"column {self.season_column!r} is a season: only a board has seasons, so add ranks")

    @property
    def topic(self) -> str:
        """Name of the topic that holds its changes."""
        named = self.sinks.kafka.topic if self.sinks.kafka else None
        return named or self.name.replace("_", "-")

    @property
    def entity(self) -> tuple[str, ...]:
        """The columns that name what a row is about."""
        return tuple(name for name, column in self.columns.items() if column.role is ColumnRole.KEY)

    @property
    def ranked(self) -> bool:
        """Whether its rows have ranks: then it is a board."""
        return bool(self.order)

    @property
    def rank_column(self) -> str:
        """Name of the rank column, of a board alone (`ranked`)."""
        return next(name for name, column in self.columns.items() if column.role is ColumnRole.RANK)

    @property
    def season_column(self) -> str | None:
        """Name of the column that holds the start of the row's season; None for a board of all time."""
        return next((name for name, column in self.columns.items() if column.role is ColumnRole.SEASON), None)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """What tells the rows of the table, and the records of the topic, apart."""
        own = (self.rank_column,) if self.ranked else self.entity
        return own if self.season_column is None else (self.season_column, *own)

    @property
    def shrinks(self) -> bool:
        """Whether a row can go when more events come: it counts subjects where they are now."""
        return any(column.role is ColumnRole.STANDING for column in self.columns.values())

    @property
    def proven(self) -> bool:
        """Whether it can be reconciled: it can be recomputed, and each sink has the other one as a witness."""
        return self.recompute_file.is_file() and self.sinks.kafka is not None and self.sinks.postgres is not None

    @property
    def recompute_file(self) -> Path:
        """Where its DuckDB query is."""
        return self.folder / "recompute.sql"

    @property
    def recompute_sql(self) -> str:
        """The output's own DuckDB query, over the relation `events`, with the parameters of its job.

        Raises:
            CatalogueError: a parameter has no value.
        """
        return with_parameters(self.recompute_file.read_text(encoding="utf-8"), self.parameters, self.recompute_file)


def load_boards(
    root: Path = FLINK_SQL_DIR, season: Season | None = Season.NONE, ranks: Ranks = Ranks.BOARDS
) -> dict[str, Board]:
    """Read every board under `root`, by name, in the order of the folders.

    Args:
        root: where the folders are.
        season: a stack's setting: with `NONE` boards of seasons are left out. None: every board.
        ranks: a stack's setting: without `ALL` the outputs of jobs with `only_with_ranks` are left out.

    Raises:
        CatalogueError: a file is not usable, or two boards share a name or a topic.
    """
    boards: dict[str, Board] = {}
    for path in sorted(root.glob(f"*/{OUTPUTS}/*/{DESCRIPTION}")):
        board = load_output(path)
        if board.name in boards:
            raise CatalogueError(f"{path}: output {board.name!r} exists already in {boards[board.name].folder}")
        boards[board.name] = board
    topics = [board.topic for board in boards.values() if board.sinks.kafka is not None]
    if len(set(topics)) != len(topics):
        raise CatalogueError(f"Two outputs write to one topic: {sorted(topics)}; give one another `sinks.kafka.topic`")
    kept = season is not Season.NONE
    return {
        name: board
        for name, board in boards.items()
        if (kept or board.season_column is None) and (ranks is Ranks.ALL or not board.only_with_ranks)
    }


def load_output(path: Path) -> Board:
    """The output that one `output.yaml` describes.

    Raises:
        CatalogueError: the file is not usable; says why.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(raw, dict):
            raise ValueError("it must hold `field: value` lines")  # noqa: TRY004, TRY301 - of a file's content
        known_roles(raw.get("columns"))
        raw["order"] = [_order_term(text) for text in raw.get("order", [])]
        job = path.parents[2]
        described = _job(job)
        known = {
            "reads": _reads(described),
            "only_with_ranks": described.get("only_with_ranks") is True,
            "parameters": parameters_of(described, job),
        }
        return Board(name=path.parent.name, job=job.name, folder=path.parent, **known, **raw)
    except ValidationError as error:
        raise CatalogueError(f"{path} cannot be used: {reasons(error)}") from error
    except (OSError, yaml.YAMLError, ValueError, TypeError) as error:
        raise CatalogueError(f"{path} cannot be used: {error}") from error


def _job(folder: Path) -> dict[str, Any]:
    """job.yaml as it is; what is in it is checked where jobs are read (`flink_jobs.spec.catalogue`)."""
    path = folder / "job.yaml"
    described = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    return cast("dict[str, Any]", described) if isinstance(described, dict) else {}


def _reads(described: dict[str, Any]) -> tuple[str, ...]:
    listed = described.get("reads")
    return tuple(str(topic) for topic in cast("list[Any]", listed)) if isinstance(listed, list) else ()


def _order_term(text: str) -> OrderTerm:
    match text.split():
        case [column, ("asc" | "desc") as direction]:
            return OrderTerm(column=column, descending=direction == "desc")
        case _:
            raise ValueError(f"order term {text!r} must be `<column> asc` or `<column> desc`")
