"""The recompute's boards as Flink batch jobs over the same archive: for more events than one machine can aggregate.

The rows of a board come from the cluster; histories, the ledger and causes ask about few entities or stream through the
archive, and stay with DuckDB. So every mode goes with either engine. The job reads files and never Kafka: a bounded
Kafka job that is restored does not finish.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from uuid import uuid4

from gamestream_dagster.archive.manifest import ArchivedFile
from gamestream_dagster.catalogue.boards import Board, ColumnType
from gamestream_dagster.catalogue.seasons import SeasonSpan
from gamestream_dagster.clients.errors import ServiceError, TerminalServiceError
from gamestream_dagster.clients.flink_literal import literal
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.flink_sql_gateway import GatewaySession, SqlGateway, StatementResult
from gamestream_dagster.reconciliation.errors import BoardNotUsableError, CouldNotLookError
from gamestream_dagster.reconciliation.model.values import Row
from gamestream_dagster.reconciliation.recompute.recompute import Cut, Position, Recompute
from gamestream_dagster.settings import RecomputeEngine, Settings

RECOMPUTE_SQL = "recompute.flink.sql"
"""A board's own batch query, beside its recompute.sql."""

LIMIT_SECONDS = 1800.0
"""How long the recompute of one board may take."""

_FOLDER = Path(__file__).with_name("sql") / "flink"
_PLACEHOLDER = re.compile(r"\$\{([a-z]+)\}")
_PARAMETER = re.compile(r"\$([a-z_]+)")
_TELL_SECONDS = 2.0
_OPTIONS = {
    "execution.runtime-mode": "batch",
    "table.local-time-zone": "UTC",
    # What is wrong with the data stays wrong. A task that fails takes 30 s to close its file reader, each time (seen).
    "restart-strategy.type": "none",
    # To read the files' statistics the planner would ask Hadoop's own file systems, which are not there.
    "table.optimizer.source.report-statistics-enabled": "false",
}

_TYPES = {
    ColumnType.BIGINT: "BIGINT",
    ColumnType.STRING: "STRING",
    ColumnType.DOUBLE: "DOUBLE",
    ColumnType.TIMESTAMP: "BIGINT",  # milliseconds, as in the recompute
}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Ask:
    """One board that is wanted; `rows`: None is the board's own number; `as_of`: end of its window, milliseconds."""

    board: Board
    rows: int | None = None
    as_of: int | None = None


def open_recompute(
    settings: Settings, topic_dir: Path, spill_dir: Path, *, event_ids: bool = True, say: Say = lambda _: None
) -> Recompute:
    """The recompute by the engine that the settings name.

    Args:
        settings: the stack; `recompute_engine` chooses.
        topic_dir: `<archive_dir>/<topic>`.
        spill_dir: folder for what does not fit into memory.
        event_ids: whether the topic's events carry ids.
        say: told how far a Flink job is.
    """
    match settings.recompute_engine:
        case RecomputeEngine.DUCKDB:
            return Recompute(topic_dir, spill_dir, event_ids=event_ids)
        case RecomputeEngine.FLINK:
            return FlinkRecompute(settings, topic_dir, spill_dir, event_ids=event_ids, say=say)


@dataclass(frozen=True)
class BatchSource:
    """What a batch job reads: a topic's archived files, and what counts of them."""

    topic_dir: Path
    files: tuple[ArchivedFile, ...]
    cut: Cut
    event_ids: bool
    season: SeasonSpan | None = None

    @property
    def definitions(self) -> list[str]:
        """Statements that make `events`, and what it is made of, in a session."""
        pattern = file_pattern(self.topic_dir, [file.path for file in self.files])
        cut = ", ".join(f"({int(partition)}, {int(offset)})" for partition, offset in sorted(self.cut.items()))
        return [
            _filled("archive", path=literal(self.topic_dir.as_uri()), pattern=literal(pattern)),
            _filled("cut", cut=cut),
            _filled("accepted"),
            _filled("counted" if self.event_ids else "counted_without_ids"),
            _filled("counted_events"),
            _filled("events")
            if self.season is None
            else _filled("season_events", start=str(int(self.season.start)), end=str(int(self.season.end))),
        ]


