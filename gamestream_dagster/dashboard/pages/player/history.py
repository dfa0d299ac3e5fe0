"""What Postgres knows of one player: rows of boards and settled days. Queries are by the player's key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.catalogue.metrics import Metric
from gamestream_dagster.serving.queries import loaded, shown_rows

PLAYER: Final = "user_id"
DAYS: Final = 14
_PARTS: Final = 20
_MOST_LIKE: Final = 20
MOST_CHARACTERS: Final = 256

Row = Mapping[str, Any]


@dataclass(frozen=True)
class OnBoard:
    """A row of a board that names the player."""

    board: str
    title: str
    row: Row
    rank: int
    rows: int


@dataclass(frozen=True)
class History:
    """One player. `days` has the newest rows of each settled metric about players, by metric, newest first."""

    player: str
    boards: Sequence[OnBoard] = ()
    days: Mapping[str, Sequence[Row]] = field(default_factory=dict[str, Sequence[Row]])
    missing: frozenset[str] = frozenset()

    @property
    def is_known(self) -> bool:
        """Whether anything here is about the player."""
        return bool(self.boards) or any(self.days.values())


def about_players(metrics: Mapping[str, Metric]) -> list[Metric]:
    """The settled metrics with rows by player, whose key begins with the player; none with a row for each event."""
    return [one for one in metrics.values() if one.key[0] == PLAYER and not one.divided and not _about_pairs(one)]


def _about_pairs(metric: Metric) -> bool:
    return any(name != PLAYER and name.endswith("_id") for name in metric.key)


def read_history(
    link: Connection, present: frozenset[str], player: str, boards: Sequence[Board], metrics: Sequence[Metric]
) -> History:
    """Everything about one player, in the transaction of `link`."""
    there = [one for one in metrics if one.name in present]
    return History(
        player,
        boards=[row for board in boards if board.name in present for row in _on_board(link, board, player)],
        days={one.name: _days(link, one, player) for one in there},
        missing=frozenset(one.name for one in metrics) - present,
    )


def players_like(
    link: Connection, present: frozenset[str], begin: str, boards: Sequence[Board], metrics: Sequence[Metric]
) -> list[str]:
    """Players of the boards, then of newest settled days, whose ids begin so, whatever the case; at most 20."""
    wanted = begin.casefold()
    there = [board for board in boards if board.name in present and PLAYER in board.columns]
    shown = [str(loaded(board, row)[PLAYER]) for board in there for row in shown_rows(link, board)]
    found = dict.fromkeys(one for one in shown if one.casefold().startswith(wanted))
    for one in metrics:
        if len(found) < _MOST_LIKE and one.name in present and set(one.key) == {PLAYER, one.partition}:
            found |= dict.fromkeys(_newest_like(link, one, begin))
    return list(found)[:_MOST_LIKE]


def _newest_like(link: Connection, metric: Metric, begin: str) -> Sequence[str]:
    table = sa.table(metric.name, sa.column(PLAYER), sa.column(metric.partition))
    newest = sa.select(sa.func.max(table.c[metric.partition])).scalar_subquery()
    begins = sa.func.lower(table.c[PLAYER]).startswith(begin.lower(), autoescape=True)
    query = sa.select(table.c[PLAYER]).where(table.c[metric.partition] == newest, begins)
    return link.execute(query.order_by(table.c[PLAYER]).limit(_MOST_LIKE)).scalars().all()


def _on_board(link: Connection, board: Board, player: str) -> list[OnBoard]:
    if PLAYER not in board.columns:
        return []
    rows = [loaded(board, row) for row in shown_rows(link, board)]
    mine = [row for row in rows if row[PLAYER] == player]
    return [OnBoard(board.name, board.title, row, row[board.rank_column], len(rows)) for row in mine]


def _days(link: Connection, metric: Metric, player: str) -> list[Row]:
    """The newest days; with more parts of a key, such as a currency, the newest day of each."""
    table = sa.table(metric.name, *(sa.column(name) for name in metric.columns))
    others = [table.c[name] for name in metric.key if name not in (PLAYER, metric.partition)]
    day = table.c[metric.partition].desc()
    query = sa.select(table).where(table.c[PLAYER] == player)
    by_part = query.distinct(*others).order_by(*others, day).limit(_PARTS)
    query = by_part if others else query.order_by(day).limit(DAYS)
    return [dict(row) for row in link.execute(query).mappings()]
