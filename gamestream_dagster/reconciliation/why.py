"""Why a player or a team has the row shown: the events that make it, those that do not count, and the next ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR, Board, ColumnRole, load_boards
from gamestream_dagster.catalogue.seasons import SeasonSpan, season_at
from gamestream_dagster.catalogue.sources import Source, source_of_board, stack_sources
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.reconciliation.compare.rows import compare_bracket, entity_of, fault_of, rank_of
from gamestream_dagster.reconciliation.errors import BoardNotUsableError, CouldNotLookError, ReconciliationError
from gamestream_dagster.reconciliation.model.cut import Cut, check_beginning, check_identity
from gamestream_dagster.reconciliation.model.cut import shown as cut_shown
from gamestream_dagster.reconciliation.model.input_history import depth
from gamestream_dagster.reconciliation.model.order import order_value
from gamestream_dagster.reconciliation.model.values import Entity, Row, Sink
from gamestream_dagster.reconciliation.observe.boards import recorded_cut
from gamestream_dagster.reconciliation.observe.sinks import newest_window, read_tables, read_topic
from gamestream_dagster.reconciliation.recompute.history import history_between
from gamestream_dagster.reconciliation.recompute.recompute import Recompute
from gamestream_dagster.reconciliation.recompute.statements import statement
from gamestream_dagster.settings import Settings

_NEVER = 2**62
_PAGE = 10_000
_ALIASES = {"player": "user_id", "team": "team_id"}


class UnknownEntityError(BoardNotUsableError):
    """No record is about an entity of this name; names who is like it."""


class LinesDoNotAddUpError(ReconciliationError):
    """The lines are not what they were said to add up to: a fault of this program."""


class Standing(StrEnum):
    """How the row shown stands to the events."""

    AS_SHOWN = "AS_SHOWN"  # the row is what all archived events give
    IN_FLIGHT = "IN_FLIGHT"  # it is what some cut in the bracket gives: newer events are still on their way
    UNLIKE = "UNLIKE"  # by this one look no cut in the bracket gives it
    NOT_ON_BOARD = "NOT_ON_BOARD"  # it has no row, and by the events it should have none


@dataclass(frozen=True)
class Sum:
    """One running sum of the row: the key that it is of, and what its events add up to."""

    column: str
    key: dict[str, str]
    total: int
    events: int
    in_flight: int
    """Events in the bracket: the job may not have counted them when the row was read."""
    late_events: int
    late_total: int
    """Events that came behind the watermark, so that their window may have been closed; 0 on a board without one."""


@dataclass(frozen=True)
class Lines:
    """A table of lines in the recompute's own database, which spills to disk: read a page at a time."""

    count: int
    read: Callable[[int, int], list[Row]] = field(repr=False)
    """Lines from the first to the last place, both of them too; the first place is 1."""

    def __iter__(self) -> Iterator[Row]:
        for start in range(1, self.count + 1, _PAGE):
            yield from self.read(start, min(start + _PAGE - 1, self.count))

    def ends(self, limit: int) -> tuple[list[Row], list[Row]]:
        """The first and the last lines; when there are few, all of them are first ones."""
        if self.count <= 2 * limit + 1:
            return self.read(1, self.count), []
        return self.read(1, limit), self.read(self.count - limit + 1, self.count)


