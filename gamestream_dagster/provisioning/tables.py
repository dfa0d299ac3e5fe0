"""Postgres: pending migrations, and tables against their definition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from sqlalchemy import Engine, MetaData, Table, func, inspect, select
from sqlalchemy.exc import DBAPIError, InternalError, OperationalError
from sqlalchemy.schema import DropTable

from gamestream_dagster.catalogue.sources import load_sources
from gamestream_dagster.clients.errors import ServiceError, TerminalServiceError, TransientServiceError
from gamestream_dagster.provisioning.model import ResourceKind, ResourceState, ResourceStatus
from gamestream_dagster.warehouse import migrate
from gamestream_dagster.warehouse.comments import write_comments
from gamestream_dagster.warehouse.drift import find_drift
from gamestream_dagster.warehouse.ledger_parts import missing_parts
from gamestream_dagster.warehouse.tables import job_ledger

_TRANSIENT_STATES = {
    "55P03": "another session holds a lock on it",  # lock_not_available
    "57014": "it took longer than the limit",  # query_canceled
    "40P01": "it met another session's change",  # deadlock_detected
    "53300": "the server has no connection left",  # too_many_connections
}


class MigrationProvider:
    """Revisions of the system tables, oldest first."""

    kind = ResourceKind.MIGRATION

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def names(self) -> list[str]:
        """All revisions of the project."""
        return [found.revision for found in migrate.revisions()]

    def observe(self, names: Iterable[str]) -> list[ResourceStatus]:
        """Those that the database already has."""
        with _sentences("check the migrations"):
            due = {found.revision for found in migrate.pending(self._engine)}
        titles = {found.revision: found.title for found in migrate.revisions()}
        return [
            ResourceStatus(self.kind, name, ResourceState.MISSING, change=f"run: {titles[name]}")
            if name in due
            else ResourceStatus(self.kind, name, ResourceState.PRESENT, facts={"title": titles[name]})
            for name in names
        ]

    def create(self, name: str) -> None:
        """Run all pending ones in their order, which includes the named revision."""
        with _sentences(f"run migration {name}"), migrate.locked(self._engine) as connection:
            migrate.run_pending(connection)

    def holdings(self, name: str) -> str | None:
        """Migrations cannot be reverted here."""
        raise TerminalServiceError("Postgres", f"migration {name} cannot be deleted", "delete single tables instead")

    def delete(self, name: str) -> None:
        """Migrations cannot be reverted here."""
        self.holdings(name)


class TableProvider:
    """Postgres tables of the system and of the boards."""

    kind = ResourceKind.TABLE

    def __init__(self, metadata: MetaData, engine: Engine) -> None:
        self._metadata = metadata
        self._engine = engine

    def names(self) -> list[str]:
        """Tables of the definition; referenced tables come first."""
        return [table.name for table in self._metadata.sorted_tables]

    def observe(self, names: Iterable[str]) -> list[ResourceStatus]:
        """Their states, all from one snapshot."""
        wanted = list(names)
        with _sentences("check the tables"), self._engine.connect() as connection:
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            existing = migrate.existing_tables(connection)
            drift = find_drift(connection, self._subset(wanted))
            divided = job_ledger.name in existing and job_ledger.name in wanted and job_ledger.name not in drift
            lacking = missing_parts(connection, load_sources()) if divided else []
        found = [table_status(self._metadata.tables[name], name in existing, drift.get(name, ())) for name in wanted]
        return [_without_parts(one, lacking) if one.name == job_ledger.name and lacking else one for one in found]

    def create(self, name: str) -> None:
        """Create it. Pending migrations run first, so that a new database has its history in order."""
        with _sentences(f"create table {name!r}"), migrate.locked(self._engine) as connection:
            migrate.run_pending(connection)
            migrate.create_missing(connection, self._metadata, only=name)

    def write_comments(self) -> int:
        """Write the comments of all existing tables; returns the number written."""
        with _sentences("describe the tables"), migrate.locked(self._engine) as connection:
            return write_comments(connection, self._metadata)

    def holdings(self, name: str) -> str | None:
        """Number of rows."""
        table = self._metadata.tables[name]
        with _sentences(f"count the rows of {name!r}"), self._engine.connect() as connection:
            if not inspect(connection).has_table(name):
                return None
            rows = connection.execute(select(func.count()).select_from(table)).scalar_one()
        return "1 row" if rows == 1 else f"{rows:,} rows"

    def delete(self, name: str) -> None:
        """Drop it with its rows; refused while another table refers to it."""
        with _sentences(f"drop table {name!r}"), migrate.locked(self._engine) as connection:
            connection.execute(DropTable(self._metadata.tables[name]))

    def _subset(self, names: list[str]) -> MetaData:
        """Metadata of those tables and of the tables that they refer to (a foreign key needs both ends)."""
        subset = MetaData(naming_convention=self._metadata.naming_convention)
        todo = list(names)
        while todo:
            table = self._metadata.tables[todo.pop()]
            if table.name in subset.tables:
                continue
            table.to_metadata(subset)
            todo += [key.column.table.name for key in table.foreign_keys]
        return subset


def table_status(table: Table, exists: bool, drift: tuple[str, ...]) -> ResourceStatus:
    """The status of one table. Pure."""
    columns = [column.name for column in table.columns]
    if not exists:
        change = f"create, {len(columns)} columns, key ({', '.join(c.name for c in table.primary_key.columns)})"
        return ResourceStatus(ResourceKind.TABLE, table.name, ResourceState.MISSING, change=change)
    state = ResourceState.DRIFTED if drift else ResourceState.PRESENT
    return ResourceStatus(ResourceKind.TABLE, table.name, state, drift, facts={"columns": columns})


def _without_parts(status: ResourceStatus, topics: list[str]) -> ResourceStatus:
    """The status of a ledger that lacks the parts of some streams."""
    return replace(status, state=ResourceState.MISSING, change=f"create the parts of {', '.join(topics)}")


@contextmanager
def _sentences(what: str) -> Iterator[None]:
    """Turn the driver's errors into one sentence, without the statement and its values."""
    try:
        yield
    except ServiceError:
        raise
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None) or ""
        if state in _TRANSIENT_STATES:
            reason = f"cannot {what}: {_TRANSIENT_STATES[state]}"
            raise TransientServiceError("Postgres", reason, "try again in a moment") from error
        said = str(error.orig).splitlines()[0] if error.orig else type(error).__name__
        instruction = "delete first what depends on it" if state == "2BP01" else "fix that and try again"
        if isinstance(error, OperationalError | InternalError) and not state:
            raise TransientServiceError("Postgres", f"cannot {what}: {said}", "try again in a moment") from error
        raise TerminalServiceError("Postgres", f"cannot {what}: {said}", instruction) from error
