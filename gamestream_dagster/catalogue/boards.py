"""The boards: each is one folder `flink_sql/<job>/boards/<board>/`, with `board.yaml` and `recompute.sql`.

Everything that handles boards (tables, topics, checks, recompute, reconciliation, dashboard) works from this
description; nothing else in the project knows a board by its name.
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gamestream_dagster.catalogue.errors import CatalogueError
from gamestream_dagster.catalogue.roles import ColumnRole, check_roles, known_roles
from gamestream_dagster.settings import PROJECT_ROOT, Season

FLINK_SQL_DIR = PROJECT_ROOT / "flink_sql"
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


class Column(BaseModel):
    """One column of a board."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: ColumnType
    role: ColumnRole
    over: tuple[Identifier, ...] = ()
    of: Identifier | None = None
    numerator: str | None = Field(default=None, description="Product of integer columns, such as `a * b`.")
    denominator: str | None = None
    description: str = Field(default="", description="One sentence; default: what the role says.")

    @property
    def meaning(self) -> str:
        """One sentence for people who read the table."""
        if self.description:
            return self.description
        match self.role:
            case ColumnRole.RANK:
                return "Rank on the board, from 1."
            case ColumnRole.KEY:
                return "Identifies whom the row is about."
            case ColumnRole.LABEL:
                return "Name to show: the greatest text, by bytes, that an accepted event carried."
            case ColumnRole.SUM:
                return f"Sum of the scores of all accepted events, by {' and '.join(self.over)}."
            case ColumnRole.VALUE:
                return "Integer computed from the events of the row's window."
            case ColumnRole.CHOICE:
                return f"Who has the greatest {self.of} within the row's key."
            case ColumnRole.RATIO:
                return f"({self.numerator}) / ({self.denominator}), as a double."
            case ColumnRole.AS_OF:
                return "End of the window that the row belongs to, in event time; not part of the window."
            case ColumnRole.SEASON:
                return "Start of the season that the row belongs to, UTC."


class Window(BaseModel):
    """The sliding window of a board whose rows belong to an `as_of`. Times in seconds of event time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: Identifier
    tick_seconds: int = Field(gt=0)
    length_seconds: int = Field(gt=0)
    delay_seconds: int = Field(ge=0, description="Watermark delay of the job's source.")


class OrderTerm(BaseModel):
    """One term of a board's total order."""

    model_config = ConfigDict(frozen=True)

    column: Identifier
    descending: bool


class Board(BaseModel):
    """One leaderboard, as its `board.yaml` describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Identifier
    job: Identifier
    folder: Path
    title: str
    description: str
    owner: str
    topic: str
    reads: tuple[str, ...] = Field(default=(), description="Topics that the board's job reads.")
    source: str | None = Field(
        default=None, description="Topic that the board is computed from, where its job reads several."
    )
    rows: int = Field(gt=0, le=1000)
    entity: tuple[Identifier, ...] = Field(min_length=1)
    order: tuple[OrderTerm, ...] = Field(min_length=1)
    window: Window | None = None
    columns: dict[Identifier, Column]

    @model_validator(mode="after")
    def _columns_exist(self) -> Board:
        named = [*self.entity, *(term.column for term in self.order)]
        if self.window:
            named.append(self.window.as_of)
        for column in self.columns.values():
            if column.of:
                named.append(column.of)
        for name in named:
            if name not in self.columns:
                raise ValueError(f"column {name!r} is used but not described; add it to `columns`")
        if [c.role for c in self.columns.values()].count(ColumnRole.RANK) != 1:
            raise ValueError("exactly one column must have the role `rank`")
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

    @property
    def rank_column(self) -> str:
        """Name of the rank column."""
        return next(name for name, column in self.columns.items() if column.role is ColumnRole.RANK)

    @property
    def season_column(self) -> str | None:
        """Name of the column that holds the start of the row's season; None for a board of all time."""
        return next((name for name, column in self.columns.items() if column.role is ColumnRole.SEASON), None)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """What tells the rows of the table, and the records of the topic, apart."""
        return (self.rank_column,) if self.season_column is None else (self.season_column, self.rank_column)

    @property
    def recompute_sql(self) -> str:
        """The board's own DuckDB query, over the relation `events`."""
        return (self.folder / "recompute.sql").read_text(encoding="utf-8")


def load_boards(root: Path = FLINK_SQL_DIR, season: Season | None = Season.NONE) -> dict[str, Board]:
    """Read every board under `root`, by name, in the order of the folders.

    Args:
        root: where the folders are.
        season: a stack's setting: with `NONE` boards of seasons are left out. None: every board.

    Raises:
        CatalogueError: a file is not usable, or two boards share a name or a topic.
    """
    boards: dict[str, Board] = {}
    for path in sorted(root.glob("*/boards/*/board.yaml")):
        board = _load_board(path)
        if board.name in boards:
            raise CatalogueError(f"{path}: board {board.name!r} exists already in {boards[board.name].folder}")
        boards[board.name] = board
    topics = [board.topic for board in boards.values()]
    if len(set(topics)) != len(topics):
        raise CatalogueError(f"Two boards write to one topic: {sorted(topics)}; give each its own `topic`")
    kept = season is not Season.NONE
    return {name: board for name, board in boards.items() if kept or board.season_column is None}


def _load_board(path: Path) -> Board:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(raw, dict):
            raise ValueError("it must hold `field: value` lines")  # noqa: TRY004, TRY301 - of a file's content
        known_roles(raw.get("columns"))
        raw["order"] = [_order_term(text) for text in raw.get("order", [])]
        job = path.parents[2]
        return Board(name=path.parent.name, job=job.name, folder=path.parent, reads=_reads(job), **raw)
    except ValidationError as error:
        reasons = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in error.errors())
        raise CatalogueError(f"{path} cannot be used: {'; '.join(reasons)}") from error
    except (OSError, yaml.YAMLError, ValueError, TypeError) as error:
        raise CatalogueError(f"{path} cannot be used: {error}") from error


def _reads(job: Path) -> tuple[str, ...]:
    """What job.yaml lists; what else is in it is checked where jobs are read (`flink_jobs.spec.catalogue`)."""
    path = job / "job.yaml"
    described = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    listed = cast("dict[str, Any]", described).get("reads") if isinstance(described, dict) else None
    return tuple(str(topic) for topic in cast("list[Any]", listed)) if isinstance(listed, list) else ()


def _order_term(text: str) -> OrderTerm:
    match text.split():
        case [column, ("asc" | "desc") as direction]:
            return OrderTerm(column=column, descending=direction == "desc")
        case _:
            raise ValueError(f"order term {text!r} must be `<column> asc` or `<column> desc`")