class FlinkRecompute(Recompute):
    """A recompute whose `rows` are computed by the Flink cluster. All else, and every hypothesis, is DuckDB's.

    Args:
        settings: the stack; gateway and JobManager must reach the archive under the same path as this process.
        topic_dir: `<archive_dir>/<topic>`.
        spill_dir: folder for what DuckDB cannot hold in memory.
        threads: DuckDB's.
        event_ids: whether the topic's events carry ids.
        say: told how far a job is.
        limit_seconds: how long a job may take.
    """

    def __init__(
        self,
        settings: Settings,
        topic_dir: Path,
        spill_dir: Path,
        threads: int = 2,
        *,
        event_ids: bool = True,
        say: Say = lambda _: None,
        limit_seconds: float = LIMIT_SECONDS,
    ) -> None:
        super().__init__(topic_dir, spill_dir, threads, event_ids=event_ids)
        self._settings = settings
        self._topic_dir = topic_dir.absolute()
        self._event_ids = event_ids
        self._say = say
        self._limit = limit_seconds
        self._supposing = 0

    def rows(
        self,
        board: Board,
        cut: Cut,
        rows: int | None = None,
        as_of: int | None = None,
        season: SeasonSpan | None = None,
    ) -> list[Row]:
        """The board at a cut, best row first; see `Recompute.rows`, and `together` for what it raises.

        An output without a batch query of its own is recomputed by DuckDB.
        """
        if not (board.folder / RECOMPUTE_SQL).is_file():
            self._say(f"{board.name} has no {RECOMPUTE_SQL}: DuckDB recomputes it")
            return super().rows(board, cut, rows, as_of, season)
        asked = season if board.season_column is not None else None
        return self.together(cut, [Ask(board, rows, as_of)], asked)[0]

    def together(self, cut: Cut, asks: Sequence[Ask], season: SeasonSpan | None = None) -> list[list[Row]]:
        """Several boards at one cut by one job, which costs less than a job for each; the rows of each in its place.

        Args:
            cut: next offset by partition.
            asks: the boards.
            season: whose events alone count; default the one of `during`, which may be none.

        Raises:
            BoardNotUsableError: a board has no `recompute.flink.sql`, or Flink refuses it, or it lacks a column.
            CouldNotLookError: the job failed, or Flink cannot read Parquet.
            TransientServiceError: Flink gives no answer, or the job was not done within the limit and was cancelled.
        """
        if self._supposing:
            return [super(FlinkRecompute, self).rows(ask.board, cut, ask.rows, ask.as_of, season) for ask in asks]
        season = season or self.season
        query = together_query(asks, season)
        reached = {partition: offset for partition, offset in cut.items() if offset > 0}
        source = BatchSource(self._topic_dir, self.archive.chapter.files, reached, self._event_ids, season)
        if not source.files or not reached:
            return [[] for _ in asks]
        boards = ", ".join(dict.fromkeys(ask.board.name for ask in asks))
        name = f"recompute-{uuid4().hex[:12]}"
        result = _BatchJob(self._settings, boards, name, self._say, self._limit).run(source, query)
        return _by_ask(asks, result)

    @contextmanager
    def supposing(self, removed: Iterable[Position] = (), added: Iterable[Position] = ()) -> Generator[None]:
        """As `Recompute.supposing`; `rows` are DuckDB's meanwhile."""
        self._supposing += 1
        try:
            with super().supposing(removed, added):
                yield
        finally:
            self._supposing -= 1


def together_query(asks: Sequence[Ask], season: SeasonSpan | None = None) -> str:
    """One query for all asks: the place of the ask in `ask`, and each column of any board; NULL where a board lacks it.

    Raises:
        BoardNotUsableError: see `board_query`.
    """
    kinds = {name: _TYPES[column.type] for ask in asks for name, column in ask.board.columns.items()}
    selects: list[str] = []
    for place, ask in enumerate(asks):
        columns = [
            f"`{name}`" if name in ask.board.columns else f"CAST(NULL AS {kind}) AS `{name}`"
            for name, kind in kinds.items()
        ]
        # identifiers of the catalogue, and numbers
        selects.append(f"SELECT {place} AS ask, {', '.join(columns)} FROM (\n{board_query(ask, season)}\n)")  # noqa: S608
    return "\nUNION ALL\n".join(selects)


def board_query(ask: Ask, season: SeasonSpan | None = None) -> str:
    """A board's batch query with its numbers put in.

    Raises:
        BoardNotUsableError: there is none, it names another parameter, or its window or season is missing.
    """
    board, path = ask.board, ask.board.folder / RECOMPUTE_SQL
    numbers = {"rows": ask.rows or board.rows}
    if board.window is not None:
        if ask.as_of is None:
            raise BoardNotUsableError(f"{board.name} has a window: say which with `as_of`.")
        numbers["as_of"] = ask.as_of
    if board.season_column is not None:
        if season is None:
            raise BoardNotUsableError(f"{board.name} has seasons: say which with `season`.")
        numbers["season"] = season.start
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BoardNotUsableError(
            f"{path} is missing, so Flink cannot recompute {board.name}; write it beside recompute.sql, "
            "or use `--engine duckdb`."
        ) from error

    def number(match: re.Match[str]) -> str:
        if match[1] not in numbers:
            raise BoardNotUsableError(f"{path} uses ${match[1]}, which is not given; use {', '.join(numbers)}.")
        return str(int(numbers[match[1]]))

    return _PARAMETER.sub(number, _without_comments(text))


