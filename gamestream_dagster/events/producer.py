"""Sends records to Kafka and accounts for each: delivered, or failed with the reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.errors import GamestreamError

# Every writer must map a key to the same partition: librdkafka's default partitioner differs from Java's murmur2.
PRODUCER_SETTINGS: Final[dict[str, str | int | bool]] = {
    "partitioner": "murmur2_random",
    "acks": "all",
    "enable.idempotence": True,
    "compression.type": "lz4",
    "linger.ms": 5,
    "message.max.bytes": 1_048_576,  # the broker's limit; librdkafka's own limit is 5 % less
}
FLUSH_SECONDS: Final = 30.0
CONNECT_SECONDS: Final = 10.0
TOO_LARGE: Final = "The record is larger than Kafka takes for its topic (`max.message.bytes`); make it smaller."

OnDelivered = Callable[[int, int], None]  # partition, offset
OnRefused = Callable[[str], None]  # why


class SendingError(GamestreamError):
    """Records could not be sent; the message says how many, why, and what to do next."""


class RecordTooLargeError(SendingError):
    """One record exceeds the topic's limit; the others are unaffected."""


@dataclass
class Deliveries:
    """The outcome of the records given to a producer."""

    sent: int = 0
    """Records handed over."""
    delivered: int = 0
    """Records that the broker has confirmed."""
    failed: int = 0
    """Records that failed."""
    refused: int = 0
    """Records that the broker refused as too large, reported to their sender."""
    first_error: str | None = None

    @property
    def outstanding(self) -> int:
        """Records in flight."""
        return self.sent - self.delivered - self.failed - self.refused


class ScoreProducer:
    """A Kafka producer for one topic, with back-pressure and an account of every record.

    Use as a context manager: its exit waits at most `FLUSH_SECONDS` for the last reports.

    Args:
        kafka: where the broker is.
        topic: must exist.
        client_id: name in the broker's logs.
        settings: librdkafka settings to add or change.

    Raises:
        SendingError: no broker answers, or the topic does not exist.
    """

    def __init__(
        self, kafka: KafkaConnection, topic: str, client_id: str = "gamestream", settings: dict[str, Any] | None = None
    ) -> None:
        self.topic = topic
        self.deliveries = Deliveries()
        self._bootstrap = kafka.bootstrap
        self._connection_error: str | None = None
        self._count = self._report(None)  # one callback for all: a new one per record costs a tenth of the rate
        self._producer = Producer(
            kafka.options(
                {
                    **PRODUCER_SETTINGS,
                    "client.id": client_id,
                    "error_cb": self._note_error,
                    "log_level": 0,  # SendingError reports failures in one sentence
                    **(settings or {}),
                }
            )
        )
        self._check_topic()

    def __enter__(self) -> ScoreProducer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
        else:
            self._flush(1.0)

    def send(
        self,
        key: bytes | None,
        value: bytes | None,
        on_delivered: OnDelivered | None = None,
        on_refused: OnRefused | None = None,
        partition: int = -1,
    ) -> None:
        """Hand one record over; waits while the local queue is full.

        Args:
            key: the record's key; None: Kafka chooses the partition.
            value: the record's value.
            on_delivered: receives partition and offset.
            on_refused: called when the broker refuses this record as too large, which then is not a failed delivery.
            partition: where it goes; default: where its key belongs.

        Raises:
            RecordTooLargeError: the record exceeds the client's limit.
            SendingError: the key is empty (Java would choose another partition), or the queue stays full
                because nothing is delivered.
        """
        if key == b"":
            raise SendingError(
                "A record needs a key: an empty one goes to another partition than from Java's producer."
            )
        plain = on_delivered is None and on_refused is None
        report = self._count if plain else self._report(on_delivered, on_refused)
        give_up = 0.0
        while True:
            try:
                self._producer.produce(self.topic, value, key, partition, on_delivery=report)
            except BufferError as error:
                now = time.monotonic()
                give_up = give_up or now + FLUSH_SECONDS
                if now > give_up:
                    raise SendingError(self._stuck("The send queue stayed full")) from error
                self.poll(0.1)
            except KafkaException as error:
                reason = error.args[0]
                if reason.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    raise RecordTooLargeError(TOO_LARGE) from error
                raise SendingError(
                    f"Kafka refuses the record ({reason.str()}); see `gamestream status`, then send again."
                ) from error
            else:
                self.deliveries.sent += 1
                if self.deliveries.sent % 256 == 0:
                    self.poll(0)
                return

    def poll(self, seconds: float = 0.0) -> None:
        """Serve delivery reports for at most `seconds`."""
        try:
            self._producer.poll(seconds)
        except SystemError as error:  # the client's C code ends a wait this way after Ctrl-C
            raise KeyboardInterrupt from error

    def flush(self, limit_seconds: float = FLUSH_SECONDS) -> Deliveries:
        """Wait until every record is delivered.

        Raises:
            SendingError: some were not delivered within the limit, or failed; says how many and why.
        """
        left = self._flush(limit_seconds)
        if left or self.deliveries.failed:
            raise SendingError(self._stuck(f"{left + self.deliveries.failed} records were not delivered"))
        return self.deliveries

    def _flush(self, seconds: float) -> int:
        try:
            return self._producer.flush(seconds)
        except SystemError as error:  # as in `poll`
            raise KeyboardInterrupt from error

    def _report(
        self, on_delivered: OnDelivered | None, on_refused: OnRefused | None = None
    ) -> Callable[[KafkaError | None, Message], None]:
        def report(error: KafkaError | None, message: Message) -> None:
            if error is not None and on_refused is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                self.deliveries.refused += 1
                on_refused(TOO_LARGE)
                return
            if error is not None:
                self.deliveries.failed += 1
                self.deliveries.first_error = self.deliveries.first_error or error.str()
                return
            self.deliveries.delivered += 1
            if on_delivered is not None:
                on_delivered(message.partition() or 0, message.offset() or 0)

        return report

    def _note_error(self, error: KafkaError) -> None:
        self._connection_error = error.str()

    def _stuck(self, what: str) -> str:
        why = self.deliveries.first_error or self._connection_error or "no answer in time"
        return f"{what} to {self.topic} at {self._bootstrap} ({why}); see `gamestream status`, then send again."

    def _check_topic(self) -> None:
        try:
            described = self._producer.list_topics(self.topic, timeout=CONNECT_SECONDS).topics[self.topic]
        except KafkaException as error:
            raise SendingError(
                f"No Kafka broker answers at {self._bootstrap}; start it with `gamestream up`, or give its address."
            ) from error
        if described.error is not None:
            raise SendingError(f"There is no topic {self.topic} at {self._bootstrap}; make it with `gamestream apply`.")
