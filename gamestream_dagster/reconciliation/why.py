"""Why a player or a team has the row shown: the events that make it, those that do not count, and the next ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR, Board, ColumnRole, load_boards
from gamestream_dagster.catalogue.seasons import season_at
from gamestream_dagster.catalogue.topics import SCORE_TOPIC, load_event_ids
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.reconciliation.compare import entity_of
from gamestream_dagster.reconciliation.cut import Cut
from gamestream_dagster.reconciliation.errors import BoardNotUsableError, CouldNotLookError
from gamestream_dagster.reconciliation.model import Entity, Row, Sink
from gamestream_dagster.reconciliation.observe import read_progress
from gamestream_dagster.reconciliation.recompute import Recompute
from gamestream_dagster.reconciliation.sinks import newest_window, read_tables, read_topic
from gamestream_dagster.reconciliation.statements import statement
from gamestream_dagster.settings import Settings

_NEVER = 2**62
_PAGE = 10_000
_ALIASES = {"player": "user_id", "team": "team_id"}
MOST_EXCLUDED = 1_000


class UnknownEntityError(BoardNotUsableError):
    """Nobody of this name has an event; names who is like it."""


@dataclass(frozen=True)
class Sum:
    """One running sum of the row: the key that it is of, and what its events add up to."""

    column: str
    key: dict[str, str]
    total: int
    events: int
    in_flight: int
    """Events that the job may not have counted yet when the row was read."""


@dataclass
class Why:
    """The answer. Lines come on demand (`lines`), so that a million of them take no memory."""

    board: Board
    entity: Entity
    sink: Sink
    shown: Row | None
    recomputed: Row | None
    cut: Cut
    as_of: int | None
    sums: list[Sum]
    excluded: list[Row]
    above: Row | None
    below: Row | None
    last: Row | None
    """The last row of the board, where the entity is not on it."""
    lines: Callable[[Sum], Iterator[Row]] = field(repr=False)

    @property
    def adds_up(self) -> bool:
        """Whether each sum of the row is what its events add up to."""
        row = self.recomputed or {}
        return all(row.get(one.column, one.total) == one.total for one in self.sums)

    @property
    def as_shown(self) -> bool:
        """Whether the recomputed row is the one shown."""
        return self.shown == self.recomputed


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
        UnknownEntityError: no accepted event is about the entity.
        BoardNotUsableError: there is no such board, or the entity is not what it is about.
        CouldNotLookError, ArchiveError, ServiceError: the board or the archive cannot be read.
    """
    boards = load_boards(root, season=settings.season)
    if board_name not in boards:
        raise BoardNotUsableError(f"There is no board {board_name!r}; the boards are: {', '.join(boards)}.")
    board = boards[board_name]
    wanted = parse_entity(board, entity)
    say("board")
    with open_engine(settings) as engine:
        low = {partition: one.last_offset + 1 for partition, one in read_progress(engine, board.job).items()}
        rows = read_tables(engine, [board])[board.name] if sink is Sink.POSTGRES else read_topic(settings.kafka, board)
    as_of, shown = newest_window(board, rows)
    say("archive")
    cut = dict(archive_topic(settings, SCORE_TOPIC).archived_upto)
    say("recompute")
    spill = settings.home / "tmp" / "recompute"
    spill.mkdir(parents=True, exist_ok=True)
    ids = SCORE_TOPIC in load_event_ids()
    with Recompute(settings.archive_dir / SCORE_TOPIC, spill, event_ids=ids) as recompute:
        span = None
        if board.season_column is not None:
            if as_of is None:
                raise CouldNotLookError(f"{board.name} shows no season yet", "see `gamestream board`")
            span = season_at(settings.season, as_of)
        with recompute.during(span):
            question = _Question(recompute, board, wanted, low, cut, as_of if span is None else None)
            use(question.answer(shown, sink))


@dataclass(frozen=True)
class _Question:
    recompute: Recompute
    board: Board
    entity: Entity
    low: Cut
    cut: Cut
    as_of: int | None

    def answer(self, shown: Sequence[Row], sink: Sink) -> Why:
        board = self.board
        if board.window is not None and self.as_of is None:
            raise CouldNotLookError(f"{board.name} shows no window yet", "see `gamestream board`")
        row = self.recompute.rows_of(board, self.cut, [self.entity], self.as_of).get(self.entity)
        if row is None and not self._total(board.entity, self.entity)["events"]:
            raise UnknownEntityError(self._unknown())
        around: list[Row] = []
        if row is not None:
            rank = row[board.rank_column]
            around = self.recompute.rows_between(board, self.cut, rank - 1, rank + 1, self.as_of)
        ranks = {one[board.rank_column]: one for one in around}
        mine = next((one for one in shown if entity_of(board, one) == self.entity), None)
        place = row[board.rank_column] if row is not None else 0
        return Why(
            board=board,
            entity=self.entity,
            sink=sink,
            shown=mine,
            recomputed=row,
            cut=self.cut,
            as_of=self.as_of,
            sums=self._sums(row),
            excluded=self._excluded(),
            above=ranks.get(place - 1),
            below=ranks.get(place + 1),
            last=max(shown, key=lambda one: one[board.rank_column], default=None) if mine is None else None,
            lines=self._lines,
        )

    def _sums(self, row: Row | None) -> list[Sum]:
        """The row's sums; of a board with a window one sum, of the events in the window."""
        over = {name: column.over for name, column in self.board.columns.items() if column.role is ColumnRole.SUM}
        if self.board.window is not None or row is None:
            over = {"score": self.board.entity}
        found: list[Sum] = []
        for column, names in over.items():
            source = row if row is not None else dict(zip(self.board.entity, self.entity, strict=True))
            key = {name: str(source[name]) for name in names}
            total = self._total(names, tuple(key.values()))
            found.append(Sum(column, key, total["total"], total["events"], total["in_flight"]))
        return found

    def _bounds(self) -> dict[str, int]:
        if self.board.window is None or self.as_of is None:
            return {"from_time": -_NEVER, "to_time": _NEVER}
        return {"from_time": self.as_of - self.board.window.length_seconds * 1000, "to_time": self.as_of}

    def _ask(self, name: str, over: tuple[str, ...], key: Entity, **values: int) -> list[Row]:
        return self.recompute.with_keys(self.low, self.cut, over, [key], statement(name, over=over), **values)

    def _total(self, over: tuple[str, ...], key: Entity) -> Row:
        return self._ask("why_total", over, key, **self._bounds())[0]

    def _lines(self, one: Sum) -> Iterator[Row]:
        over, key = tuple(one.key), tuple(one.key.values())
        at = {"partition": -1, "offset": -1, "item": -1}
        while page := self._ask("why_events", over, key, most=_PAGE, **at, **self._bounds()):
            yield from page
            at = {name: page[-1][name] for name in at}

    def _excluded(self) -> list[Row]:
        return self._ask("why_excluded", self.board.entity, self.entity, most=MOST_EXCLUDED)

    def _unknown(self) -> str:
        name = ",".join(self.entity)
        over = self.board.entity
        found = self.recompute.query(self.cut, self.cut, statement("why_alike", over=over), wanted=name)
        alike = ", ".join(",".join(str(row[part]) for part in over) for row in found)
        near = f"; there are {alike}" if alike else ""
        return f"No accepted event is about {name} ({', '.join(over)}){near}."
