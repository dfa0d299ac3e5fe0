"""The recompute's boards as Flink batch jobs over the same archive: for more events than one machine can aggregate.

The rows of a board come from the cluster. Histories, the ledger and causes ask about few entities or stream through the
archive, and stay with DuckDB, and so does every hypothesis. So every mode goes with either engine. The job reads files
and never Kafka: a bounded Kafka job that is restored does not finish.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
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
from gamestream_dagster.reconciliation.model.cut import Cut
from gamestream_dagster.reconciliation.model.values import Row
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import Ask
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.settings import Settings

RECOMPUTE_SQL = "recompute.flink.sql"
"""A board's own batch query, beside its recompute.sql."""

LIMIT_SECONDS = 1800.0
"""How long the recompute of one board may take."""

_BY_DUCKDB = "let DuckDB recompute with GAMESTREAM_RECOMPUTE_ENGINE=duckdb"
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
    ColumnType.BOOLEAN: "BOOLEAN",
    ColumnType.TIMESTAMP: "BIGINT",  # milliseconds, as in the recompute
}

Say = Callable[[str], None]


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


@dataclass(frozen=True)
class FlinkBoards:
    """Computes boards with the Flink cluster.

    Gateway and JobManager must reach the archive under the same path as this process.
    """

    settings: Settings
    say: Say = lambda _: None
    """Told how far a job is."""
    limit_seconds: float = LIMIT_SECONDS
    """How long a job may take."""

    def can(self, board: Board) -> bool:
        """Whether the board has a batch query of its own."""
        if (board.folder / RECOMPUTE_SQL).is_file():
            return True
        self.say(f"{board.name} has no {RECOMPUTE_SQL}: DuckDB recomputes it")
        return False

    def rows(self, archive: ArchiveDatabase, at: EventsAt, ask: Ask) -> list[Row]:
        """The board, best row first; see `together` for what it raises."""
        return self.together(archive, at, [ask])[0]

    def together(self, archive: ArchiveDatabase, at: EventsAt, asks: Sequence[Ask]) -> list[list[Row]]:
        """Several boards at one cut by one job, which costs less than a job for each; the rows of each in its place.

        Raises:
            BoardNotUsableError: a board has no `recompute.flink.sql`, or Flink refuses it, or it lacks a column.
            CouldNotLookError: the job failed, or Flink cannot read Parquet.
            TransientServiceError: Flink gives no answer, or the job was not done within the limit and was cancelled.
        """
        query = together_query(asks, at)
        reached = {partition: offset for partition, offset in at.cut.items() if offset > 0}
        source = BatchSource(
            at.source.folder.absolute(), archive.chapter.files, reached, at.source.event_ids, at.season
        )
        if not source.files or not reached:
            return [[] for _ in asks]
        boards = ", ".join(dict.fromkeys(ask.board.name for ask in asks))
        name = f"recompute-{uuid4().hex[:12]}"
        result = _BatchJob(self.settings, boards, name, self.say, self.limit_seconds).run(source, query)
        return _by_ask(asks, result)


def together_query(asks: Sequence[Ask], at: EventsAt) -> str:
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
        selects.append(_filled("ask", place=str(place), columns=", ".join(columns), query=board_query(ask, at)))
    return "\nUNION ALL\n".join(selects)


def board_query(ask: Ask, at: EventsAt) -> str:
    """A board's batch query with its numbers put in.

    Raises:
        BoardNotUsableError: there is none, it names another parameter, or its window or season is missing.
    """
    board, path = ask.board, ask.board.folder / RECOMPUTE_SQL
    numbers: Mapping[str, int] = ask.parameters(at)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BoardNotUsableError(
            f"{path} is missing, so Flink cannot recompute {board.name}; write it beside recompute.sql, "
            f"or {_BY_DUCKDB}."
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
                    f"put what jars.lock names for `flink-batch` on its class path, or {_BY_DUCKDB}",
                ) from error
            raise BoardNotUsableError(
                f"The {RECOMPUTE_SQL} of {self.boards} does not run on Flink: {error.reason}; mend it, or {_BY_DUCKDB}."
            ) from error

    def _fetch(self, session: GatewaySession, query: str, progress: _Progress) -> StatementResult:
        try:
            return session.execute(query, self.limit_seconds, on_wait=progress.tell)
        except TerminalServiceError as error:
            raise CouldNotLookError(
                f"the batch recompute of {self.boards} failed: {error.reason}",
                f"see the JobManager's log, or {_BY_DUCKDB}",
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
    """A statement with literals, numbers, identifiers of the catalogue or a board's own query in its places."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], _text(name))
