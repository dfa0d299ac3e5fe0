"""The suite of the differences: what the last finished reconciliation found, and whether the policy accepts it."""

# pyright: reportPrivateImportUsage=false
# (Great Expectations re-exports its public names without saying so to type checkers.)
from __future__ import annotations

from great_expectations import expectations as gxe

from quality.queries import query
from quality.results import Severity
from quality.suites.suite import PostgresRows, Suite, no_rows


def suite(name: str) -> Suite:
    """One row for each difference of the last finished run, and one row when it found none: never zero rows."""
    compared = "The last run compared one row at least"
    return Suite(
        name=name,
        title="Differences",
        rows=PostgresRows(tables=("differences", "reconciliation_runs"), select=query("differences")),
        expectations=(
            gxe.ExpectTableRowCountToBeBetween(min_value=1, description="A finished run exists"),
            gxe.ExpectColumnValuesToNotBeNull(column="run_id", description="Every row belongs to a run"),
            no_rows(query("differences_unexplained"), "No difference of the last run is UNEXPLAINED"),
            no_rows(query("differences_outside_policy"), "The policy accepts every difference of the last run"),
            no_rows(query("differences_untold"), "Every difference says what to do about it", Severity.WARNING),
            no_rows(query("differences_verdict"), "The verdict of the last run is MATCH or EXPLAINED"),
            no_rows(query("differences_hidden"), "Verdict, counts and differences of the last run agree"),
            no_rows(query("differences_nothing_compared"), compared),
        ),
        nothing_found="No reconciliation has finished yet; run `gamestream reconcile`.",
    )
