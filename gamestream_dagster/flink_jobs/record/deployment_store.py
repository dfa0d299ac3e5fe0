"""The table `deployments`: the write-ahead record of every submission, and the lock of a job."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Engine, RowMapping, Select, delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from gamestream_dagster.clients.errors import NotFoundError, TerminalServiceError
from gamestream_dagster.flink_jobs.errors import ExecutorBusyError, StaleRecordError
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState
from gamestream_dagster.warehouse.tables import deployments, job_ledger

_UNDEFINED_TABLE = "42P01"
# The 64 bits of an advisory lock are split into two columns. Reading them, unlike trying the lock, blocks nobody.
_HELD = text(
    "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND ((classid::bigint << 32) | objid::bigint) = :key"
)


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def _key(job: str) -> int:
    return _number(f"gamestream/job/{job}")


_STANDSTILL = _number("gamestream/standstill")


class DeploymentStore(Protocol):
    """The storage that the job manager needs; `PostgresDeploymentStore` is the real one."""

    def last(self, job: str) -> Deployment | None:
        """The newest generation of a job."""
        ...

    def history(self, job: str, limit: int = 50) -> list[Deployment]:
        """The generations of a job, newest first."""
        ...

    def generation(self, job: str, number: int) -> Deployment | None:
        """One generation of a job."""
        ...

    def add(self, deployment: Deployment) -> None:
        """Store a new generation; the one before it becomes SUPERSEDED in the same transaction."""
        ...

    def save(self, deployment: Deployment, **changes: Any) -> Deployment:
        """Store changes of a generation, if nobody else has changed it since; returns the new value."""
        ...

    def forget_ledger(self, job: str) -> None:
        """Delete the job's earlier counts: it starts without state and counts from the first record."""
        ...

    @contextmanager
    def lock(self, job: str) -> Generator[None]:
        """Lock the job for this executor; a second one fails at once."""
        ...

    def standing(self) -> bool:
        """Whether a proof that stops jobs is running."""
        ...

    def at_work(self, job: str) -> bool:
        """Whether an executor holds the job."""
        ...

    def now(self) -> datetime:
        """The clock shared by all executors."""
        ...


