"""Answers why a row is as it is, one question at a time: it reads the archive, which takes seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.http_server.errors import RequestRefusedError, not_found, unavailable
from gamestream_dagster.settings import Settings

if TYPE_CHECKING:
    from gamestream_dagster.reconciliation.why.answer import Why

MOST_WAITING: Final = 4
"""Questions at once, the one that is being answered too."""
WAIT_SECONDS: Final = 60.0
"""A request is answered 503 after so long; the question's answer is then dropped."""
MOST_LINES: Final = 200

Explain = Callable[[Board, str, int], str]
T = TypeVar("T")


class Explainer:
    """Answers questions one after the other, in a thread.

    The thread is a daemon: the end of the process does not wait for an answer. The archive is safe in a crash.

    Args:
        explain: gives the answer as JSON text; blocks.
        wait_seconds: see `WAIT_SECONDS`.
    """

    def __init__(self, explain: Explain, wait_seconds: float = WAIT_SECONDS) -> None:
        self._explain = explain
        self._wait_seconds = wait_seconds
        self._turn = asyncio.Lock()
        self._asked: set[asyncio.Task[str]] = set()

    @property
    def waiting(self) -> int:
        """Questions that have no answer yet."""
        return len(self._asked)

    async def why(self, board: Board, entity: str, limit: int) -> str:
        """The answer as JSON text.

        Raises:
            RequestRefusedError: 404 where no record is about the entity, 503 where the answer cannot be had now.
        """
        if self.waiting >= MOST_WAITING:
            raise unavailable("BUSY", "Too many questions are waiting for their answers; ask again.", 5)
        asked = asyncio.create_task(self._ask(board, entity, limit))
        self._asked.add(asked)
        asked.add_done_callback(self._end)
        try:
            return await asyncio.wait_for(asyncio.shield(asked), self._wait_seconds)
        except TimeoutError as error:
            message = f"The answer takes longer than {self._wait_seconds:g} s; ask again, or use `gamestream why`."
            raise unavailable("WHY_SLOW", message, 30) from error

    async def _ask(self, board: Board, entity: str, limit: int) -> str:
        async with self._turn:
            return await in_daemon(lambda: self._answer(board, entity, limit))

    def _answer(self, board: Board, entity: str, limit: int) -> str:
        try:
            return self._explain(board, entity, limit)
        except GamestreamError as error:
            from gamestream_dagster.reconciliation.why.question import UnknownEntityError

            if isinstance(error, UnknownEntityError):
                raise not_found("UNKNOWN_ID", str(error)) from error
            raise RequestRefusedError(503, "WHY_UNAVAILABLE", str(error), retry_after=10) from error

    def _end(self, asked: asyncio.Task[str]) -> None:
        self._asked.discard(asked)
        if not asked.cancelled():
            asked.exception()  # of a question whose request has ended: nobody else asks for it


async def in_daemon(work: Callable[[], T]) -> T:
    """The result of work that blocks, from a thread that does not hold up the end of the process."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[T] = loop.create_future()

    def tell(settle: Callable[[Any], None], result: Any) -> None:
        if not made.done():
            settle(result)

    def run() -> None:
        try:
            settle, result = made.set_result, work()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever awaits
            settle, result = made.set_exception, error
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, settle, result)

    Thread(target=run, daemon=True).start()
    return await made


def explainer_of(settings: Settings) -> Explainer:
    """Asks the stack's archive."""

    def explain(board: Board, entity: str, limit: int) -> str:
        # heavy to import, and most servers are never asked
        from gamestream_dagster.reconciliation.why.as_json import json_parts
        from gamestream_dagster.reconciliation.why.explain_row import explain_row

        texts: list[str] = []

        def use(found: Why) -> None:
            texts.extend(json_parts(found, limit))

        # with the column's name an id that looks like `player:p1` stays as it is
        named = f"{board.entity[0]}:{entity}" if len(board.entity) == 1 else entity
        explain_row(settings, board.name, named, use)
        return "".join(texts)

    return Explainer(explain)
