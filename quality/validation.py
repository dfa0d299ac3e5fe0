"""One validation of one suite, translated into our own values."""

# pyright: reportPrivateImportUsage=false
# (Great Expectations re-exports its public names without saying so to type checkers.)
from __future__ import annotations

from datetime import datetime
from typing import Any

import great_expectations as gx
from great_expectations.core import ExpectationValidationResult
from great_expectations.core.batch_definition import BatchDefinition
from great_expectations.exceptions import GreatExpectationsError

from gamestream_dagster.settings import Settings
from quality.gx_context import context, forget_results
from quality.results import ExpectationResult, QualityError, Severity, SuiteResult
from quality.suites.suite import Frame, Suite

SAMPLE_ROWS = 5
_ROW_COUNT = "expect_table_row_count_to_be_between"
_UNEXPECTED_ROWS = "unexpected_rows_expectation"


def validate(source: Any, suite: Suite, attempt: int, settings: Settings, missing: str = "") -> SuiteResult:
    """Validate a suite once; its result replaces an earlier one of the same run.

    Args:
        source: the datasource of the stack's Postgres.
        suite: the requirements.
        attempt: 1 for the first validation.
        settings: of the stack.
        missing: why the suite fails regardless of its expectations: required rows are missing.

    Raises:
        QualityError: Great Expectations itself failed.
    """
    made = context()
    _forget_attempt(source, suite.name)
    try:
        parameters, rows = _batch(source, suite)
        expectations = [expectation.copy(deep=True) for expectation in suite.expectations]
        added = made.suites.add(gx.ExpectationSuite(name=suite.name, expectations=expectations))
        definition = made.validation_definitions.add(gx.ValidationDefinition(name=suite.name, data=rows, suite=added))
        found = definition.run(batch_parameters=parameters, result_format="COMPLETE")
    except QualityError as error:
        return failed(suite, str(error), attempt)
    except GreatExpectationsError as error:
        raise QualityError(f"Suite {suite.name} could not be run: {_redact(str(error), settings)}") from None
    evaluated = _row_count(suite, found.results)
    return SuiteResult(
        suite=suite.name,
        title=suite.title,
        subject=suite.subject,
        evaluated=evaluated,
        attempts=attempt,
        expectations=tuple(_result(suite, one, evaluated, settings) for one in found.results),
        reason=missing,
    )


def failed(suite: Suite, reason: str, attempt: int = 1) -> SuiteResult:
    """The failed result of a suite that could not evaluate its rows."""
    return SuiteResult(suite.name, suite.title, suite.subject, 0, attempt, (), reason)


def _forget_attempt(source: Any, name: str) -> None:
    made = context()
    if name in [definition.name for definition in made.validation_definitions.all()]:
        made.validation_definitions.delete(name)
        made.suites.delete(name)
        forget_results(made, name)
    if name in source.get_asset_names():
        source.delete_asset(name)


def _batch(source: Any, suite: Suite) -> tuple[dict[str, Any], BatchDefinition]:
    if isinstance(suite.rows, Frame):
        frame = suite.rows.read()
        asset = context().data_sources.add_or_update_pandas("frames").add_dataframe_asset(suite.name)
        return {"dataframe": frame}, asset.add_batch_definition_whole_dataframe("rows")
    asset = source.add_query_asset(suite.name, query=suite.rows.select)
    return {}, asset.add_batch_definition_whole_table("rows")


def _row_count(suite: Suite, results: list[ExpectationValidationResult]) -> int:
    for one in results:
        if one.expectation_config and one.expectation_config.type == _ROW_COUNT:
            return int(one.result.get("observed_value") or 0)
    raise QualityError(f"Suite {suite.name} does not count its rows, so nobody could tell whether it saw any.")


def _result(suite: Suite, one: ExpectationValidationResult, rows: int, settings: Settings) -> ExpectationResult:
    config = one.expectation_config
    if config is None:
        raise QualityError(f"Great Expectations gave a result of suite {suite.name} without its expectation.")
    raised = _raised(one)
    seen = one.result.get("unexpected_count")
    if seen is None:
        seen = one.result.get("observed_value") if config.type == _UNEXPECTED_ROWS else int(not one.success)
    return ExpectationResult(
        suite=suite.name,
        expectation=config.description or config.type,
        kind=config.type,
        column=config.kwargs.get("column") or ", ".join(config.kwargs.get("column_list", [])) or None,
        success=bool(one.success) and not raised,
        evaluated=0 if raised else int(one.result.get("element_count", rows) or 0),
        unexpected=int(seen or 0),
        severity=Severity(config.severity.value if config.severity else Severity.CRITICAL),
        detail="" if one.success else _redact(raised or _detail(one), settings),
    )


def _detail(one: ExpectationValidationResult) -> str:
    values = one.result.get("partial_unexpected_list") or one.result.get("details", {}).get("unexpected_rows")
    if not values:
        return f"saw {one.result.get('observed_value')}"
    shown = "; ".join(_plain(value) for value in values[:SAMPLE_ROWS])
    return f"{shown} and {len(values) - SAMPLE_ROWS} more" if len(values) > SAMPLE_ROWS else shown


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items() if part is not None)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    return str(value)


def _raised(one: ExpectationValidationResult) -> str:
    """First line of an exception that an expectation raised instead of a result; empty when it returned one."""
    info: Any = one.exception_info or {}
    found = [info] if "raised_exception" in info else [part for part in info.values() if isinstance(part, dict)]
    for part in found:
        if part.get("raised_exception"):
            return str(part.get("exception_message") or "an error without a message").splitlines()[0]
    return ""


def _redact(text: str, settings: Settings) -> str:
    return text.replace(settings.postgres_password_value, "***")
