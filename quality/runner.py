"""Runs the suites through Great Expectations and builds Data Docs: one run at a time across threads."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.postgres import engine, open_engine
from quality.results import QualityError, QualityResult, SuiteResult, SuiteState
from quality.suites import load_suites, proof_suites

if TYPE_CHECKING:
    from gamestream_dagster.settings import Settings
    from quality.suites.suite import Suite

# A board is written rank by rank, so one attempt may hit a write. A real fault persists at the third attempt.
LIVE_ATTEMPTS = 3
LIVE_PAUSE_SECONDS = 1.5
_SERIAL = threading.Lock()


def run_suites(settings: Settings, suites: Sequence[str] | None = None) -> QualityResult:
    """Validate the suites (all, or those named) and build Data Docs under `<home>/reports/data_docs`.

    The pages of the metrics' suites go to `data_docs_metrics` beside it, those of selected suites to
    `data_docs_selected`, so that the pages of a full run stay complete.

    A suite whose table is missing fails with a reason. For a suite without rows, its `when_empty`
    decides.

    Raises:
        QualityError: no such suite, Postgres does not answer, or Great Expectations itself failed.
    """
    # Great Expectations prints progress to stdout, which is for data.
    with _SERIAL, contextlib.redirect_stdout(sys.stderr):
        started = time.monotonic()
        known = load_suites(settings)
        chosen = _choose(known, suites)
        tables = _tables(settings)
        from quality.data_docs import publish
        from quality.gx_context import context, forget, postgres_source

        gx_context = context()
        forget(gx_context)
        with postgres_source(gx_context, settings) as source:
            results = tuple(_run(source, suite, tables, settings) for suite in chosen)
        index = publish(gx_context, settings.reports_dir / _folder([suite.name for suite in chosen], settings), results)
        return QualityResult(suites=results, data_docs=index, seconds=round(time.monotonic() - started, 2))


def _folder(chosen: Sequence[str], settings: Settings) -> str:
    proofs = set(proof_suites(settings))
    if proofs <= set(chosen):
        return "data_docs"
    return "data_docs_metrics" if set(chosen) == set(load_suites(settings)) - proofs else "data_docs_selected"


def _choose(known: dict[str, Suite], names: Sequence[str] | None) -> list[Suite]:
    for name in names or ():
        if name not in known:
            raise QualityError(f"There is no suite {name!r}; choose from {', '.join(known)}.")
    return [suite for name, suite in known.items() if names is None or name in names]


def _tables(settings: Settings) -> set[str]:
    database = engine(settings)
    try:
        return set(sa.inspect(database).get_table_names())
    except (ServiceError, SQLAlchemyError) as error:
        reason = str(error).splitlines()[0].replace(settings.postgres_password_value, "***")
        raise QualityError(f"Postgres could not be read ({reason}) See `gamestream status`.") from None
    finally:
        database.dispose()


def _run(source: object, suite: Suite, tables: set[str], settings: Settings) -> SuiteResult:
    from quality.suites.suite import PostgresRows
    from quality.validation import failed

    if isinstance(suite.rows, PostgresRows):
        for table in suite.rows.tables:
            if table not in tables:
                return failed(suite, f"Table {table} does not exist; run `gamestream apply`.")
    attempt = 1
    result = _attempt(source, suite, attempt, settings)
    while suite.live and result.state is SuiteState.FAILS and attempt < LIVE_ATTEMPTS:
        time.sleep(LIVE_PAUSE_SECONDS)
        attempt += 1
        result = _attempt(source, suite, attempt, settings)
    return result


def _attempt(source: object, suite: Suite, attempt: int, settings: Settings) -> SuiteResult:
    """Validate once. Without rows the expectations are evaluated only where rows are missing, to show that they are."""
    from quality.validation import validate

    if not _is_empty(suite, settings):
        return validate(source, suite, attempt, settings)
    verdict = suite.when_empty(settings)
    if verdict.state is SuiteState.FAILS:
        return validate(source, suite, attempt, settings, missing=verdict.sentence)
    holds = verdict.state is SuiteState.HOLDS
    return SuiteResult(
        suite.name,
        suite.title,
        suite.subject,
        evaluated=0,
        attempts=attempt,
        expectations=(),
        empty=verdict.sentence if holds else "",
        waiting="" if holds else verdict.sentence,
    )


def _is_empty(suite: Suite, settings: Settings) -> bool:
    from quality.suites.suite import Frame

    if isinstance(suite.rows, Frame):
        return suite.rows.is_empty()
    with open_engine(settings) as database, database.connect() as link:
        # the SELECT is ours, with allow-listed identifiers
        return link.exec_driver_sql(f"SELECT 1 FROM ({suite.rows.select}) AS rows LIMIT 1").first() is None  # noqa: S608
