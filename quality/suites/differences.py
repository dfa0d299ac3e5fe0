"""The suite of the differences: what the last finished reconciliation found, and whether the policy accepts it."""

# pyright: reportPrivateImportUsage=false
# (Great Expectations re-exports its public names without saying so to type checkers.)
from __future__ import annotations

import sqlalchemy as sa
from great_expectations import expectations as gxe
from sqlalchemy.dialects.postgresql import JSONB

from gamestream_dagster.catalogue.boards import load_boards
from quality.emptiness import no_run
from quality.queries import query
from quality.results import Severity
from quality.suites.ordering import BATCH, as_text
from quality.suites.suite import PostgresRows, Suite, no_rows


def suite(name: str) -> Suite:
    """One row for each difference of the last finished run, and one row when it found none."""
    compared = "The last run compared a row, or there was none to compare"
    return Suite(
        name=name,
        title="Differences",
        rows=PostgresRows(
            tables=("differences", "reconciliation_runs", "reconciliation_topics"), select=query("differences")
        ),
        expectations=(
            gxe.ExpectTableRowCountToBeBetween(min_value=1, description="A finished run exists"),
            gxe.ExpectColumnValuesToNotBeNull(column="run_id", description="Every row belongs to a run"),
            no_rows(query("differences_unexplained"), "No difference of the last run is UNEXPLAINED"),
            no_rows(query("differences_outside_policy"), "The policy accepts every difference of the last run"),
            no_rows(query("differences_untold"), "Every difference says what to do about it", Severity.WARNING),
            no_rows(query("differences_verdict"), "The verdict of the last run is MATCH or EXPLAINED"),
            no_rows(query("differences_hidden"), "Verdict, counts and differences of the last run agree"),
            no_rows(_nothing_compared(), compared),
        ),
        when_empty=no_run,
    )


def _nothing_compared() -> str:
    """SELECT over `{batch}` of a last run that compared no row although its events must make one.

    Without an accepted event no board has a row. A board with a window may have none at any time.
    """
    windowed = [board.name for board in load_boards(season=None).values() if board.window]
    boards = sa.column("boards", JSONB)
    unknown = sa.func.jsonb_build_array("not recorded")
    recorded = sa.case((sa.func.jsonb_typeof(boards) == "array", boards), else_=unknown)
    others = sa.func.jsonb_array_elements_text(recorded).table_valued("board").render_derived(name="compared")
    about_sums = sa.exists(sa.select(others.c.board).where(others.c.board.not_in(windowed)))
    none_accepted = sa.column("accepted_events", sa.Numeric) == 0
    rightly = sa.and_(sa.column("verdict") == "MATCH", sa.or_(none_accepted, sa.not_(about_sums)))
    nothing = sa.func.coalesce(sa.column("rows_compared", sa.Integer), 0) == 0
    return as_text(
        sa.select(sa.text("*")).select_from(BATCH).where(nothing, sa.func.coalesce(rightly, sa.false()).is_(sa.false()))
    )
