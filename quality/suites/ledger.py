"""The suite of the ledger: entered = accounted for, minute by minute, and in total as the last run says."""

# pyright: reportPrivateImportUsage=false
# (Great Expectations re-exports its public names without saying so to type checkers.)
from __future__ import annotations

from great_expectations import expectations as gxe

from quality.emptiness import empty_ledger
from quality.queries import query
from quality.suites.suite import PostgresRows, Suite, no_rows

_COUNTS = ("accepted", "duplicate", "late", "dead_lettered")
_TABLES = ("ledger", "reconciliation_runs", "reconciliation_topics")


def suite(name: str) -> Suite:
    """One row per minute and partition."""
    not_negative = [
        gxe.ExpectColumnValuesToBeBetween(column=column, min_value=0, description=f"{column} is not negative")
        for column in _COUNTS
    ]
    once = [
        gxe.ExpectCompoundColumnsToBeUnique(
            column_list=["topic", "partition_id", column], description=f"No two minutes have one {column}"
        )
        for column in ("first_offset", "last_offset")
    ]
    return Suite(
        name=name,
        title="Ledger",
        rows=PostgresRows(tables=_TABLES, select=query("ledger")),
        expectations=(
            gxe.ExpectTableRowCountToBeBetween(min_value=1, description="A minute is in the ledger"),
            gxe.ExpectColumnValuesToBeBetween(column="records", min_value=1, description="No minute is empty"),
            *not_negative,
            no_rows(query("ledger_unequal"), "In each minute: in = accepted + duplicate + late + dead-lettered"),
            no_rows(query("ledger_offsets"), "The first offset of a minute is not beyond its last"),
            *once,
            no_rows(query("ledger_off_minute"), "Each row is a whole minute"),
            no_rows(query("ledger_totals"), "The minutes add up to what the last run counted"),
        ),
        when_empty=empty_ledger,
    )
