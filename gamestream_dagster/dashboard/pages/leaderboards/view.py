"""From a snapshot to a view: names, values, bar lengths, badges. Derives everything from the board's description."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from gamestream_dagster.catalogue.boards import Board, Column, ColumnRole, ColumnType
from gamestream_dagster.dashboard.pages.leaderboards.snapshot import Proof, Row, Snapshot
from gamestream_dagster.dashboard.parts import Badge, Tone, ago

# Reconciliation runs every 15 minutes: a proof older than two runs is marked as old.
PROOF_IS_OLD_AFTER = timedelta(minutes=30)
WINDOW_IS_OLD_AFTER = timedelta(minutes=1)
RUNNING = "RUNNING"


@dataclass(frozen=True)
class Line:
    """One row of a board, ready to draw."""

    rank: int
    who: str
    about: str
    value: str
    share_of_bar: float  # 0..1
    moved: str  # "up", "down", "new", "changed" or ""
    warning: str  # why the last reconciliation doubts the row; empty otherwise


@dataclass(frozen=True)
class BoardView:
    """One board, ready to draw."""

    name: str
    title: str
    description: str
    measure: str
    badges: tuple[Badge, ...]
    lines: tuple[Line, ...]
    empty: str  # what to do when there are no lines


# What a session saw last: board -> entity -> (rank, value).
Seen = dict[str, dict[tuple[object, ...], tuple[int, str]]]


def board_view(
    board: Board, snapshot: Snapshot, seen: Mapping[tuple[object, ...], tuple[int, str]] | None
) -> BoardView:
    """Build one board; `seen` is what the same reader saw before, None at the first visit."""
    rows = snapshot.rows.get(board.name, ())
    measure = board.order[0].column
    top = max((float(row[measure] or 0) for row in rows), default=0.0)
    return BoardView(
        name=board.name,
        title=board.title,
        description=board.description,
        measure="share" if is_part_of_whole(board, board.columns[measure]) else in_words(measure),
        badges=badges(board, snapshot),
        lines=tuple(_line(board, row, top, seen, snapshot.proofs.get(board.name)) for row in rows),
        empty=""
        if rows
        else "The table does not exist yet. Run: gamestream apply"
        if board.name in snapshot.missing
        else "No rows yet. Send events with: gamestream simulate",
    )


def in_reading_order(boards: Iterable[Board]) -> list[Board]:
    """Plain totals first, then ratios, then windowed boards; ties by title."""
    return sorted(
        boards, key=lambda board: (bool(board.window), _measure(board).role is not ColumnRole.SUM, board.title)
    )


def _measure(board: Board) -> Column:
    return board.columns[board.order[0].column]


def remember(board: Board, snapshot: Snapshot) -> dict[tuple[object, ...], tuple[int, str]]:
    """What a reader has seen of a board, for the next `board_view`."""
    measure = board.order[0].column
    return {
        _entity(board, row): (row[board.rank_column], number(board, measure, row[measure]))
        for row in snapshot.rows.get(board.name, ())
    }


def badges(board: Board, snapshot: Snapshot) -> tuple[Badge, ...]:
    """live / stopped, settled for closed windows, verified / differs / not verified."""
    found = []
    state = snapshot.job_states.get(board.job)
    if state == RUNNING:
        found.append(Badge("live", Tone.LIVE, f"Job {board.job} is running; rows change as events arrive."))
    elif state is not None:
        found.append(Badge(state.lower(), Tone.BAD, f"Job {board.job} is not running; the rows do not change."))
    rows = snapshot.rows.get(board.name, ())
    if board.window and rows:
        found.append(_settled(rows[0][board.window.as_of], snapshot.read_at))
    if rows:
        found.append(_verified(snapshot.proofs.get(board.name), snapshot.read_at))
    return tuple(found)


def _settled(as_of: datetime, now: datetime) -> Badge:
    hint = f"The window that ends at {as_of:%Y-%m-%d %H:%M:%S} UTC is closed: these rows do not change any more."
    old = now - as_of > WINDOW_IS_OLD_AFTER
    return Badge(f"settled {as_of:%H:%M:%S}", Tone.WARN if old else Tone.PLAIN, hint)


def _verified(proof: Proof | None, now: datetime) -> Badge:
    """The verdict of the newest run about this board; runs about other boards prove nothing here."""
    if proof is None:
        return Badge("not verified yet", Tone.WARN, "No run has compared this board. Run: gamestream reconcile")
    run = proof.run
    age = ago(now - run.finished_at)
    if not run.looked:
        return Badge("not verified", Tone.WARN, f"Run {run.run_id} could not look: {run.reason or 'no reason given'}")
    count = len(proof.differing)
    if count:
        causes = ", ".join(sorted({cause for causes in proof.differing.values() for cause in causes}))
        rows, verb = ("row", "differs") if count == 1 else ("rows", "differ")
        if proof.accepted:
            hint = f"Run {run.run_id}: {causes}, which the policy accepts."
            return Badge(f"{count} {rows} explained · {age}", Tone.PLAIN, hint)
        return Badge(f"{count} {rows} {verb} · {age}", Tone.BAD, f"Run {run.run_id} against the recompute: {causes}.")
    old = now - run.finished_at > PROOF_IS_OLD_AFTER
    hint = f"Verified by run {run.run_id}: no difference between this board and its recompute."
    return Badge(f"verified {age}", Tone.WARN if old else Tone.GOOD, hint)


def _line(
    board: Board,
    row: Row,
    top: float,
    seen: Mapping[tuple[object, ...], tuple[int, str]] | None,
    proof: Proof | None,
) -> Line:
    measure = board.order[0].column
    main = subject_column(board)
    rank, value = row[board.rank_column], number(board, measure, row[measure])
    causes = proof.differing.get(rank, ()) if proof else ()
    return Line(
        rank=rank,
        who=str(row[main]),
        about=_about(board, row, main, measure),
        value=value,
        share_of_bar=round(max(0.0, min(1.0, float(row[measure] or 0) / top)) if top > 0 else 0.0, 4),
        moved=_moved(seen, _entity(board, row), rank, value),
        warning=f"The last reconciliation found a difference here: {', '.join(causes)}" if causes else "",
    )


def _moved(
    seen: Mapping[tuple[object, ...], tuple[int, str]] | None, who: tuple[object, ...], rank: int, value: str
) -> str:
    if seen is None:
        return ""
    if who not in seen:
        return "new"
    before, was = seen[who]
    if before != rank:
        return "up" if rank < before else "down"
    return "changed" if was != value else ""


def _entity(board: Board, row: Row) -> tuple[object, ...]:
    return tuple(row[name] for name in board.entity)


def subject_column(board: Board) -> str:
    """The column that names the row for readers: the chosen member, else the label of its key, else the key."""
    for name, column in board.columns.items():
        if column.role is ColumnRole.CHOICE:
            return name
    key = board.entity[0]
    for name, column in board.columns.items():
        if column.role is ColumnRole.LABEL and _stem(name) == _stem(key):
            return name
    return key


def _about(board: Board, row: Row, main: str, measure: str) -> str:
    """The second line: the label (or the key), and the integers behind the measure."""
    others = [name for name, c in board.columns.items() if c.role is ColumnRole.LABEL and name != main]
    if not others:
        others = [name for name in board.entity if name != main and str(row[name]) != str(row[main])]
    parts = [str(row[name]) for name in others]
    described = board.columns[measure]
    if is_part_of_whole(board, described):
        parts.append(f"{row[described.numerator or '']:,} of {row[described.denominator or '']:,}")
    else:
        for name, column in board.columns.items():
            if column.role is ColumnRole.RATIO and name != measure:
                parts.append(f"{in_words(name)} {row[name]:,.1f}")
    return " · ".join(parts)


def number(board: Board, name: str, value: object) -> str:
    """A value for display: 1,130 or 61.3 % or 1.38x."""
    column = board.columns[name]
    if value is None:
        return "–"
    if column.role is ColumnRole.RATIO:
        plain = float(str(value))
        return f"{plain * 100:.1f} %" if is_part_of_whole(board, column) else f"{plain:.2f}×"
    return f"{value:,}" if column.type is ColumnType.BIGINT else str(value)


def is_part_of_whole(board: Board, column: Column) -> bool:
    """True when the numerator sums over finer keys than the denominator: a share, displayed in per cent."""
    part, whole = board.columns.get(column.numerator or ""), board.columns.get(column.denominator or "")
    return part is not None and whole is not None and bool(whole.over) and set(whole.over) < set(part.over)


def in_words(name: str) -> str:
    """`total_score` -> `total score`."""
    return name.replace("_", " ")


def _stem(name: str) -> str:
    return name.rsplit("_", 1)[0]
