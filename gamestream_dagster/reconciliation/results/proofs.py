"""Verdicts of finished runs: the newest of all, the newest of each board, and those since a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import cast

import sqlalchemy as sa
from sqlalchemy import Connection, Row, Select
from sqlalchemy.dialects.postgresql import JSONB

from gamestream_dagster.reconciliation.model.values import Cause, Verdict
from gamestream_dagster.warehouse.tables import differences, reconciliation_runs, reconciliation_topics

NEWEST_RUNS = 500
"""Maximum age of a board's proof; older runs prove nothing about the rows of today."""

_COLUMNS = ("run_id", "finished_at", "verdict", "reason", "rows_compared", "report_path", "boards")


@dataclass(frozen=True)
class FinishedRun:
    """One finished run, without its rows."""

    run_id: str
    finished_at: datetime
    verdict: str
    reason: str
    rows_compared: int
    report_path: str | None
    boards: frozenset[str] | None
    """The boards of the run; None: not recorded, so all of them."""
    unexplained: frozenset[str] = frozenset()
    """Boards with an unexplained row; filled by `runs_since` alone."""

    @property
    def looked(self) -> bool:
        """Whether it compared anything."""
        return self.verdict != Verdict.COULD_NOT_RUN.value

    def about(self, board: str) -> bool:
        """Whether the run covered this board."""
        return self.boards is None or board in self.boards


def newest_run(link: Connection) -> FinishedRun | None:
    """The newest finished run; None when there was none."""
    row = link.execute(_finished().order_by(reconciliation_runs.c.finished_at.desc()).limit(1)).first()
    return None if row is None else _run(row)


def newest_by_board(link: Connection, boards: Iterable[str]) -> dict[str, FinishedRun]:
    """The newest finished run per board, with the verdict of the board's topic; boards without one are left out."""
    wanted = sorted(set(boards))
    recent = _finished().order_by(reconciliation_runs.c.finished_at.desc()).limit(NEWEST_RUNS).subquery("recent")
    recorded = sa.case(
        (sa.func.jsonb_typeof(recent.c.boards) == "array", recent.c.boards), else_=sa.literal(wanted, JSONB)
    )
    about = sa.func.jsonb_array_elements_text(recorded).table_valued("board").render_derived(name="about")
    # a run has a verdict for each topic; one of an earlier version has its own alone
    of_topic = reconciliation_topics.alias("of_topic")
    same = sa.and_(of_topic.c.run_id == recent.c.run_id, of_topic.c.boards.has_key(about.c.board))
    verdict, reason = (sa.func.coalesce(of_topic.c[name], recent.c[name]).label(name) for name in ("verdict", "reason"))
    others = [column for column in recent.c if column.name not in ("verdict", "reason")]
    newest = (
        sa.select(about.c.board.label("about_board"), *others, verdict, reason)
        .join_from(recent, about, sa.true())
        .outerjoin(of_topic, same)
        .where(about.c.board.in_(wanted))
        .distinct(about.c.board)
        .order_by(about.c.board, recent.c.finished_at.desc())
    )
    return {row.about_board: _run(row) for row in link.execute(newest)}


def runs_since(link: Connection, since: datetime | None, most: int) -> list[FinishedRun]:
    """Finished runs from `since` on (None: the newest), oldest first, at most `most` of them.

    With a time these are the first after it, so that none is skipped; the next call returns the rest.
    """
    finished = reconciliation_runs.c.finished_at
    statement = _finished().limit(most)
    if since is None:
        rows = list(reversed(link.execute(statement.order_by(finished.desc())).all()))
    else:
        rows = list(link.execute(statement.where(finished >= since).order_by(finished, reconciliation_runs.c.run_id)))
    alarms = _unexplained(link, [row.run_id for row in rows if row.rows_unexplained])
    return [_run(row, alarms.get(row.run_id, frozenset())) for row in rows]


def _finished() -> Select[tuple[object, ...]]:
    runs = reconciliation_runs.c
    columns = [runs[name] for name in (*_COLUMNS, "rows_unexplained")]
    # The driver cannot load infinity, which a manual edit may have written.
    return sa.select(*columns).where(sa.func.isfinite(runs.finished_at))


def _run(row: Row[tuple[object, ...]], unexplained: frozenset[str] = frozenset()) -> FinishedRun:
    return FinishedRun(
        run_id=row.run_id,
        finished_at=row.finished_at,
        verdict=row.verdict or Verdict.COULD_NOT_RUN.value,
        reason=row.reason or "",
        rows_compared=row.rows_compared or 0,
        report_path=row.report_path,
        boards=frozenset(map(str, cast("list[object]", row.boards))) if isinstance(row.boards, list) else None,
        unexplained=unexplained,
    )


def _unexplained(link: Connection, run_ids: list[str]) -> dict[str, frozenset[str]]:
    if not run_ids:
        return {}
    found = differences.c
    statement = sa.select(found.run_id, found.board).distinct()
    statement = statement.where(found.run_id.in_(run_ids), found.cause == Cause.UNEXPLAINED.value)
    boards: dict[str, set[str]] = {}
    for row in link.execute(statement):
        boards.setdefault(row.run_id, set()).add(row.board)
    return {run_id: frozenset(names) for run_id, names in boards.items()}
