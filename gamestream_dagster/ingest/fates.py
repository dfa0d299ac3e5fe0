"""Answers what became of an event, in a process of its own: a trace reads files and topics and holds up no batch."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from enum import StrEnum
from multiprocessing import get_context
from typing import Any, Final, Protocol

from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.fates.trace import NoEventIdError, trace_event
from gamestream_dagster.http_server.errors import RequestRefusedError, bad_request, unavailable
from gamestream_dagster.settings import Settings

SECONDS: Final = 30.0
"""Longest wait for an answer."""
MOST_WAITING: Final = 8
_NICE: Final = 10
_LOOK_SECONDS: Final = 2.0

log = logging.getLogger(__name__)


class Fates(Protocol):
    """What the routes ask about the fate of an event."""

    async def trace(self, event_id: str, app: str) -> dict[str, Any]:
        """The data of a trace, for an app."""
        ...

    def close(self) -> None:
        """Stop."""
        ...


class _Told(StrEnum):
    """How a trace ended. No exception crosses the processes: not every one of ours can be pickled."""

    FOUND = "found"
    NO_ID = "no id"
    COULD_NOT_LOOK = "could not look"


class TraceProcess:
    """Traces in one process, one at a time.

    Args:
        settings: the stack.
        seconds: longest wait for an answer.
        make: makes the executor.
    """

    def __init__(
        self, settings: Settings, seconds: float = SECONDS, make: Callable[[], Executor] | None = None
    ) -> None:
        self._settings = settings
        self._seconds = seconds
        self._make = make or _one_process
        self._pool: Executor | None = None
        self._waiting = 0

    async def trace(self, event_id: str, app: str) -> dict[str, Any]:
        """What became of an event. How it was received is told to the app that sent it alone.

        Raises:
            RequestRefusedError: 400 for what is no id, 404 where no record has it, 503 where nobody could look.
        """
        if self._waiting >= MOST_WAITING:
            raise unavailable("BUSY", "Too many traces are under way; send the request again.")
        self._waiting += 1
        try:
            told, found = await asyncio.wait_for(self._ask(event_id), self._seconds)
        except TimeoutError:
            raise unavailable("TOO_SLOW", "The trace took too long; send the request again.", 10) from None
        except BrokenProcessPool:
            self.close()
            log.error("the process that traces events has ended; the next request starts another")  # noqa: TRY400
            raise _could_not_look() from None
        finally:
            self._waiting -= 1
        if told is _Told.NO_ID:
            raise bad_request("NO_EVENT_ID", found)
        if told is _Told.COULD_NOT_LOOK:
            log.warning("a trace could not look: %s", found)
            raise _could_not_look()
        return _for_app(found, app)

    def close(self) -> None:
        """End the process."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, event_id: str) -> tuple[_Told, Any]:
        if self._pool is None:
            self._pool = self._make()
        return await asyncio.get_running_loop().run_in_executor(self._pool, _traced, self._settings, event_id)


def _could_not_look() -> RequestRefusedError:
    return unavailable(
        "CANNOT_LOOK", "Kafka or the archive cannot be read at the moment; send the request again.", retry_after=10
    )


def _for_app(found: dict[str, Any], app: str) -> dict[str, Any]:
    """Without what only concerns other apps: their keys."""
    if not found["found"]:
        raise RequestRefusedError(
            404, "UNKNOWN_EVENT", f"No record has this id. What was looked through: {'; '.join(found['looked'])}."
        )
    for record in found["records"]:
        if record["received"] is not None and record["received"]["app"] != app:
            record["received"] = None
            record["received_note"] = "over HTTP, by another app"
    return found


def _traced(settings: Settings, event_id: str) -> tuple[_Told, Any]:
    """In the process that traces."""
    try:
        return _Told.FOUND, trace_event(settings, event_id).data()
    except NoEventIdError as error:
        return _Told.NO_ID, str(error)
    except GamestreamError as error:
        return _Told.COULD_NOT_LOOK, str(error)


def _one_process() -> Executor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_begin, initargs=(os.getpid(),))


def _begin(parent: int) -> None:
    """The process gives way to the server, and ends with it however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICE)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
        os._exit(0)

    threading.Thread(target=watch, name="watch", daemon=True).start()
