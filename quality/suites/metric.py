"""The suite of a settled metric over its newest day, from its description alone."""

# pyright: reportPrivateImportUsage=false
# (Great Expectations re-exports its public names without saying so to type checkers.)
from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import sqlalchemy as sa
from great_expectations import expectations as gxe
from great_expectations.expectations.expectation import Expectation

from gamestream_dagster.catalogue.metrics import CheckSeverity, Metric
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import metric_settlements
from quality.queries import query
from quality.results import Severity, SuiteState
from quality.suites.suite import GX_SEVERITY, Emptiness, PostgresRows, Suite, no_rows

_SEVERITY = {CheckSeverity.FAIL: Severity.CRITICAL, CheckSeverity.WARN: Severity.WARNING}


def suite(metric: Metric) -> Suite:
    """The suite of one metric."""
    select = query("metric_rows_newest", metric=metric.name, partition=metric.partition)
    return Suite(
        name=metric.name,
        title=metric.title,
        rows=PostgresRows(tables=(metric.name, metric_settlements.name), select=select),
        expectations=(*_shape(metric), *_rules(metric)),
        when_empty=partial(empty_metric, metric),
    )


def _shape(metric: Metric) -> Iterator[Expectation]:
    yield gxe.ExpectTableRowCountToBeBetween(min_value=1, **_holds("The day has a row", metric.empty))
    yield gxe.ExpectTableColumnsToMatchSet(
        column_set=list(metric.columns), exact_match=True, **_holds("The columns of metric.yaml, no other")
    )
    for name in metric.required:
        yield gxe.ExpectColumnValuesToNotBeNull(column=name, **_holds(f"{name} is never empty"))
    sentence = f"{', '.join(metric.key)} {'names' if len(metric.key) == 1 else 'name'} one row"
    if len(metric.key) == 1:
        yield gxe.ExpectColumnValuesToBeUnique(column=metric.key[0], **_holds(sentence))
    else:
        yield gxe.ExpectCompoundColumnsToBeUnique(column_list=list(metric.key), **_holds(sentence))


def _rules(metric: Metric) -> Iterator[Expectation]:
    for check in metric.checks.values():
        # the condition is of the catalogue, like the rest of the metric's SQL
        select = f"SELECT * FROM {{batch}} WHERE ({check.where}) IS NOT TRUE"  # noqa: S608
        yield no_rows(select, check.holds, _SEVERITY[check.severity])


def _holds(sentence: str, severity: CheckSeverity = CheckSeverity.FAIL) -> dict[str, Any]:
    return {"description": sentence, "meta": {"holds": sentence}, "severity": GX_SEVERITY[_SEVERITY[severity]]}


def empty_metric(metric: Metric, settings: Settings) -> Emptiness:
    """A day without rows never holds; without a settled day nothing has run yet."""
    columns = metric_settlements.c
    newest = sa.select(sa.func.max(columns.day)).where(columns.metric == metric.name)
    with open_engine(settings) as engine, engine.connect() as link:
        day = link.execute(newest).scalar()
    if day is None:
        then = "run `gamestream metrics backfill --from DAY --to DAY`."
        return Emptiness(SuiteState.NOT_RUN, f"no day of {metric.name} is settled; {then}")
    if metric.empty is CheckSeverity.FAIL:
        return Emptiness(SuiteState.FAILS, f"{metric.name} has no row of {day}, its newest settled day.")
    return Emptiness(SuiteState.NOT_RUN, f"{metric.name} has no row of {day}, its newest settled day.")
