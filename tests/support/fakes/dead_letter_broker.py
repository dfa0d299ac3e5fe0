"""A Kafka broker in memory with transactions and fencing, and an intake that judges what is in it."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from confluent_kafka import KafkaError, KafkaException

from gamestream_dagster.clients.errors import NotFoundError
from gamestream_dagster.clients.kafka_records import Chunk, Raw
from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.dead_letters.letter import Position
from gamestream_dagster.dead_letters.reading import BOOK_TOPIC, DLQ_TOPIC, DeadLetterReader
from gamestream_dagster.dead_letters.transaction import Replayer
from gamestream_dagster.events.avro_schemas import is_framed
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent, GameReason

RAW, ENRICHED, LATE = "game-events-raw", "game-events-enriched", "game-events-late"
NOWHERE = KafkaConnection("nowhere:1")
OPEN, COMMITTED, ABORTED, MARKER = "open", "committed", "aborted", "marker"


@dataclass
class Slot:
    """One offset of a topic's only partition."""

    key: bytes | None
    value: bytes | None
    at: int
    state: str = COMMITTED
    headers: dict[str, bytes] = field(default_factory=dict)


class Broker:
    """Topics of one partition. `now` is the time that it stamps records with."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.topics: dict[str, list[Slot]] = {name: [] for name in (RAW, ENRICHED, LATE, DLQ_TOPIC, BOOK_TOPIC)}
        self.epochs: Counter[str] = Counter()
        self.unfinished: dict[str, list[tuple[str, Slot]]] = {}
        self.lose_commits = 0  # commits that are done but not confirmed
        self.die_before_commit = False

    def append(self, topic: str, value: bytes | None, key: bytes | None = None, **more: Any) -> Slot:
        slot = Slot(key, value, self.now, **more)
        self.topics[topic].append(slot)
        return slot

    def end(self, transactional_id: str, state: str) -> None:
        touched: set[str] = set()
        for topic, slot in self.unfinished.pop(transactional_id, []):
            slot.state = state
            touched.add(topic)
        for topic in touched:
            self.append(topic, None, state=MARKER)

    def values(self, topic: str) -> list[dict[str, Any]]:
        return [orjson.loads(slot.value or b"null") for slot in self.topics[topic] if slot.state == COMMITTED]

    def reader(self) -> DeadLetterReader:
        return DeadLetterReader(NOWHERE, Admin(self), self.read)  # type: ignore[arg-type]

    def replayer(self) -> Replayer:
        return Replayer(NOWHERE, lambda options: Client(self, options))  # type: ignore[arg-type,return-value]

    def read(
        self, _: KafkaConnection, topic: str, start: Mapping[int, int], upto: Mapping[int, int], **__: Any
    ) -> Iterator[Chunk]:
        for offset in range(start.get(0, 0), upto.get(0, 0)):
            slot = self.topics[topic][offset]
            if slot.state == COMMITTED:
                yield Chunk(0, Raw([offset], [slot.at], [slot.key], [slot.value]), offset + 1)


class Admin:
    """Positions of the broker's topics."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def beginning_offsets(self, topic: str) -> dict[int, int]:
        if topic not in self._broker.topics:
            raise NotFoundError("Kafka", f"there is no topic {topic!r}", "create it with `gamestream apply`")
        return {0: 0}

    def end_offsets(self, topic: str, read_committed: bool = False) -> dict[int, int]:
        slots = self._broker.topics[topic]
        stable = next((at for at, slot in enumerate(slots) if slot.state == OPEN), len(slots))
        return {0: stable if read_committed else len(slots)}

    def offsets_at(self, topic: str, millis: int) -> dict[int, int]:
        found = next((at for at, slot in enumerate(self._broker.topics[topic]) if slot.at >= millis), None)
        return {} if found is None else {0: found}


class _Message:
    def __init__(self, offset: int) -> None:
        self._offset = offset

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset


class Client:
    """A transactional producer."""

    def __init__(self, broker: Broker, options: dict[str, Any]) -> None:
        self._broker, self._id = broker, options["transactional.id"]
        self._reports: list[Any] = []
        self._epoch = 0

    def init_transactions(self, _: float) -> None:
        self._broker.epochs[self._id] += 1
        self._epoch = self._broker.epochs[self._id]
        self._broker.end(self._id, ABORTED)

    def begin_transaction(self) -> None:
        self._check()
        self._broker.unfinished[self._id] = []

    def produce(self, topic: str, value: bytes, key: bytes, headers: list[tuple[str, bytes]], on_delivery: Any) -> None:
        self._check()
        slot = self._broker.append(topic, value, key, state=OPEN, headers=dict(headers))
        self._broker.unfinished[self._id].append((topic, slot))
        offset = len(self._broker.topics[topic]) - 1
        self._reports.append(lambda: on_delivery(None, _Message(offset)))

    def poll(self, _: float) -> None:
        return

    def flush(self, _: float) -> int:
        reports, self._reports = self._reports, []
        for report in reports:
            report()
        return 0

    def commit_transaction(self, _: float) -> None:
        self._check()
        if self._broker.die_before_commit:
            raise KeyboardInterrupt
        self._broker.end(self._id, COMMITTED)
        if self._broker.lose_commits:
            self._broker.lose_commits -= 1
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "timed out", False, True))

    def abort_transaction(self, _: float) -> None:
        self._check()
        self._broker.end(self._id, ABORTED)

    def purge(self) -> None:
        return

    def _check(self) -> None:
        if self._epoch != self._broker.epochs[self._id]:
            raise KafkaException(KafkaError(KafkaError._FENCED, "fenced by another producer", True))


@dataclass
class Intake:
    """What `event_intake_v1` does, without a horizon: each raw record to one place."""

    broker: Broker
    judge: GameEventJudge = field(default_factory=GameEventJudge)
    at: int = 0
    seen: dict[tuple[str | None, str], str] = field(default_factory=dict)
    refuse: bool = False  # refuse everything, as a job with a stricter catalogue

    def run(self) -> None:
        slots = self.broker.topics[RAW]
        for offset in range(self.at, len(slots)):
            if slots[offset].state == COMMITTED:
                self._take(Position(0, offset), slots[offset])
        self.at = len(slots)

    def _take(self, place: Position, slot: Slot) -> None:
        outcome = self.judge.judge(slot.value, slot.at)
        if not isinstance(outcome, GameEvent):
            self._dead(place, slot, outcome.reason, outcome.field, None)
        elif self.refuse:
            self._dead(place, slot, GameReason.OUT_OF_RANGE, "properties", outcome)
        else:
            first = self.seen.setdefault((outcome.user_id, outcome.event_id), outcome.digest)
            if first is not outcome.digest:
                if first != outcome.digest:
                    self._dead(place, slot, GameReason.DUP_CONFLICT, "event_id", outcome)
                return
            event = {"event_id": outcome.event_id, "user_id": outcome.user_id, "digest": outcome.digest}
            self.broker.append(LATE if outcome.late else ENRICHED, orjson.dumps(event))

    def _dead(
        self, place: Position, slot: Slot, reason: GameReason, about: str | None, event: GameEvent | None
    ) -> None:
        self.broker.append(DLQ_TOPIC, letter_value(place, slot.value, slot.at, reason, about, event))


def letter_value(  # noqa: PLR0917
    place: Position,
    payload: bytes | None,
    at: int,
    reason: GameReason,
    about: str | None = None,
    event: GameEvent | None = None,
) -> bytes:
    """A record of the dead-letter topic as the job writes it."""
    try:
        document = orjson.loads(payload or b"")
    except orjson.JSONDecodeError:
        document = {}
    names = ("event_id", "user_id", "event_type")
    read = {
        name: getattr(event, name) if event else document[name]
        for name in names
        if event or (isinstance(document, dict) and isinstance(document.get(name), str))
    }
    content: dict[str, Any] = {}
    if payload is not None:
        is_text = reason is not GameReason.NOT_UTF8 and not is_framed(payload)
        content = {"content": payload.decode()} if is_text else {"content_base64": base64.b64encode(payload).decode()}
    return orjson.dumps(
        {
            "reason": reason.value,
            "sentence": f"{about or 'the record'} as the job says it",
            **({"field": about} if about else {}),
            **read,
            **content,
            "source_topic": RAW,
            "source_partition": place.partition,
            "source_offset": place.offset,
            "source_time_millis": at,
        }
    )
