"""What becomes of each event of a batch: judged, compared with what was seen, sent, and answered.

The whole batch is judged before its first event is sent. Refused events are answered and not stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol

from gamestream_dagster.events.headers import APP_HEADER, GEO_HEADER, KEY_HEADER, RECEIVED_HEADER
from gamestream_dagster.ingest.batch import RawEvent, with_member, without_member
from gamestream_dagster.ingest.geo import UNKNOWN, Located
from gamestream_dagster.ingest.outbox import Header, Outbox, Outgoing
from gamestream_dagster.ingest.remembered import Receipt, Remembered, identity

RETRY_SECONDS: Final = 2
"""`Retry-After` of an answer with events that may be sent again."""
ADDRESS_FIELD: Final = "ip_address"
COUNTRY_FIELD: Final = "country"


class Verdict(StrEnum):
    """What became of one event at the door."""

    ACCEPTED = "accepted"  # Kafka has stored it
    DUPLICATE = "duplicate"  # it was stored before: the receipt is that of the first
    REFUSED = "refused"  # it breaks a rule, and is not stored; sending it again changes nothing
    RETRY = "retry"  # Kafka did not confirm it in time; send it again


@dataclass(frozen=True, slots=True)
class Judged:
    """What the catalogue's rule says about one event: refused for a reason, or accepted, perhaps with a note."""

    event_id: str | None = None
    user_id: str | None = None
    """None: the event is refused, or is not about a player."""
    digest: str = ""
    """Equal for two deliveries of one event; hexadecimal."""
    reason: str | None = None
    note: str | None = None
    sentence: str = ""
    """About the reason or the note."""


class Rule(Protocol):
    """The catalogue's rule for the topic."""

    def judge(self, value: bytes, kafka_timestamp_ms: int) -> Judged:
        """What becomes of an event that reaches Kafka at this time."""
        ...


@dataclass(frozen=True)
class Sender:
    """Who sent a request."""

    app: str
    key_id: str
    address: str
    """For the country alone: it is never stored or logged."""


@dataclass(slots=True)
class _Event:
    """One event on its way to a verdict."""

    raw: RawEvent
    judged: Judged
    verdict: Verdict | None = None
    code: str | None = None
    message: str = ""
    receipt: Receipt | None = None
    first: _Event | None = None
    """The event of the same batch that this one repeats."""
    identity: bytes = b""
    content: bytes = b""

    def refuse(self, code: str, message: str) -> None:
        self.verdict, self.code, self.message = Verdict.REFUSED, code, message

    def accept(self, receipt: Receipt | None) -> None:
        self.verdict, self.code, self.message = Verdict.ACCEPTED, self.judged.note, self.judged.sentence
        self.receipt = receipt

    def ask_again(self) -> None:
        self.verdict, self.code = Verdict.RETRY, "NOT_DELIVERED"
        self.message = "Kafka did not confirm the event in time; send it again."


@dataclass(frozen=True)
class Answer:
    """The verdicts of a batch, in the order of its events."""

    dry_run: bool
    topic: str
    events: list[_Event] = field(repr=False)

    @property
    def counts(self) -> Counter[Verdict]:
        """Events by verdict."""
        return Counter(event.verdict for event in self.events if event.verdict is not None)

    @property
    def codes(self) -> Counter[str]:
        """Refused events by code."""
        return Counter(event.code for event in self.events if event.verdict is Verdict.REFUSED and event.code)

    @property
    def nothing_but_retry(self) -> bool:
        """No event has got any other verdict: Kafka took nothing."""
        return bool(self.events) and all(event.verdict is Verdict.RETRY for event in self.events)

    def body(self) -> dict[str, Any]:
        """The answer as JSON."""
        counts = self.counts
        return {
            "received": len(self.events),
            **{verdict.value: counts[verdict] for verdict in Verdict},
            "dry_run": self.dry_run,
            "verdicts": [self._verdict(index, event) for index, event in enumerate(self.events)],
        }

    def _verdict(self, index: int, event: _Event) -> dict[str, Any]:
        receipt = event.receipt
        return {
            "index": index,
            "event_id": event.judged.event_id or event.raw.event_id,
            "verdict": event.verdict,
            "code": event.code,
            "message": event.message or None,
            "topic": self.topic if receipt else None,
            "partition": receipt.partition if receipt else None,
            "offset": receipt.offset if receipt else None,
        }