@dataclass(frozen=True)
class Why:
    """The answer. Lines come on demand, so that a million of them take no memory."""

    board: Board
    entity: Entity
    sink: Sink
    topic: str
    shown: Row | None
    recomputed: Row | None
    low: Cut
    cut: Cut
    as_of: int | None
    sums: list[Sum]
    alone: bool
    """The events listed, and no others, give the recomputed row; tested where the board has a window."""
    reasons: dict[str, int]
    """Records that do not count, by reason."""
    excluded: Lines
    above: Row | None
    below: Row | None
    last: Row | None
    """The last row of the board, where the entity is not on it."""
    standing: Standing
    finding: str
    """In what way the row is `UNLIKE`."""
    listed: Callable[[Sum], Lines] = field(repr=False)

    @property
    def adds_up(self) -> bool:
        """Whether the recomputed row is what its events give."""
        row = self.recomputed or {}
        return self.alone and all(row.get(one.column, one.total) == one.total for one in self.sums)

    def lines(self, one: Sum) -> Iterator[Row]:
        """Every event of a sum.

        Raises:
            LinesDoNotAddUpError: at the end, if they are not what the sum says.
        """
        total = events = 0
        for line in self.listed(one):
            total, events = total + line["score"], events + 1
            yield line
        _check(one, events, total)

    def ends(self, one: Sum, limit: int) -> tuple[list[Row], list[Row]]:
        """The first and the last events of a sum (see `Lines.ends`).

        Raises:
            LinesDoNotAddUpError: the last one's running total is not what the sum says.
        """
        listed = self.listed(one)
        first, last = listed.ends(limit)
        _check(one, listed.count, (last or first or [{"total": 0}])[-1]["total"])
        return first, last

    def gap(self, other: Row) -> Fraction | None:
        """How far another row is ahead in what the board is ordered by first; None where that is no number."""
        column = self.board.order[0].column
        if self.recomputed is None or isinstance(other[column], str):
            return None
        return Fraction(order_value(self.board, column, other)) - Fraction(
            order_value(self.board, column, self.recomputed)
        )

    @property
    def sentence(self) -> str:
        """What is to be said in the end."""
        reconcile = f"gamestream reconcile --board {self.board.name}"
        match self.standing:
            case Standing.AS_SHOWN:
                return "The lines add up to the row shown."
            case Standing.NOT_ON_BOARD if not any(one.events for one in self.sums):
                return "It is not on the board: none of its records counts there."
            case Standing.NOT_ON_BOARD:
                return "It is not on the board, and by its events it should not be."
            case Standing.IN_FLIGHT:
                bracket = f"{self.topic} {cut_shown(self.low)} to {cut_shown(self.cut)}"
                return (
                    f"The row shown is one that the events of the bracket allow: {bracket}; newer ones are in flight."
                )
            case Standing.UNLIKE:
                return f"By this look the row shown is not what the events give: {self.finding}; {reconcile} says why."


def _check(one: Sum, events: int, total: int) -> None:
    if (events, total) != (one.events, one.total):
        raise LinesDoNotAddUpError(
            f"The lines of {one.column} are {events} and add up to {total}, not {one.events} and {one.total}; "
            "look again, and if it stays so, please report it."
        )


def parse_entity(board: Board, text: str) -> Entity:
    """`player:p1`, `user_id:p1` or `p1`; several parts, in the order of the board's `entity`, by commas.

    Raises:
        BoardNotUsableError: it does not say what the board is about.
    """
    parts = text.split(",") if len(board.entity) > 1 else [text]
    if len(parts) != len(board.entity):
        raise BoardNotUsableError(f"{board.name} is about {', '.join(board.entity)}: give them with commas between.")
    found: list[str] = []
    for part, column in zip(parts, board.entity, strict=True):
        prefix, colon, rest = part.partition(":")
        known = colon and prefix in (*_ALIASES, *board.columns)
        if known and _ALIASES.get(prefix, prefix) != column:
            raise BoardNotUsableError(f"{board.name} is about {column}, not about {prefix}; see `gamestream board`.")
        found.append(rest if known else part)
    return tuple(found)


