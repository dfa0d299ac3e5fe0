"""Which output holds the totals of everybody on a board, so that ranks beyond the board's own can be told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gamestream_dagster.catalogue.boards import Board, ColumnRole, load_boards
from gamestream_dagster.errors import SettingsError
from gamestream_dagster.settings import Ranks, Settings


@dataclass(frozen=True)
class Ranked:
    """A board whose order every row of an output has, too."""

    board: Board
    output: Board
    """Without ranks, one row per key."""
    value: str
    """Column of the total, in both."""
    key: str
    """Column of the player, in both."""


def ranked_boards(outputs: Iterable[Board]) -> list[Ranked]:
    """The boards that an output without ranks extends to everybody.

    Such a board is ordered by one sum, greatest first, and then by its one key: the order of a sorted set.
    """
    listed = list(outputs)
    extended = [one for one in listed if not one.ranked and one.sinks.kafka is not None]
    found: list[Ranked] = []
    for board in listed:
        pair = _order_of(board)
        for output in extended:
            if pair is not None and _has(output, board, *pair):
                found.append(Ranked(board, output, *pair))
                break
    return found


def ranked_of(settings: Settings) -> Ranked:
    """The board whose ranks are of everybody, and the output with the totals.

    Raises:
        SettingsError: the stack keeps no ranks, or has no such output.
    """
    if settings.ranks is not Ranks.ALL:
        raise SettingsError(
            "No ranks of all players are kept: set `ranks: all` in profile.yaml, then run `gamestream down`, "
            "`gamestream up` and `gamestream apply`."
        )
    found = ranked_boards(load_boards(season=settings.season, ranks=settings.ranks).values())
    if not found:
        raise SettingsError("No output without ranks holds the totals of a board; restore flink_sql/player_totals_v1.")
    return found[0]


def _order_of(board: Board) -> tuple[str, str] | None:
    """Columns of sum and key of a board that is ordered by these alone."""
    if not board.ranked or board.season_column is not None or board.window is not None or len(board.entity) != 1:
        return None
    match board.order:
        case [first, second] if first.descending and not second.descending and second.column == board.entity[0]:
            return (first.column, second.column) if board.columns[first.column].role is ColumnRole.SUM else None
        case _:
            return None


def _has(output: Board, board: Board, value: str, key: str) -> bool:
    column = output.columns.get(value)
    same = column is not None and column.role is ColumnRole.SUM and column.over == board.columns[value].over
    return same and output.entity == (key,)
