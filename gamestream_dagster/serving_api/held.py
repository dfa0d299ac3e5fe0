"""The views that the server holds: the newest of each board, and those that pages are pinned to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

from cachetools import LRUCache, TLRUCache

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.catalogue.seasons import SeasonSpan
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.serving_api.views import View

FRESH_SECONDS: Final = 1.0
"""A view of this age is served while a newer one is read."""
STALE_SECONDS: Final = 3.0
"""A request waits for a newer view than this."""
AWAY_SECONDS: Final = 60.0
"""While Postgres does not answer, a view of this age is still served; `read_at` says how old it is."""
PAUSE_SECONDS: Final = 1.0
"""After a failed read Postgres is left alone for so long."""
PIN_SECONDS: Final = 300.0
"""How long a cursor is good for, after its last use."""
MOST_PINNED_ROWS: Final = 100_000
_MOST_VIEWS: Final = 1000
_THREADS: Final = 4

Name = tuple[str, int | None]


class ReadBoard(Protocol):
    """What reads a board, in a thread."""

    def read(self, board: Board, season: SeasonSpan | None = None) -> View:
        """As `BoardReader.read`."""
        ...


@dataclass(frozen=True)
class _Entry:
    view: View
    at: float


class HeldViews:
    """Gives views to requests; however many ask, a board is read once at a time.

    Args:
        reader: asked in a thread.
        clock: seconds.
    """

    def __init__(self, reader: ReadBoard, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._clock = clock
        self._newest: LRUCache[Name, _Entry] = LRUCache(_MOST_VIEWS)
        self._reading: dict[Name, asyncio.Task[View]] = {}
        self._failed: LRUCache[Name, tuple[float, GamestreamError]] = LRUCache(_MOST_VIEWS)
        self._threads = ThreadPoolExecutor(_THREADS, "boards")
        self._pinned: TLRUCache[str, View] = TLRUCache(
            MOST_PINNED_ROWS,
            ttu=lambda _, __, now: now + PIN_SECONDS,
            timer=clock,
            getsizeof=lambda view: max(1, len(view.rows)),
        )

    async def view(self, board: Board, season: SeasonSpan | None = None) -> View:
        """The board, seldom older than `FRESH_SECONDS` and never than `STALE_SECONDS` while Postgres answers.

        Raises:
            ServiceError: Postgres does not answer, and no view is young enough.
            BoardUnreadableError, NoSuchSeasonError: as `BoardReader.read`.
        """
        name = (board.name, season and season.start)
        entry, now = self._newest.get(name), self._clock()
        age = float("inf") if entry is None else now - entry.at
        if entry is not None and age < FRESH_SECONDS:
            return entry.view
        failed_at, failure = self._failed.get(name, (float("-inf"), None))
        if failure is not None and now - failed_at < PAUSE_SECONDS:
            if entry is not None and age < AWAY_SECONDS and isinstance(failure, ServiceError):
                return entry.view
            raise failure.with_traceback(None)  # it would grow with each request
        task = self._read(name, board, season)
        if entry is not None and age < STALE_SECONDS:
            return entry.view
        try:
            return await asyncio.shield(task)
        except ServiceError:
            if entry is not None and age < AWAY_SECONDS:
                return entry.view
            raise

    def pin(self, view: View) -> None:
        """Keep a view for the pages that follow."""
        self._pinned[view.view_id] = view

    def pinned(self, view_id: str) -> View | None:
        """The view of a cursor, kept for longer by this use; None where it is gone."""
        view = self._pinned.get(view_id)
        if view is not None:
            self._pinned[view_id] = view
        return view

    @property
    def pinned_rows(self) -> int:
        """Rows of the views that are kept for cursors."""
        return int(self._pinned.currsize)

    def close(self) -> None:
        """Wait for reads under way; they are short."""
        self._threads.shutdown(cancel_futures=True)

    def _read(self, name: Name, board: Board, season: SeasonSpan | None) -> asyncio.Task[View]:
        if name not in self._reading:
            task = asyncio.create_task(self._ask(name, board, season))
            self._reading[name] = task
            task.add_done_callback(lambda done: self._end(name, done))
        return self._reading[name]

    async def _ask(self, name: Name, board: Board, season: SeasonSpan | None) -> View:
        began = self._clock()
        try:
            view = await asyncio.get_running_loop().run_in_executor(self._threads, self._reader.read, board, season)
        except GamestreamError as error:
            self._failed[name] = (self._clock(), error)
            raise
        self._newest[name] = _Entry(view, began)
        return view

    def _end(self, name: Name, task: asyncio.Task[View]) -> None:
        self._reading.pop(name, None)
        if not task.cancelled():
            task.exception()  # the waiting requests have it; without one, asyncio would complain
