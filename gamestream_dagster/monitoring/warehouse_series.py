"""Series that are the result of a query: one file of SQL a series, no Python."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from gamestream_dagster.alerts.errors import RuleError
from gamestream_dagster.alerts.rules import Series, load_book
from gamestream_dagster.alerts.samples import Sample, labels_of
from gamestream_dagster.clients.postgres import engine
from gamestream_dagster.settings import Settings

MOST_ROWS: Final = 200
TIMEOUT_SECONDS: Final = 5
_NO_SUCH_TABLE: Final = "42P01"


def warehouse(settings: Settings, now: float) -> list[Sample]:
    """Every series with a query, each in a read-only transaction of its own; none of a table that is not there yet.

    Raises:
        RuleError: a query gives no number, or lacks a column of its labels.
        ServiceError: Postgres does not answer.
    """
    book = load_book(settings.home)
    found: list[Sample] = []
    opened = engine(settings, statement_timeout_seconds=TIMEOUT_SECONDS)
    try:
        for name, query in book.queries.items():
            try:
                with opened.connect() as connection:
                    connection.execute(text("SET TRANSACTION READ ONLY"))
                    # no parameters: a colon in the query is the query's own
                    result = connection.exec_driver_sql(query)
                    rows = [row._asdict() for row in result.fetchmany(MOST_ROWS)]
            except ProgrammingError as error:
                if getattr(error.orig, "sqlstate", None) == _NO_SUCH_TABLE:
                    continue
                raise
            found += samples_of(book.series[name], rows, now)
    finally:
        opened.dispose()
    return found


def samples_of(series: Series, rows: Iterable[Mapping[str, Any]], now: float) -> list[Sample]:
    """A sample for each row; columns that are no label are evidence. A row without a value has no reading: NaN."""
    found: list[Sample] = []
    for row in rows:
        if "value" not in row or (missing := [name for name in series.labels if name not in row]):
            lacking = "value" if "value" not in row else missing[0]
            raise RuleError(f"series/{series.name}.sql", f"no column {lacking!r}", "select one of that name")
        value = math.nan if row["value"] is None else row["value"]
        if not isinstance(value, int | float | Decimal):
            raise RuleError(f"series/{series.name}.sql", f"value is a {type(value).__name__}", "select a number")
        labels = labels_of({name: str(row[name]) for name in series.labels if row[name] is not None})
        evidence = {name: _plain(one) for name, one in row.items() if name != "value" and name not in series.labels}
        found.append(Sample(series.name, labels, now, float(value), evidence))
    return found


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
