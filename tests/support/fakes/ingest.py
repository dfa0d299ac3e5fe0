"""The HTTP API without servers: a native Kafka producer, a rule, a table of keys, and a client that calls the app."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx
from confluent_kafka import KafkaError, KafkaException

from gamestream_dagster.connections import KafkaConnection
from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.fates.http_ledger import Counts
from gamestream_dagster.http_server.key_ring import KeyRing
from gamestream_dagster.http_server.keys import NewSecret, Scope, StoredKey, hash_of, new_secret
from gamestream_dagster.http_server.rates import Bodies, Rates
from gamestream_dagster.http_server.signing import Signatures
from gamestream_dagster.ingest.app import Parts, build
from gamestream_dagster.ingest.counting import Counting
from gamestream_dagster.ingest.door import Door, Judged
from gamestream_dagster.ingest.fates import TraceProcess
from gamestream_dagster.ingest.game_rule import event_schemas
from gamestream_dagster.ingest.geo import UNKNOWN, Located
from gamestream_dagster.ingest.metrics import Metrics
from gamestream_dagster.ingest.outbox import Outbox
from gamestream_dagster.ingest.remembered import Remembered
from gamestream_dagster.ingest.server import limits_of
from gamestream_dagster.settings import Settings
from gamestream_dagster.settings.ingest import IngestSettings

TOPIC = "game-events-raw"
SERVER_SECRET = "of the server"
CLIENT = ("198.51.100.7", 40000)


class KnownError(KafkaError):
    """An error of Kafka's client that is fatal or not, as a test wants it."""

    def __new__(cls, code: int, fatal: bool = False) -> KafkaError:
        return KafkaError(code, "told by a test", fatal)


@dataclass
class Sent:
    key: bytes
    value: bytes
    headers: dict[str, str]


class FakeMessage:
    def __init__(self, partition: int, offset: int) -> None:
        self._place = partition, offset

    def partition(self) -> int:
        return self._place[0]

    def offset(self) -> int:
        return self._place[1]


@dataclass
class FakeKafka:
    """The broker behind the native producers: what it stores, and how it fails."""

    away: bool = False  # no metadata, and nothing is delivered in time
    topic_exists: bool = True
    full: int = 0  # records for which the queue is full
    fatal: bool = False  # the next record breaks the client
    fail: set[int] = field(default_factory=set)  # places in order of sending whose delivery fails
    held: bool = False  # reports wait until it is False
    stored: list[Sent] = field(default_factory=list)
    produced: int = 0
    clients: list[FakeProducer] = field(default_factory=list)

    def make(self, options: dict[str, Any]) -> FakeProducer:
        self.clients.append(FakeProducer(self, options))
        return self.clients[-1]


class FakeProducer:
    def __init__(self, kafka: FakeKafka, options: dict[str, Any]) -> None:
        self.kafka = kafka
        self.options = options
        self.broken = False
        self.waiting: list[tuple[int, Sent, Any]] = []
        self.lock = threading.Condition()

    def list_topics(self, topic: str, timeout: float) -> Any:
        if self.kafka.away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        unknown = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)

        class Described:
            error = None if self.kafka.topic_exists else unknown
            topics: dict[str, Any]

        Described.topics = {topic: Described}
        return Described

    def produce(self, topic: str, value: bytes, key: bytes, on_delivery: Any, headers: list[tuple[str, bytes]]) -> None:
        if self.kafka.full:
            self.kafka.full -= 1
            raise BufferError("Local: Queue full")
        if self.kafka.fatal or self.broken:
            self.kafka.fatal, self.broken = False, True
            raise KafkaException(KafkaError(KafkaError._FATAL, "told by a test", True))
        sent = Sent(key, value, {name: text.decode() for name, text in headers})
        with self.lock:
            self.waiting.append((self.kafka.produced, sent, on_delivery))
            self.kafka.produced += 1
            self.lock.notify_all()

    def poll(self, seconds: float) -> None:
        with self.lock:
            if not self.waiting or self.kafka.held:
                self.lock.wait(min(seconds, 0.01))
            due, self.waiting = ([], self.waiting) if self.kafka.held else (self.waiting, [])
        for number, sent, report in due:
            self._settle(number, sent, report)

    def _settle(self, number: int, sent: Sent, report: Any) -> None:
        if self.kafka.away or number in self.kafka.fail:
            report(KafkaError(KafkaError._MSG_TIMED_OUT), FakeMessage(-1, -1))
            return
        self.kafka.stored.append(sent)
        report(None, FakeMessage(len(self.kafka.stored) % 4, 100 + len(self.kafka.stored)))

    def purge(self) -> None:
        with self.lock:
            due, self.waiting = self.waiting, []
        for _, _, report in due:
            report(KafkaError(KafkaError._PURGE_QUEUE), FakeMessage(-1, -1))

    def flush(self, seconds: float) -> int:
        self.poll(0)
        return len(self.waiting)


