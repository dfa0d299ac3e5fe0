"""Sends replayed events and their entries in the book in one Kafka transaction.

All replays of a stack share one transactional id. To open it fences every earlier replay that is still running: what
that one has not committed is aborted. So whoever holds it reads a book that nobody else can write, and two replays at
once do what one does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.dead_letters.book import Entry
from gamestream_dagster.dead_letters.errors import DeadLetterError, ReplayAbortedError, ReplayUnknownError
from gamestream_dagster.dead_letters.letter import Position
from gamestream_dagster.dead_letters.planning import Draft
from gamestream_dagster.dead_letters.reading import BOOK_TOPIC
from gamestream_dagster.events.headers import ATTEMPT_HEADER, GEO_HEADER, REPLAY_OF_HEADER
from gamestream_dagster.events.producer import PRODUCER_SETTINGS

TRANSACTIONAL_ID: Final = "gamestream-dlq-replay"
# Readers of committed records wait for an open transaction: one of a killed replay must not hold intake up for long.
_TRANSACTION_MS: Final = 20_000
_WAIT_SECONDS: Final = 15.0
_INIT_SECONDS: Final = 40.0  # an earlier transaction is aborted first
_TRIES: Final = 5

# A fenced client logs that at every level; the call that fails says it, too.
_SILENT: Final = logging.getLogger(f"{__name__}.client")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False

MakeProducer = Callable[[dict[str, Any]], Producer]
Headers = list[tuple[str, str | bytes | None]]


class Replayer:
    """The right to replay, until another one takes it.

    Use as a context manager.

    Raises:
        DeadLetterError: Kafka does not give it.
    """

    def __init__(self, kafka: KafkaConnection, make: MakeProducer = Producer) -> None:
        self._producer = make(
            kafka.options(
                {
                    **PRODUCER_SETTINGS,
                    "client.id": "gamestream-dlq",
                    "transactional.id": TRANSACTIONAL_ID,
                    "transaction.timeout.ms": _TRANSACTION_MS,
                    "message.timeout.ms": _TRANSACTION_MS,
                    "logger": _SILENT,
                    "log_level": 0,
                }
            )
        )

    def __enter__(self) -> Self:
        try:
            self._producer.init_transactions(_INIT_SECONDS)
        except KafkaException as error:
            raise DeadLetterError(
                f"Kafka does not let replays begin ({_why(error)})", "see `gamestream status`, then run it again"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._producer.purge()  # nothing is left after a commit or an abort

    def replay(self, drafts: Sequence[Draft], now: int) -> list[Entry]:
        """Send the drafts that are to be sent, with their entries; all of them or none.

        Args:
            drafts: settled after this replayer was entered.
            now: for the book, milliseconds since 1970.

        Raises:
            ReplayAbortedError: nothing was replayed.
            ReplayUnknownError: Kafka did not confirm the commit.
        """
        sent = [one for one in drafts if one.fate.is_sent]
        if not sent:
            return []
        try:
            self._producer.begin_transaction()
            targets = self._send_events(sent)
            entries = [_entry(one, target, now) for one, target in zip(sent, targets, strict=True)]
            reports = _Reports(len(entries))
            for place, entry in enumerate(entries):
                self._produce(BOOK_TOPIC, entry.value(), entry.letter.encode(), reports.of(place), [])
            self._delivered(reports)
        except BaseException as error:
            self._abort()
            if isinstance(error, SystemError):  # the client's C code ends a wait this way after Ctrl-C
                raise KeyboardInterrupt from error
            if isinstance(error, KafkaException):
                raise ReplayAbortedError(f"Nothing was replayed ({_why(error)})", _then(error)) from error
            raise
        self._commit()
        return entries

    def _send_events(self, drafts: Sequence[Draft]) -> list[Position]:
        reports = _Reports(len(drafts))
        for place, one in enumerate(drafts):
            if one.event is None or one.value is None:
                raise TypeError("a draft without an event is not sent")
            key = (one.event.user_id or one.event.event_id).encode()
            headers: Headers = [
                (ATTEMPT_HEADER, str(one.attempt).encode()),
                (REPLAY_OF_HEADER, str(one.letter.source).encode()),
            ]
            if one.letter.geo_version is not None:
                headers.append((GEO_HEADER, one.letter.geo_version.encode()))
            self._produce(RAW_TOPIC, one.value, key, reports.of(place), headers)
        return self._delivered(reports)

    def _produce(
        self,
        topic: str,
        value: bytes,
        key: bytes,
        report: Callable[[KafkaError | None, Message], None],
        headers: Headers,
    ) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, headers=headers, on_delivery=report)
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def _delivered(self, reports: _Reports) -> list[Position]:
        self._producer.flush(_WAIT_SECONDS)
        missing = sum(one is None for one in reports.places)
        if missing:
            why = reports.first_error or "no answer in time"
            raise ReplayAbortedError(f"Nothing was replayed: {missing} records were not delivered ({why})", _AGAIN)
        return [one for one in reports.places if one is not None]

    def _commit(self) -> None:
        for left in reversed(range(_TRIES)):
            try:
                self._producer.commit_transaction(_WAIT_SECONDS)
            except KafkaException as error:
                native: KafkaError = error.args[0]
                if native.txn_requires_abort():
                    self._abort()
                    raise ReplayAbortedError(f"Nothing was replayed ({_why(error)})", _then(error)) from error
                if not left or not native.retriable():
                    raise ReplayUnknownError(
                        f"Kafka did not confirm the replay ({_why(error)})",
                        "run it again: it finds out what was replayed and sends only the rest",
                    ) from error
            else:
                return

    def _abort(self) -> None:
        try:
            self._producer.abort_transaction(_WAIT_SECONDS)
        except KafkaException:
            return  # another replay has taken over, or the broker ends the transaction after its timeout


_AGAIN: Final = "see `gamestream status`, then run it again"


class _Reports:
    """Where records were delivered to, by place."""

    def __init__(self, count: int) -> None:
        self.places: list[Position | None] = [None] * count
        self.first_error = ""

    def of(self, place: int) -> Callable[[KafkaError | None, Message], None]:
        """The callback of one record."""

        def report(error: KafkaError | None, message: Message) -> None:
            if error is None:
                self.places[place] = Position(message.partition() or 0, message.offset() or 0)
            else:
                self.first_error = self.first_error or error.str()

        return report


def _entry(one: Draft, target: Position, now: int) -> Entry:
    event_id = one.event.event_id if one.event else ""
    return Entry(one.letter.key, event_id, one.identity, target, one.attempt, now)


def _why(error: KafkaException) -> str:
    native: KafkaError = error.args[0]
    return (native.str() or native.name()).rstrip(".")


def _then(error: KafkaException) -> str:
    native: KafkaError = error.args[0]
    fenced = {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
    if native.fatal() or native.code() in fenced:
        return "another replay took over: see `gamestream dlq list`, then run it again"
    return _AGAIN