class PostgresDeploymentStore:
    """The records in Postgres.

    Raises (from every method):
        TransientServiceError: Postgres does not answer.
        NotFoundError: the tables do not exist yet.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def last(self, job: str) -> Deployment | None:
        """The newest generation of a job."""
        return next(iter(self.history(job, 1)), None)

    def history(self, job: str, limit: int = 50) -> list[Deployment]:
        """The generations of a job, newest first."""
        query = select(deployments).where(deployments.c.job == job)
        return self._read(query.order_by(deployments.c.generation.desc()).limit(limit))

    def generation(self, job: str, number: int) -> Deployment | None:
        """One generation of a job."""
        query = select(deployments).where(deployments.c.job == job, deployments.c.generation == number)
        return next(iter(self._read(query)), None)

    def _read(self, query: Select[Any]) -> list[Deployment]:
        try:
            with self._engine.connect() as connection:
                return [_deployment(row) for row in connection.execute(query).mappings()]
        except ProgrammingError as error:
            raise _explained(error, "deployments") from error

    def add(self, deployment: Deployment) -> None:
        """Store a new generation.

        Raises:
            StaleRecordError: the generation exists already: another executor was faster.
        """
        older = (
            update(deployments)
            .where(deployments.c.job == deployment.job, deployments.c.generation < deployment.generation)
            .where(deployments.c.state.not_in([DeploymentState.SUPERSEDED]))
            .values(
                state=DeploymentState.SUPERSEDED,
                version=deployments.c.version + 1,
                ended_at=func.coalesce(deployments.c.ended_at, func.now()),
            )
        )
        try:
            with self._engine.begin() as connection:
                connection.execute(older)
                connection.execute(insert(deployments).values(**_row(deployment)))
        except IntegrityError as error:
            raise StaleRecordError(
                f"Generation {deployment.generation} of {deployment.job} exists already: another executor stored it; "
                "look with `gamestream jobs show`"
            ) from error

    def save(self, deployment: Deployment, **changes: Any) -> Deployment:
        """Store changes of a generation, if nobody else has changed it since it was read.

        Raises:
            StaleRecordError: the row has another version by now.
        """
        changed = replace(deployment, **changes, version=deployment.version + 1)
        statement = (
            update(deployments)
            .where(deployments.c.deployment_id == deployment.deployment_id)
            .where(deployments.c.version == deployment.version)
            .values(**_row(changed))
        )
        with self._engine.begin() as connection:
            if connection.execute(statement).rowcount != 1:
                raise StaleRecordError(
                    f"The record of {deployment.job} generation {deployment.generation} was changed by another "
                    "process; look with `gamestream jobs show`"
                )
        return changed

    def forget_ledger(self, job: str) -> None:
        """Delete the job's rows of `job_ledger`.

        Raises:
            NotFoundError: the table does not exist yet.
        """
        try:
            with self._engine.begin() as connection:
                connection.execute(delete(job_ledger).where(job_ledger.c.job == job))
        except ProgrammingError as error:
            raise _explained(error, "job_ledger") from error

    @contextmanager
    def lock(self, job: str) -> Generator[None]:
        """Lock the job for this executor. The lock ends with its connection, so a crash never leaves it behind.

        Raises:
            ExecutorBusyError: another executor holds it.
        """
        with self._locked(_key(job)) as mine:
            if not mine:
                raise ExecutorBusyError(
                    f"Another executor works on {job} now; wait until it has finished, then see `gamestream jobs show`"
                )
            yield

    @contextmanager
    def standstill(self) -> Generator[None]:
        """Lock for the one proof that stops jobs. Ends with its connection: a killed proof frees its jobs at once.

        Raises:
            ExecutorBusyError: another proof is stopping jobs.
        """
        with self._locked(_STANDSTILL) as mine:
            if not mine:
                raise ExecutorBusyError("another proof has stopped jobs now; try again when it has ended")
            yield

    def standing(self) -> bool:
        """Whether a proof that stops jobs is running."""
        return self._held(_STANDSTILL)

    def at_work(self, job: str) -> bool:
        """Whether an executor holds the job."""
        return self._held(_key(job))

    @contextmanager
    def _locked(self, key: int) -> Generator[bool]:
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar_one():
                yield False
                return
            try:
                yield True
            finally:
                with suppress(DBAPIError):  # a broken connection has released the lock already
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})

    def _held(self, key: int) -> bool:
        with self._engine.connect() as connection:
            return bool(connection.execute(_HELD, {"key": key}).scalar_one())

    def now(self) -> datetime:
        """Postgres' clock, shared by all executors."""
        with self._engine.connect() as connection:
            return connection.execute(select(func.now())).scalar_one()


def _explained(error: ProgrammingError, table: str) -> Exception:
    if getattr(error.orig, "sqlstate", None) != _UNDEFINED_TABLE:
        return error
    return NotFoundError("Postgres", f"the table {table} does not exist", "create it with `gamestream apply`")


def _row(deployment: Deployment) -> dict[str, Any]:
    return {**asdict(replace(deployment, spec={})), "state": deployment.state.value, "spec": dict(deployment.spec)}


def _deployment(row: RowMapping) -> Deployment:
    """The record of a row.

    Raises:
        TerminalServiceError: the row contains values that no executor writes.
    """
    values = dict(row)
    try:
        values["state"] = DeploymentState(values["state"])
        values["spec"] = dict(values["spec"] or {})
        found = Deployment(**values)
        _ = found.inputs, found.hold
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        which = f"{row['job']} generation {row['generation']}"
        way = f"DELETE FROM deployments WHERE job = '{row['job']}' AND generation = {row['generation']}"  # noqa: S608
        raise TerminalServiceError(
            "Postgres",
            f"the record of {which} in the table deployments cannot be read ({type(error).__name__}: {error}): another "
            "hand changed it",
            f'correct it, or delete it and then `gamestream apply`: `gamestream psql -c "{way}"`',
        ) from error
    return found
