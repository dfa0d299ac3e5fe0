"""A time limit for a sensor's tick, independent of the clients' own limits."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


class OutOfTimeError(Exception):
    """The tick ran out of time. The request continues until the client's own limit; its reply is discarded."""


class Deadline:
    """The time budget of a tick, from now on."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    @property
    def over(self) -> bool:
        """True when no time is left."""
        return self._clock() >= self._end

    def within(self, ask: Callable[[], T]) -> T:
        """The reply, if it arrives in time.

        Raises:
            OutOfTimeError: it did not, or no time was left to ask.
        """
        left = self._end - self._clock()
        if left <= 0:
            raise OutOfTimeError(f"no time was left of the tick's {self._seconds:.0f} s")
        future: Future[T] = Future()
        # a daemon thread: it must not keep the code server from exiting
        Thread(target=_fill, args=(future, ask), daemon=True).start()
        try:
            return future.result(timeout=left)
        except TimeoutError as error:
            if future.done():
                raise  # the reply itself is a timeout
            raise OutOfTimeError(f"no answer within the {self._seconds:.0f} s of a tick") from error


def _fill(future: Future[T], ask: Callable[[], T]) -> None:
    try:
        future.set_result(ask())
    except BaseException as error:  # noqa: BLE001 (it is raised where the answer is awaited)
        future.set_exception(error)
