"""Sends events to Kafka and waits for their delivery reports, without blocking the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.events.producer import PRODUCER_SETTINGS
from gamestream_dagster.http_server.errors import unavailable
from gamestream_dagster.ingest.remembered import Receipt

WATCH_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 5.0
"""Longest wait for Kafka's metadata; after that it counts as away."""
QUEUE_KIB: Final = 64 * 1024
"""Most that waits for Kafka in memory; what comes then is told to come again."""
_POLL_SECONDS: Final = 0.2
_GRACE_SECONDS: Final = 2.0  # beyond the client's own limit, after which it reports a failure

log = logging.getLogger(__name__)

Header = tuple[str, str | bytes | None]
MakeProducer = Callable[[dict[str, Any]], Producer]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to send."""

    key: bytes
    value: bytes
    headers: list[Header]


@dataclass(frozen=True)
class KafkaState:
    """Whether events can be sent, as last seen."""

    ready: bool
    code: str = ""
    """`KAFKA_UNAVAILABLE` or `NO_TOPIC`; empty when ready."""
    message: str = ""


_UNSEEN: Final = KafkaState(False, "KAFKA_UNAVAILABLE", "Kafka has not been asked yet; send the request again.")
_AWAY: Final = KafkaState(False, "KAFKA_UNAVAILABLE", "Kafka does not answer at the moment; send the request again.")


class Outbox:
    """One Kafka producer, served by a thread of its own.

    Args:
        kafka: where the broker is.
        topic: of the events.
        delivery_seconds: longest time until a record is delivered or has failed.
        make: builds the client.
    """

    def __init__(
        self, kafka: KafkaConnection, topic: str, delivery_seconds: float, make: MakeProducer = Producer
    ) -> None:
        self.topic = topic
        self.state = _UNSEEN
        self._delivery_seconds = delivery_seconds
        self._make = make
        self._options = kafka.options(
            {
                **PRODUCER_SETTINGS,
                "client.id": "gamestream-ingest",
                "message.timeout.ms": int(delivery_seconds * 1000),
                "queue.buffering.max.kbytes": QUEUE_KIB,
                "reconnect.backoff.max.ms": 1000,
                "error_cb": self._note,
                "log_level": 0,
            }
        )
        self._fatal = False
        self._stopping = threading.Event()
        self._producer = make(self._options)
        self._thread = threading.Thread(target=self._serve, name="outbox", daemon=True)
        self._thread.start()

    async def send(
        self, records: Sequence[Outgoing], on_delivered: Callable[[int, Receipt], None]
    ) -> list[Receipt | None]:
        """Send records and wait for their reports: receipts in order, None where one was not delivered in time.

        Args:
            records: to send.
            on_delivered: called with a record's place and receipt, also where it comes too late for the answer.

        Raises:
            RequestRefusedError: 503, Kafka is away; nothing was sent.
        """
        self.require_ready()
        report = _Report(len(records), asyncio.get_running_loop(), on_delivered)
        producer = self._producer
        for place, record in enumerate(records):
            try:
                producer.produce(
                    self.topic, record.value, record.key, on_delivery=report.of(place), headers=record.headers
                )
            except (BufferError, KafkaException) as error:  # the queue is full, or the client is of no more use
                if isinstance(error, KafkaException) and error.args[0].fatal():
                    self._fatal = True
                report.not_sent()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(report.done), self._delivery_seconds + _GRACE_SECONDS)
        return list(report.receipts)

    def require_ready(self) -> None:
        """Raises RequestRefusedError (503) while Kafka cannot take events."""
        if not self.state.ready:
            raise unavailable(self.state.code, self.state.message)

    async def watch(self) -> None:
        """Keep `state` up to date; runs until it is cancelled."""
        while True:
            self.state = await asyncio.to_thread(self.look)
            await asyncio.sleep(WATCH_SECONDS)

    def look(self) -> KafkaState:
        """Ask Kafka for the topic."""
        try:
            described = self._producer.list_topics(self.topic, timeout=LOOK_SECONDS).topics[self.topic]
        except KafkaException:
            return _AWAY
        if described.error is not None:
            return KafkaState(
                False, "NO_TOPIC", f"There is no topic {self.topic} yet; make it with `gamestream apply`."
            )
        return KafkaState(True)

    def close(self, limit_seconds: float) -> int:
        """Deliver what was handed over, at most for so long; returns how many records were not delivered."""
        left = self._producer.flush(limit_seconds)
        self._stopping.set()
        self._thread.join(_GRACE_SECONDS)
        return left

    def _serve(self) -> None:
        """Serve delivery reports; replace a client that can send no more."""
        while not self._stopping.is_set():
            self._producer.poll(_POLL_SECONDS)
            if self._fatal:
                self._renew()

    def _renew(self) -> None:
        log.error("the Kafka client can send no more and is replaced")
        broken, self._producer = self._producer, self._make(self._options)
        self._fatal = False
        broken.purge()
        broken.flush(_GRACE_SECONDS)  # reports what it held as failed

    def _note(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = True
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.state = _AWAY  # the watch sees when it is back


class _Report:
    """The delivery reports of one request's records. They come in the thread that polls."""

    def __init__(
        self, count: int, loop: asyncio.AbstractEventLoop, on_delivered: Callable[[int, Receipt], None]
    ) -> None:
        self.receipts: list[Receipt | None] = [None] * count
        self.done: asyncio.Future[None] = loop.create_future()
        self._left = count
        self._loop = loop
        self._lock = threading.Lock()
        self._on_delivered = on_delivered
        if not count:
            self.done.set_result(None)

    def of(self, place: int) -> Callable[[KafkaError | None, Message], None]:
        """The callback of one record."""

        def report(error: KafkaError | None, message: Message) -> None:
            if error is None:
                self.receipts[place] = Receipt(message.partition() or 0, message.offset() or 0)
            self._one_less()

        return report

    def not_sent(self) -> None:
        """A record was not handed over."""
        self._one_less()

    def _one_less(self) -> None:
        with self._lock:
            self._left -= 1
            last = not self._left
        if last:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        for place, receipt in enumerate(self.receipts):
            if receipt is not None:
                self._on_delivered(place, receipt)
        if not self.done.done():
            self.done.set_result(None)
