"""Brings the database to the project's tables: revisions for system tables, creation for board tables.

Only a revision changes an existing table.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, MetaData, inspect, text

from gamestream_dagster.catalogue.sources import load_sources
from gamestream_dagster.clients.errors import TerminalServiceError
from gamestream_dagster.warehouse.described_tables import load_metadata
from gamestream_dagster.warehouse.ledger_parts import PREFIX, create_parts
from gamestream_dagster.warehouse.tables import job_ledger

MIGRATIONS_DIR = Path(__file__).with_name("migrations")
VERSION_TABLE = "alembic_version"
# Two concurrent runs must not both create a table: the second waits, then finds it.
_LOCK_KEY = 7_201_611


@dataclass(frozen=True)
class Revision:
    """One migration."""

    revision: str
    title: str


@dataclass(frozen=True)
class Upgrade:
    """The result of `upgrade`; both empty when there was nothing to do."""

    revisions: tuple[Revision, ...]
    tables: tuple[str, ...]
    """Created tables, including those of the revisions."""


def revisions() -> tuple[Revision, ...]:
    """Every migration, oldest first."""
    script = ScriptDirectory.from_config(_config())
    ordered = reversed(list(script.walk_revisions()))
    return tuple(Revision(found.revision, (found.doc or "").rstrip(".")) for found in ordered)


def pending(engine: Engine) -> tuple[Revision, ...]:
    """Migrations that the database lacks, oldest first."""
    with engine.connect() as connection:
        return pending_on(connection)


def pending_on(connection: Connection) -> tuple[Revision, ...]:
    """As `pending`, on a connection.

    Raises:
        TerminalServiceError: the database was migrated by a newer version of gamestream.
    """
    applied = MigrationContext.configure(connection).get_current_revision()
    known = revisions()
    if applied is None:
        return known
    names = [found.revision for found in known]
    if applied not in names:
        raise TerminalServiceError(
            "Postgres",
            f"the tables are at revision {applied}, which this version does not know",
            "use the version of gamestream that made them, or a newer one",
        )
    return known[names.index(applied) + 1 :]


def upgrade(engine: Engine, metadata: MetaData | None = None) -> Upgrade:
    """Run the pending migrations, then create missing tables, in one transaction.

    Args:
        engine: of the database.
        metadata: default: every table of the project.

    Raises:
        TerminalServiceError: a migration cannot run; nothing was changed.
    """
    wanted = load_metadata() if metadata is None else metadata
    with locked(engine) as connection:
        before = existing_tables(connection)
        due = pending_on(connection)
        if due:
            _run_migrations(connection)
        create_missing(connection, wanted)
        return Upgrade(due, tuple(sorted((existing_tables(connection) - before) & set(wanted.tables))))


def create_missing(connection: Connection, metadata: MetaData, only: str | None = None) -> None:
    """Create the tables of `metadata` (or the named one) that do not exist. Existing tables stay unchanged.

    The jobs' ledger gets a part for each stream that has none.
    """
    tables = None if only is None else [metadata.tables[only]]
    metadata.create_all(connection, tables=tables, checkfirst=True)
    if only in (None, job_ledger.name) and job_ledger.name in metadata.tables:
        create_parts(connection, load_sources())


def existing_tables(connection: Connection) -> set[str]:
    """Names of the tables in the database's schema; the parts of the jobs' ledger belong to it."""
    return {name for name in inspect(connection).get_table_names() if not name.startswith(PREFIX)}


@contextmanager
def locked(engine: Engine) -> Iterator[Connection]:
    """A transaction that excludes concurrent table changes."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        yield connection


def run_pending(connection: Connection) -> tuple[Revision, ...]:
    """Run the pending migrations in the connection's transaction and give each stream its part of the ledger.

    Returns the migrations.
    """
    due = pending_on(connection)
    if due:
        _run_migrations(connection)
        create_parts(connection, load_sources())
    return due


def _run_migrations(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise TerminalServiceError("Postgres", f"a migration cannot run ({error})", "fix it and try again") from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_DIR).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
