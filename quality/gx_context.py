"""The only Great Expectations context of the process, and a Postgres datasource that never holds the password."""

# pyright: reportPrivateImportUsage=false
# (Great Expectations re-exports its public names without saying so to type checkers.)
from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

import great_expectations as gx
import sqlalchemy as sa
from great_expectations.data_context import EphemeralDataContext
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.data_context.types.resource_identifiers import ValidationResultIdentifier
from great_expectations.datasource.fluent import PostgresDatasource

from gamestream_dagster.settings import Settings

STATEMENT_TIMEOUT_SECONDS = 30


@cache
def context() -> EphemeralDataContext:
    """The process's only context: Great Expectations keeps a global one and mixes up two that are used at once."""
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    made = gx.get_context(mode="ephemeral")
    made.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    return made


def forget(made: EphemeralDataContext) -> None:
    """Empty the context, so that a run neither sees nor renders anything of the previous one."""
    for definition in list(made.validation_definitions.all()):
        made.validation_definitions.delete(definition.name)
    for suite in list(made.suites.all()):
        made.suites.delete(suite.name)
    for name in list(made.data_sources.all()):
        made.data_sources.delete(name)
    for site in list(made.get_site_names()):
        made.delete_data_docs_site(site)
    forget_results(made)


def forget_results(made: EphemeralDataContext, suite: str | None = None) -> None:
    """Drop the stored results of one suite, or of all."""
    store = made.validation_results_store
    for key in cast(list[ValidationResultIdentifier], store.list_keys()):
        if suite is None or key.expectation_suite_identifier.name == suite:
            store.remove_key(key)


@contextmanager
def postgres_source(made: EphemeralDataContext, settings: Settings) -> Iterator[PostgresDatasource]:
    """A datasource whose connection string has no password: libpq reads it from a file that exists during the run.

    So nothing that Great Expectations stores, renders or raises can contain it. The pool is closed at the end.
    """
    with tempfile.TemporaryDirectory(prefix="gamestream-quality-") as folder:
        # Typed Any: the adder's signature omits `kwargs`, which it passes on to `create_engine`.
        add: Any = made.data_sources.add_postgres
        source = add(
            "postgres",
            connection_string=_url_without_password(settings),
            kwargs={
                "connect_args": {
                    "passfile": str(_passfile(Path(folder), settings)),
                    "connect_timeout": 5,
                    "application_name": "gamestream-quality",
                    "options": f"-c statement_timeout={STATEMENT_TIMEOUT_SECONDS * 1000} -c timezone=UTC",
                }
            },
        )
        try:
            yield source
        finally:
            source.get_engine().dispose()


def _url_without_password(settings: Settings) -> str:
    url = sa.URL.create(
        "postgresql+psycopg",
        username=settings.postgres_user,
        host=settings.postgres_host,
        port=settings.postgres_port or settings.port("postgres"),
        database=settings.postgres_database,
    )
    return url.render_as_string(hide_password=True)


def _passfile(folder: Path, settings: Settings) -> Path:
    path = folder / "pgpass"
    escaped = settings.postgres_password_value.replace("\\", "\\\\").replace(":", "\\:")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"*:*:*:*:{escaped}\n")
    return path
