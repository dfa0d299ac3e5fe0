"""One short look at a source, whose failure becomes a `Problem` that a page can show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.errors import GamestreamError, sentence_of

T = TypeVar("T")

_CANCELLED = "57014"  # by the statement timeout


@dataclass(frozen=True)
class Problem:
    """Why there is nothing to show, and the command that fixes it."""

    title: str
    sentence: str
    command: str


def look_at_postgres(engine: Engine, look: Callable[[Connection, frozenset[str]], T]) -> T | Problem:
    """What `look` reads in one read-only transaction from one instant; it is given the names of the tables there."""
    try:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True) as link:
            return look(link, frozenset(sa.inspect(link).get_table_names()))
    except (ServiceError, DBAPIError) as error:
        return problem_of(error)


def look_at(look: Callable[[], T], command: str = "gamestream status") -> T | Problem:
    """What `look` gives, or why its source gave nothing.

    Args:
        look: asks one source.
        command: to see what is wrong with the source.
    """
    try:
        return look()
    except DBAPIError as error:
        return problem_of(error)
    except GamestreamError as error:
        if isinstance(error, ServiceError):
            return Problem(f"{error.service} does not answer", _sentence(error.reason), command)
        return Problem("This cannot be read", sentence_of(error), command)


def problem_of(error: ServiceError | DBAPIError) -> Problem:
    """What a failed read of Postgres means for a reader."""
    if isinstance(error, ServiceError):
        return Problem("Postgres does not answer", _sentence(error.reason), "gamestream up")
    if getattr(error.orig, "sqlstate", "") == _CANCELLED:
        return Problem("Postgres was too slow", "The query was cancelled at its time limit.", "gamestream status")
    reason = str(error.orig).splitlines()[0] if error.orig else "no reason given"
    return Problem("Postgres could not be read", f"{reason}.", "gamestream plan")


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:]}."