def file_pattern(topic_dir: Path, paths: Sequence[str]) -> str:
    """A regular expression for exactly these files of a folder, which Flink holds against whole paths.

    Names are grouped by folder, so that a file is held against few of them, however many there are.
    """
    folders = groupby(sorted(Path(path) for path in paths), key=lambda path: path.parent)
    groups = [
        (re.escape(f"{folder.as_posix()}/") if folder.name else "")
        + "(?:"
        + "|".join(re.escape(path.name) for path in files)
        + ")"
        for folder, files in folders
    ]
    return ".*" + re.escape(f"{topic_dir.as_posix()}/") + "(?:" + "|".join(groups) + ")"


def _by_ask(asks: Sequence[Ask], result: StatementResult) -> list[list[Row]]:
    found: list[list[Row]] = [[] for _ in asks]
    for values in result.rows:
        row = dict(zip(result.columns, values, strict=True))
        place = int(row["ask"])
        found[place].append({name: row[name] for name in asks[place].board.columns})
    for ask, rows in zip(asks, found, strict=True):
        rows.sort(key=lambda row: row[ask.board.rank_column])
    return found


@dataclass(frozen=True)
class _BatchJob:
    """One query as one Flink job, told by its name; cancelled if anything goes wrong."""

    settings: Settings
    boards: str
    name: str
    say: Say
    limit_seconds: float

    def run(self, source: BatchSource, query: str) -> StatementResult:
        started = time.monotonic()
        gateway = SqlGateway(self.settings.flink_gateway)
        with FlinkRest(self.settings.flink_rest) as flink:
            try:
                with gateway.session(self.name, {**_OPTIONS, "pipeline.name": self.name}) as session:
                    self._define(session, source, query)
                    progress = _Progress(flink, self.name, lambda far: self.say(f"{self.boards} on Flink: {far}"))
                    result = self._fetch(session, query, progress)
            except BaseException:
                _cancel(flink, self.name)
                raise
            finally:
                gateway.close()
        self.say(
            f"{self.boards} on Flink: {len(result.rows)} rows from {sum(one.records for one in source.files):,} "
            f"records in {time.monotonic() - started:.1f} s"
        )
        return result

    def _define(self, session: GatewaySession, source: BatchSource, query: str) -> None:
        try:
            for jar in sorted(self.settings.batch_jars_dir.glob("*.jar")):
                session.execute(f"ADD JAR {literal(str(jar.resolve()))}")
            for statement in source.definitions:
                session.execute(statement)
            session.explain(query)  # what Flink refuses here is the fault of the SQL, and of nothing else
        except TerminalServiceError as error:
            if "'parquet'" in error.reason:
                raise CouldNotLookError(
                    "this Flink cluster cannot read the Parquet archive",
                    "put what jars.lock names for `flink-batch` on its class path, or use `--engine duckdb`",
                ) from error
            raise BoardNotUsableError(
                f"The {RECOMPUTE_SQL} of {self.boards} does not run on Flink: {error.reason}; "
                "mend it, or use `--engine duckdb`."
            ) from error

    def _fetch(self, session: GatewaySession, query: str, progress: _Progress) -> StatementResult:
        try:
            return session.execute(query, self.limit_seconds, on_wait=progress.tell)
        except TerminalServiceError as error:
            raise CouldNotLookError(
                f"the batch recompute of {self.boards} failed: {error.reason}",
                "see the JobManager's log, or use `--engine duckdb`",
            ) from error


class _Progress:
    """Tells every two seconds how far a job is, as far as Flink answers: only talk hangs on it."""

    def __init__(self, flink: FlinkRest, name: str, say: Say) -> None:
        self._flink = flink
        self._name = name
        self._say = say
        self._next = time.monotonic() + _TELL_SECONDS

    def tell(self) -> None:
        if time.monotonic() < self._next:
            return
        with suppress(ServiceError):
            for one in self._flink.jobs():
                if one.name == self._name:
                    vertices = self._flink.vertices(one.job_id)
                    done = sum(vertex.all_finished for vertex in vertices)
                    self._say(f"{done} of {len(vertices)} steps done")
        self._next = time.monotonic() + _TELL_SECONDS


def _cancel(flink: FlinkRest, name: str) -> None:
    """End what the closed session has not ended itself. The error on its way says more than one of this could."""
    with suppress(ServiceError):
        for one in flink.jobs():
            if one.name == name and not one.state.ended:
                flink.cancel(one.job_id)


@cache
def _text(name: str) -> str:
    return _without_comments((_FOLDER / f"{name}.sql").read_text(encoding="utf-8"))


def _without_comments(sql: str) -> str:
    return "\n".join(line for line in sql.splitlines() if not line.lstrip().startswith("--"))


def _filled(name: str, **values: str) -> str:
    """A statement with literals, or numbers alone, in its places."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], _text(name))