class Door:
    """Takes batches.

    Args:
        rule: the catalogue's.
        outbox: to Kafka.
        remembered: the events of the last minutes.
        locate: from an address to a country.
    """

    def __init__(self, rule: Rule, outbox: Outbox, remembered: Remembered, locate: Callable[[str], Located]) -> None:
        self._rule = rule
        self._outbox = outbox
        self._remembered = remembered
        self._locate = locate

    async def take(self, batch: Sequence[RawEvent], sender: Sender, received_ms: int, *, dry_run: bool) -> Answer:
        """Give each event of a batch its verdict.

        Args:
            batch: the events.
            sender: whose they are.
            received_ms: when the request came, epoch milliseconds.
            dry_run: send nothing and remember nothing.

        Raises:
            RequestRefusedError: 503 where Kafka is away and an event would have to be sent.
        """
        events = [self._judge(raw, received_ms) for raw in batch]
        self._compare(events, sender.app)
        to_send = [event for event in events if event.verdict is None and event.first is None]
        if dry_run:
            for event in to_send:
                event.accept(None)
        elif to_send:
            await self._send(to_send, sender, received_ms)
        for event in events:
            if event.verdict is None and event.first is not None:
                _repeat(event, event.first)
        return Answer(dry_run, self._outbox.topic, events)

    def _judge(self, raw: RawEvent, received_ms: int) -> _Event:
        event = _Event(raw, self._rule.judge(raw.value, received_ms))
        if event.judged.reason is not None:
            event.refuse(event.judged.reason, event.judged.sentence)
        return event

    def _compare(self, events: Sequence[_Event], app: str) -> None:
        """Find the events that repeat one that was stored, or one before them in the batch."""
        first_of: dict[bytes, _Event] = {}
        for event in events:
            if event.verdict is not None:
                continue
            event.identity = identity(app, event.judged.user_id or "", event.judged.event_id or "")
            event.content = bytes.fromhex(event.judged.digest[:16])
            if (seen := self._remembered.find(event.identity)) is not None:
                receipt, digest = seen
                if digest == event.content:
                    event.verdict, event.receipt = Verdict.DUPLICATE, receipt
                else:
                    _refuse_conflict(event)
            elif (first := first_of.get(event.identity)) is not None:
                if first.content == event.content:
                    event.first = first
                else:
                    _refuse_conflict(event)
            else:
                first_of[event.identity] = event

    async def _send(self, events: Sequence[_Event], sender: Sender, received_ms: int) -> None:
        headers: list[Header] = [
            (APP_HEADER, sender.app.encode()),
            (KEY_HEADER, sender.key_id.encode()),
            (RECEIVED_HEADER, str(received_ms).encode()),
        ]
        records = [self._record(event, sender, headers) for event in events]

        def remember(place: int, receipt: Receipt) -> None:
            self._remembered.add(events[place].identity, receipt, events[place].content)

        receipts = await self._outbox.send(records, remember)
        for event, receipt in zip(events, receipts, strict=True):
            if receipt is None:
                event.ask_again()
            else:
                event.accept(receipt)

    def _record(self, event: _Event, sender: Sender, headers: list[Header]) -> Outgoing:
        """The record of an accepted event: its exact bytes, but a country in place of an address."""
        value, members = event.raw.value, event.raw.members
        given = members.get(ADDRESS_FIELD)
        if ADDRESS_FIELD in members:
            value = without_member(value, ADDRESS_FIELD)
        if not members.get(COUNTRY_FIELD):  # absent, null or empty
            found = self._locate(given if isinstance(given, str) and given else sender.address)
            headers = [*headers, (GEO_HEADER, found.version.encode())]
            if found.country != UNKNOWN:
                if COUNTRY_FIELD in members:
                    value = without_member(value, COUNTRY_FIELD)
                value = with_member(value, COUNTRY_FIELD, found.country)
        # an event that is not about a player has no order to keep, and its copies must share a partition
        key = event.judged.user_id or event.judged.event_id or ""
        return Outgoing(key.encode(), value, headers)


def _repeat(event: _Event, first: _Event) -> None:
    """An event that repeats one of the same batch shares its fate."""
    event.receipt, event.code, event.message = first.receipt, first.code, first.message
    event.verdict = Verdict.RETRY if first.verdict is Verdict.RETRY else Verdict.DUPLICATE


def _refuse_conflict(event: _Event) -> None:
    event.refuse(
        "DUP_CONFLICT",
        "An event of this player with the same id and other content came before; give it its own id.",
    )
