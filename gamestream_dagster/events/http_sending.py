"""Sends game events over HTTP in batches, until each has a verdict.

One batch is under way at a time, so that memory is bounded and the events of a player stay in order. Events without a
verdict are sent again with their ids: those that the server has stored meanwhile are answered as duplicates.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from gamestream_dagster.clients.ingest_api import (
    MAX_BODY_BYTES,
    MAX_EVENTS,
    BatchReply,
    EventVerdict,
    TryLaterError,
    body_bytes,
)
from gamestream_dagster.events.game_play import GameRecord
from gamestream_dagster.events.producer import SendingError

GIVE_UP_SECONDS: Final = 120.0
"""Longest time without a single verdict."""
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 5.0
SLICE_SECONDS: Final = 0.1  # between two looks at Ctrl-C
RETRY: Final = "retry"
STORED: Final = ("accepted", "duplicate")


class Api(Protocol):
    """Where batches go."""

    url: str

    def send(self, events: Sequence[bytes]) -> BatchReply:
        """See `IngestApi.send`."""
        ...


@dataclass
class Answers:
    """The verdicts so far."""

    verdicts: Counter[str] = field(default_factory=Counter)
    """Events by final verdict: accepted, duplicate, refused."""
    refused: Counter[str] = field(default_factory=Counter)
    """Refused events by reason."""
    late: int = 0
    """Accepted events that go to the late topic."""
    resent: int = 0
    """Events that were sent again, once for each time."""
    waited_seconds: float = 0.0
    """Spent waiting because the server asked for it, or did not answer."""
    unconfirmed: int = 0
    """Events without a verdict: Ctrl-C came first. They may be stored."""

    @property
    def told(self) -> int:
        """Events with a final verdict."""
        return self.verdicts.total()

    def add(self, verdict: EventVerdict) -> None:
        """Count a final verdict."""
        self.verdicts[verdict.verdict] += 1
        if verdict.verdict == "refused":
            self.refused[verdict.code or "UNKNOWN"] += 1
        elif verdict.verdict == "accepted" and verdict.code == "LATE":
            self.late += 1


OnVerdict = Callable[[GameRecord, EventVerdict], None]
OnWait = Callable[[float, str], None]


class HttpSender:
    """Batches events.

    Args:
        api: where to.
        batch: events in one request at most.
        on_verdict: receives each event with its final verdict.
        on_wait: told the seconds, and why, before each wait.
        stopped: ends every wait once it returns True.
        sleep, clock: seconds.
    """

    def __init__(
        self,
        api: Api,
        batch: int = MAX_EVENTS,
        *,
        on_verdict: OnVerdict = lambda record, verdict: None,
        on_wait: OnWait = lambda seconds, why: None,
        stopped: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.answers = Answers()
        self._api = api
        self._batch = batch
        self._on_verdict = on_verdict
        self._on_wait = on_wait
        self._stopped = stopped
        self._sleep = sleep
        self._clock = clock
        self._waiting: list[GameRecord] = []
        self._bytes = 0

    @property
    def waiting(self) -> int:
        """Events that are not sent yet."""
        return len(self._waiting)

    def add(self, record: GameRecord) -> None:
        """Take an event; sends a batch when it is full.

        Raises:
            SendingError: no verdict came for `GIVE_UP_SECONDS`.
            TerminalServiceError: the server refuses the request.
        """
        size = self._bytes + len(record.value)
        if self._waiting and body_bytes(len(self._waiting) + 1, size) > MAX_BODY_BYTES:
            self.flush()
            size = len(record.value)
        self._waiting.append(record)
        self._bytes = size
        if len(self._waiting) >= self._batch:
            self.flush()

    def flush(self) -> None:
        """Send what waits, until each event has a verdict. Raises as `add` does."""
        left, self._waiting, self._bytes = self._waiting, [], 0
        pause = FIRST_PAUSE_SECONDS
        last_verdict = self._clock()
        while left:
            try:
                reply = self._api.send([record.value for record in left])
            except TryLaterError as error:
                again, asked, why = left, error.retry_after, error.reason
            except BaseException:
                self.answers.unconfirmed += len(left)
                raise
            else:
                again = self._settle(left, reply)
                asked, why = reply.retry_after, "Kafka does not confirm them"
            if len(again) < len(left):
                last_verdict, pause = self._clock(), FIRST_PAUSE_SECONDS
            left = again
            if left:
                wait = pause if asked is None else asked
                if self._stopped():
                    self.answers.unconfirmed += len(left)
                    return
                if self._clock() - last_verdict + wait > GIVE_UP_SECONDS:
                    raise self._given_up(len(left), why)
                self._on_wait(wait, why)
                self._wait(wait)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                self.answers.resent += len(left)

    def _settle(self, sent: list[GameRecord], reply: BatchReply) -> list[GameRecord]:
        """Count the final verdicts; returns the events that have to be sent again, in order."""
        again: list[GameRecord] = []
        for record, verdict in zip(sent, reply.verdicts, strict=True):
            if verdict.verdict == RETRY:
                again.append(record)
                continue
            self.answers.add(verdict)
            self._on_verdict(record, verdict)
        return again

    def _wait(self, seconds: float) -> None:
        start = self._clock()
        while (left := start + seconds - self._clock()) > 0 and not self._stopped():
            self._sleep(min(left, SLICE_SECONDS))
        self.answers.waited_seconds += self._clock() - start

    def _given_up(self, count: int, why: str) -> SendingError:
        self.answers.unconfirmed += count
        return SendingError(
            f"{count} events got no verdict from {self._api.url} within {GIVE_UP_SECONDS:.0f} s ({why}); "
            f"{self.answers.told} had got theirs. See `gamestream status`, then run the command again."
        )
