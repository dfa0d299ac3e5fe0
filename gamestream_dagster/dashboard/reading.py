"""One short look at a source, whose failure becomes a `Problem` that a page can show."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

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


class Background(Generic[T]):
    """Asks a source in a thread of its own, one question at a time: one that hangs costs a page its patience alone.

    Args:
        name: of the source, for readers.
        look: asks it; an error becomes a problem.
    """

    def __init__(self, name: str, look: Callable[[], T | Problem]) -> None:
        self._name = name
        self._look = look
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dashboard")
        self._asked: Future[T | Problem] | None = None

    def ask(self) -> Callable[[float], T | Problem]:
        """Ask, unless the question before is still open; gives what waits for the answer, so many seconds."""
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = self._pool.submit(look_at, self._look)
            asked = self._asked

        def answer(seconds: float) -> T | Problem:
            try:
                return asked.result(timeout=seconds)
            except TimeoutError:
                told = f"There was no answer within {seconds:.1g} s; the page goes on asking."
                return Problem(f"{self._name} does not answer", told, "gamestream status")

        return answer


def look_at_postgres(engine: Engine, look: Callable[[Connection, frozenset[str]], T]) -> T | Problem:
    """What `look` reads in one read-only transaction from one instant; it is given the names of the tables there."""
    try:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True) as link:
            return look(link, frozenset(sa.inspect(link).get_table_names()))
    except (ServiceError, DBAPIError) as error:
        return problem_of(error)


def look_at(look: Callable[[], T | Problem], command: str = "gamestream status") -> T | Problem:
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