def explain_row(
    settings: Settings,
    board_name: str,
    entity: str,
    use: Callable[[Why], None],
    *,
    sink: Sink = Sink.POSTGRES,
    root: Path = FLINK_SQL_DIR,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Put the answer together and hand it to `use`, while the archive is open.

    Raises:
        UnknownEntityError: no record is about the entity.
        BoardNotUsableError: there is no such board, or the entity is not what it is about.
        CouldNotLookError, ArchiveError, ServiceError: the board or the archive cannot be read.
    """
    boards = load_boards(root, season=settings.season)
    if board_name not in boards:
        raise BoardNotUsableError(f"There is no board {board_name!r}; the boards are: {', '.join(boards)}.")
    board = boards[board_name]
    wanted = parse_entity(board, entity)
    source = source_of_board(board, stack_sources(settings))
    topic = source.topic
    say("board")
    # What a source commits, it commits when a checkpoint is complete: the sinks have written that before. How far the
    # job has read would be ahead of them.
    kafka = KafkaAdmin(settings.kafka)
    low = kafka.committed(f"gamestream-{board.job}", topic)
    with open_engine(settings) as engine:
        topic_id, job = kafka.topic_id(topic), recorded_cut(engine, board.job, topic)
        check_identity(topic, topic_id, [job])
        rows = read_tables(engine, [board])[board.name] if sink is Sink.POSTGRES else read_topic(settings.kafka, board)
    as_of, shown = newest_window(board, rows)
    say("archive")
    archived = archive_topic(settings, source, topic_id=topic_id)
    check_beginning(topic, archived.chapter.begins, [job])
    cut = dict(archived.archived_upto)
    say("recompute")
    spill = settings.home / "tmp" / "recompute"
    spill.mkdir(parents=True, exist_ok=True)
    with Recompute(settings.archive_dir / topic, spill, event_ids=source.dedup is not None) as recompute:
        span = None
        if board.season_column is not None:
            if as_of is None:
                raise CouldNotLookError(f"{board.name} shows no season yet", "see `gamestream board`")
            span = season_at(settings.season, as_of)
        with recompute.during(span):
            question = _Question(recompute, source, board, wanted, low, cut, as_of if span is None else None)
            use(question.answer(shown, sink))


@dataclass(frozen=True)
class _Question:
    recompute: Recompute
    source: Source
    board: Board
    entity: Entity
    low: Cut
    cut: Cut
    as_of: int | None

    def answer(self, shown: Sequence[Row], sink: Sink) -> Why:
        board = self.board
        if board.window is not None and self.as_of is None and shown:
            raise CouldNotLookError(
                f"no row of {board.name} has a window that can be read ({board.window.as_of} is "
                f"{shown[0][board.window.as_of]})",
                f"`gamestream reconcile --board {board.name}` says why, `gamestream repair --yes` puts it right",
            )
        if board.window is not None and self.as_of is None:
            raise CouldNotLookError(f"{board.name} shows no window yet", "see `gamestream board`")
        if not self._ask("why_known", board.entity, self.entity)[0]["records"]:
            raise UnknownEntityError(self._unknown())
        row = self._row()
        ranks: dict[int, Row] = {}
        place = 0 if row is None else rank_of(board, row)
        if board.ranked and place:
            around = self.recompute.rows_between(board, self.cut, place - 1, place + 1, self.as_of)
            ranks = {rank_of(board, one): one for one in around}
        mine = next((one for one in shown if entity_of(board, one) == self.entity), None)
        whole = [one for one in shown if fault_of(board, one) is None]
        sums, tables = self._sums(row)
        excluded, reasons = self._excluded()
        standing, finding = self._standing(shown, sink, mine, row, sums)
        return Why(
            board=board,
            entity=self.entity,
            sink=sink,
            topic=self.source.topic,
            shown=mine,
            recomputed=row,
            low=self.low,
            cut=self.cut,
            as_of=self.as_of,
            sums=sums,
            alone=self._alone(row),
            reasons=reasons,
            excluded=excluded,
            above=ranks.get(place - 1),
            below=ranks.get(place + 1),
            last=max(whole, key=lambda one: rank_of(board, one), default=None)
            if mine is None and board.ranked
            else None,
            standing=standing,
            finding=finding,
            listed=lambda one: tables[one.column],
        )

    def _row(self) -> Row | None:
        return self.recompute.rows_of(self.board, self.cut, [self.entity], self.as_of).get(self.entity)

    def _span(self) -> SeasonSpan | None:
        """The times of events that count, milliseconds, if the board has borders."""
        if self.board.window is None or self.as_of is None:
            return self.recompute.season
        return SeasonSpan(self.as_of - self.board.window.length_seconds * 1000, self.as_of)

    def _alone(self, row: Row | None) -> bool:
        """Whether the row of a window is the same without anything outside the window."""
        if self.board.window is None:
            return True
        with self.recompute.during(self._span()):
            return self._row() == row

    def _sums(self, row: Row | None) -> tuple[list[Sum], dict[str, Lines]]:
        """The row's sums and their lines; of a board with a window one sum, of the events in the window."""
        over = {name: column.over for name, column in self.board.columns.items() if column.role is ColumnRole.SUM}
        if self.board.window is not None or row is None or not over:
            over = {"score": self.board.entity}
        delay = _NEVER if self.board.window is None else self.source.lateness_ms
        sums: list[Sum] = []
        tables: dict[str, Lines] = {}
        for number, (column, names) in enumerate(over.items()):
            source = row if row is not None else dict(zip(self.board.entity, self.entity, strict=True))
            key = {name: str(source[name]) for name in names}
            table, value = f"why_lines_{number}", tuple(key.values())
            tables[column] = self._make("why_lines", table, names, value, delay=delay)
            total = self._ask("why_total", names, value, **self._bounds())[0]
            late = self._read("why_late", table)[0]
            sums.append(
                Sum(column, key, total["total"], total["events"], total["in_flight"], late["events"], late["total"])
            )
        return sums, tables

    def _excluded(self) -> tuple[Lines, dict[str, int]]:
        table = "why_excluded"
        lines = self._make("why_excluded", table, self.board.entity, self.entity)
        return lines, {one["reason"]: one["records"] for one in self._read("why_reasons", table)}

    def _make(self, name: str, table: str, over: tuple[str, ...], key: Entity, **values: int) -> Lines:
        sql = statement(name, over=over, table=(table,))
        made = self.recompute.with_keys(self._low(), self.cut, over, [key], sql, **values, **self._bounds())
        return Lines(made[0]["Count"], lambda first, last: self._read("why_page", table, first=first, last=last))

    def _read(self, name: str, table: str, **values: int) -> list[Row]:
        return self.recompute.query(self._low(), self.cut, statement(name, table=(table,)), **values)

    def _low(self) -> Cut:
        """A window that is shown is over: nothing of it is in flight."""
        return self.low if self.board.window is None else self.cut

    def _bounds(self) -> dict[str, int]:
        span = self._span()
        if span is None:
            return {"from_time": -_NEVER, "to_time": _NEVER}
        return {"from_time": span.start, "to_time": span.end}

    def _ask(self, name: str, over: tuple[str, ...], key: Entity, **values: int) -> list[Row]:
        return self.recompute.with_keys(self._low(), self.cut, over, [key], statement(name, over=over), **values)

    def _standing(
        self, shown: Sequence[Row], sink: Sink, mine: Row | None, row: Row | None, sums: Sequence[Sum]
    ) -> tuple[Standing, str]:
        board = self.board
        if mine is not None and mine == row:
            return Standing.AS_SHOWN, ""
        if mine is None and (row is None or rank_of(board, row) > board.rows):
            return Standing.NOT_ON_BOARD, ""
        fault = None if mine is None else fault_of(board, mine)
        if fault is not None:
            return Standing.UNLIKE, f"{fault[1]}: somebody wrote to the sink"
        if board.window is not None:
            late = sum(one.late_events for one in sums)
            return (
                Standing.UNLIKE,
                f"{late} of its events may have been late" if late else "none of its events was late",
            )
        low_rows = self.recompute.rows(board, self.low, rows=depth(board))
        history = history_between(self.recompute, self.low, self.cut, [board])
        about = [one for one in compare_bracket(board, sink, shown, low_rows, history) if one.entity == self.entity]
        return (Standing.UNLIKE, about[0].explanation) if about else (Standing.IN_FLIGHT, "")

    def _unknown(self) -> str:
        name = ",".join(self.entity)
        over = self.board.entity
        found = self.recompute.query(self.cut, self.cut, statement("why_alike", over=over), wanted=name)
        alike = ", ".join(",".join(str(row[part]) for part in over) for row in found)
        near = f"; there are {alike}" if alike else ""
        return f"No record is about {name} ({', '.join(over)}){near}."
