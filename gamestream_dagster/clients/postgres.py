"""Postgres: one way to build an engine, with limits on every wait and errors that hold no password."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext

from gamestream_dagster.clients.errors import ServiceError, TerminalServiceError, TransientServiceError
from gamestream_dagster.settings import Settings

CONNECT_TIMEOUT_SECONDS = 5
LOCK_TIMEOUT_SECONDS = 15

# libpq reads these from the environment of whoever starts a command; the address is the settings' business alone.
LIBPQ_DEFAULTS: dict[str, Any] = {"hostaddr": "", "target_session_attrs": "any"}
_LIBPQ_VARIABLES = ("PGSERVICE", "PGSERVICEFILE", "PGSSLMODE", "PGREQUIREAUTH", "PGCHANNELBINDING", "PGGSSENCMODE")

# SQLSTATE classes and codes of a connection attempt that no repetition mends.
_TERMINAL_STATES = {
    "28P01": "check the user and the password (GAMESTREAM_POSTGRES_USER, GAMESTREAM_POSTGRES_PASSWORD)",
    "28000": "check the user and the server's pg_hba.conf",
    "3D000": "create the database, or name another one with GAMESTREAM_POSTGRES_DATABASE",
    "42501": "grant the user the right to connect",
}
# psycopg has no SQLSTATE for a refusal at connect time, only the server's text.
_TERMINAL_TEXTS = {
    "password authentication failed": "28P01",
    "no password supplied": "28P01",
    "no pg_hba.conf entry": "28000",
    "does not exist": "3D000",
    "permission denied for database": "42501",
}


def engine(settings: Settings, database: str | None = None, statement_timeout_seconds: int = 60) -> Engine:
    """Engine for the stack's Postgres; opens nothing before the first use. Dispose of it when done.

    Names are those of the schema `postgres_schema`, whatever search path the server has. Times come and go in UTC. A
    statement that takes longer than `statement_timeout_seconds`, or waits more than 15 s for a lock, is cancelled by
    the server.

    Raises (on use, not here):
        TransientServiceError: the server does not answer, or the connection broke.
        TerminalServiceError: the server refuses the user, the password or the database.
        Every other error is SQLAlchemy's own, without the values of the parameters.
    """
    name = database or settings.postgres_database
    port = settings.postgres_port or settings.port("postgres")
    url = URL.create(
        "postgresql+psycopg",
        username=settings.postgres_user,
        password=settings.postgres_password_value,
        host=settings.postgres_host,
        port=port,
        database=name,
    )
    options = (
        f"-c statement_timeout={statement_timeout_seconds * 1000} "
        f"-c lock_timeout={LOCK_TIMEOUT_SECONDS * 1000} -c timezone=UTC -c datestyle=ISO "
        f"-c search_path={settings.postgres_schema}"
    )
    built = create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=4,
        max_overflow=4,
        pool_timeout=10,
        connect_args={
            **LIBPQ_DEFAULTS,
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "application_name": "gamestream",
            "options": options,
            # A server that vanishes without closing the connection must not hang the reader.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
        },
    )
    where = f"{settings.postgres_host}:{port}/{name}"

    @event.listens_for(built, "handle_error")
    def _one_sentence(context: ExceptionContext) -> None:
        # A failed ping concerns the pool alone: it opens a fresh connection instead.
        if context.is_pre_ping or not (context.connection is None or context.is_disconnect):
            return
        raise connection_error(context.original_exception, where) from None

    return built


@contextmanager
def open_engine(settings: Settings, database: str | None = None) -> Iterator[Engine]:
    """An engine for one task, with its connections closed at the end."""
    built = engine(settings, database)
    try:
        yield built
    finally:
        built.dispose()


def connection_error(error: BaseException, where: str) -> ServiceError:
    """The error of a failed or broken connection, as one sentence without credentials.

    Args:
        error: the driver's exception; its text is left out, since a driver may quote the connection string.
        where: host:port/database.
    """
    state = getattr(error, "sqlstate", None)
    text = str(error)
    if not state:
        state = next((code for part, code in _TERMINAL_TEXTS.items() if "FATAL" in text and part in text), None)
    if state in _TERMINAL_STATES:
        reason = {"28P01": "password refused", "28000": "user refused", "3D000": "no such database"}.get(
            state, "connection refused by rights"
        )
        return TerminalServiceError("Postgres", f"{reason} at {where}", _TERMINAL_STATES[state])
    if "timeout" in text.lower():
        reason = f"no answer at {where} within {CONNECT_TIMEOUT_SECONDS} s"
    elif "refused" in text.lower():
        reason = f"nothing listens at {where}"
    elif "starting up" in text or "shutting down" in text or "recovery mode" in text:
        reason = f"the server at {where} is starting or stopping"
    else:
        reason = f"the connection to {where} cannot be made or broke{libpq_variables()}"
    return TransientServiceError("Postgres", reason, "start it with `gamestream up`, or check with `gamestream status`")


def libpq_variables() -> str:
    """Names the variables in the environment that change how libpq connects; empty if there are none."""
    found = [name for name in _LIBPQ_VARIABLES if os.environ.get(name)]
    return f" (the environment sets {', '.join(found)}, which may be why)" if found else ""
