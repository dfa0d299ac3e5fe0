"""The two sinks of a board as witnesses of each other: is the row wrong, or what the job computed?

Both sinks are written from one result. Where only one of them is wrong the job is right, and the cause lies behind it:
the sink is behind, a row was not deleted, or somebody else wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gamestream_dagster.catalogue.boards import Board, ColumnRole
from gamestream_dagster.reconciliation.board_topic import BoardTopic
from gamestream_dagster.reconciliation.compare import entity_of, rank_of
from gamestream_dagster.reconciliation.cut import Cut
from gamestream_dagster.reconciliation.model import Cause, Difference, DifferenceKind, Entity, Row
from gamestream_dagster.reconciliation.recompute import Recompute

SHOWN = "shown"
"""Name in the evidence of the whole row that the wrong sink shows, or None."""
OTHER_SHOWS = "the_other_sink_shows"
"""Name in the evidence of the row that the other sink shows at this rank, or None."""


@dataclass(frozen=True)
class Testimony:
    """What one difference is when the sinks are put side by side; more than one cause: either of them."""

    either: tuple[Cause, ...]
    facts: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True)
class Sides:
    """One board in the sink that is wrong and in the sink that is right."""

    board: Board
    shown: Sequence[Row]
    right: Sequence[Row]
    versions: Mapping[int, int]
    """By rank, where the board's topic held just the row that is shown (`earlier_versions`)."""
    past: Mapping[Entity, bool | None]
    """By entity, whether the values shown are those of some earlier cut; None: cannot be told."""


def earlier_versions(topic: BoardTopic, rows: Sequence[Row]) -> dict[int, int]:
    """By rank, the newest offset at which the board's topic held just this row; ranks that never had it are left out.

    Reads the topic once, in bounded memory.
    """
    board = topic.board
    wanted = {rank_of(board, row): row for row in rows if row.get(board.rank_column) is not None}
    found: dict[int, int] = {}
    for change in topic.changes():
        if change.value is None:
            continue
        row = change.row(board)
        rank = row[board.rank_column]
        if rank in wanted and wanted[rank] == row:
            found[rank] = change.offset
    return found


def past_values(
    recompute: Recompute, board: Board, job_boards: Sequence[Board], rows: Sequence[Row], low: Cut
) -> dict[Entity, bool | None]:
    """By entity, whether the sums shown are running totals of an earlier cut; None where it cannot be told."""
    if board.window is not None:
        return {}
    history = recompute.history(dict.fromkeys(low, 0), low, job_boards)
    found: dict[Entity, bool | None] = {}
    for name, column in board.columns.items():
        if column.role is not ColumnRole.SUM:
            continue
        keyed = {tuple(str(row[part]) for part in column.over): row for row in rows if row.get(name) is not None}
        ranges = history.sums(column.over, list(keyed))
        for key, row in keyed.items():
            entity, allowed = entity_of(board, row), ranges.get(key)
            if allowed is None or not allowed.allows(row[name]):
                found[entity] = False
            elif found.get(entity, True) is not False:
                found[entity] = True if allowed.exact and found.get(entity, True) else None
    return found


def testify(sides: Sides, difference: Difference) -> Testimony:
    """Why a row of one sink is wrong while the other sink is right about it."""
    board, rank = sides.board, difference.rank
    if difference.kind is DifferenceKind.STALE:
        return Testimony((Cause.SINK_LAG,), {"the_other_sink_shows": "a later window"})
    mine = {rank_of(board, row): row for row in sides.shown if row.get(board.rank_column) is not None}
    right = {rank_of(board, row): row for row in sides.right if row.get(board.rank_column) is not None}
    row = mine.get(rank) if rank is not None else None
    facts: dict[str, object] = {SHOWN: row, OTHER_SHOWS: right.get(rank) if rank is not None else None}
    if rank is None or row is None:
        if not sides.shown:
            return Testimony((Cause.SINK_LAG, Cause.EDITED_BY_HAND), {**facts, "note": "the sink holds no row at all"})
        return Testimony(
            (Cause.EDITED_BY_HAND,), {**facts, "note": "the job wrote this row, the sink does not hold it"}
        )
    known: bool | None = sides.past.get(entity_of(board, row), False)
    if rank in sides.versions:
        known = True
        facts["written_at"] = {"topic": board.topic, "offset": sides.versions[rank]}
    elsewhere = {entity_of(board, one) for one in sides.right}
    superfluous = rank not in right or (difference.kind is DifferenceKind.EXTRA and entity_of(board, row) in elsewhere)
    behind = Cause.STALE_ROW if superfluous else Cause.SINK_LAG
    if known is None:
        return Testimony((behind, Cause.EDITED_BY_HAND), facts)
    return Testimony((behind if known else Cause.EDITED_BY_HAND,), facts)