def nowhere(_address: str) -> Located:
    """A geo table without any country."""
    return Located(UNKNOWN, "empty-2026-01-01")


class FakeRule:
    """Accepts an object with the texts `event_id` and `user_id`; `{"reason": R}` is refused with R."""

    def judge(self, value: bytes, kafka_timestamp_ms: int) -> Judged:
        try:
            found = json.loads(value.decode())
        except ValueError:
            return Judged(reason="NOT_JSON", sentence="the value is no JSON")
        if not isinstance(found, dict):
            return Judged(reason="NOT_AN_OBJECT", sentence="the value is no object")
        if "reason" in found:
            return Judged(reason=found["reason"], sentence="as the test wants it")
        if not isinstance(found.get("event_id"), str) or not isinstance(found.get("user_id"), str):
            return Judged(reason="MISSING_FIELD", sentence="an id is missing")
        kept = {name: one for name, one in found.items() if name not in ("ip_address", "country")}
        digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:32]
        return Judged(found["event_id"], found["user_id"], digest)


class FakeKeys:
    """The table of keys; `away` as when Postgres does not answer."""

    def __init__(self) -> None:
        self.known: dict[str, StoredKey] = {}
        self.away = False
        self.asked = 0

    def add(self, app: str = "game", scopes: frozenset[Scope] = frozenset({Scope.INGEST}), **more: Any) -> NewSecret:
        made = new_secret()
        key = StoredKey(made.key_id, app, scopes, hash_of(made.secret), False, datetime.now(UTC))
        self.known[made.key_id] = replace(key, **more)
        return made

    def find(self, key_id: str) -> StoredKey | None:
        self.asked += 1
        if self.away:
            raise GamestreamError("Postgres is away.")
        return self.known.get(key_id)


class NotedCounts:
    """Stands in for the journal."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str, Counts]] = []

    def note(self, received_ms: int, key_id: str, counts: Counts) -> None:
        self.lines.append((received_ms, key_id, counts))

    def close(self) -> None:
        return


class Api:
    """The whole application on fakes. Its calls run on one event loop."""

    def __init__(self, proxies: tuple[str, ...] = (), body_seconds: float = 5, **settings: Any) -> None:
        self.kafka, self.store = FakeKafka(), FakeKeys()
        self.key = self.store.add()
        self.settings = IngestSettings(ingest_delivery_seconds=1, **settings)
        self.now = 0.0
        self.outbox = Outbox(
            KafkaConnection("nowhere:1"), TOPIC, self.settings.ingest_delivery_seconds, self.kafka.make
        )
        self.remembered = Remembered(self.settings.ingest_remembered_events, lambda: self.now)
        self.bodies = Bodies()
        self.journal = NotedCounts()
        self.fates = TraceProcess(Settings(), make=lambda: ThreadPoolExecutor(1))
        self.ring = KeyRing(self.store, lambda: self.now)
        self.parts = Parts(
            door=Door(FakeRule(), self.outbox, self.remembered, nowhere),
            outbox=self.outbox,
            keys=self.ring,
            rates=Rates(limits_of(self.settings)),
            bodies=self.bodies,
            signatures=Signatures(lambda: SERVER_SECRET),
            metrics=Metrics(lambda: self.outbox.state.ready, lambda: self.bodies.held, lambda: len(self.remembered)),
            body_seconds=body_seconds,
            schemas=event_schemas,
            fates=self.fates,
            counting=Counting(self.journal, lambda: 0),
        )
        self.app = build(self.parts, proxies)
        self.runner = asyncio.Runner()
        self.look()

    def close(self) -> None:
        self.fates.close()
        self.outbox.close(1)
        self.runner.close()

    def look(self) -> None:
        """What the watch does every two seconds."""
        self.outbox.state = self.outbox.look()

    def request(
        self,
        method: str,
        path: str,
        *,
        client: tuple[str, int] = CLIENT,
        headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
        **more: Any,
    ) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=client)
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:
                return await http.request(method, path, headers=headers, **more)

        return self.runner.run(run())

    def post(
        self,
        content: Any,
        headers: Mapping[str, str] | None = None,
        *,
        token: str | None = None,
        path: str = "/v1/events",
        client: tuple[str, int] = CLIENT,
    ) -> httpx.Response:
        """Send a body: bytes as they are, or events."""
        given = content if not isinstance(content, list) else json.dumps({"events": content}).encode()
        usual = {"Content-Type": "application/json", "Authorization": f"Bearer {token or self.key.token}"}
        wanted = {name: value for name, value in {**usual, **(headers or {})}.items() if value is not None}
        return self.request("POST", path, content=given, headers=wanted, client=client)


def event(number: int = 1, **more: Any) -> dict[str, Any]:
    """An event that the fake rule accepts."""
    return {"event_id": f"e{number}", "user_id": f"u{number}", **more}


def verdicts(response: httpx.Response) -> list[str]:
    """The verdicts of an answer, in order."""
    assert response.status_code == 200, response.text
    return [one["verdict"] for one in response.json()["verdicts"]]
