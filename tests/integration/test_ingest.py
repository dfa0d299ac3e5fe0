"""The HTTP API on real Kafka and Postgres: verdicts and receipts, keys, Kafka and Postgres away, SIGTERM under load."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import os
import shutil
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
from confluent_kafka import Consumer, TopicPartition

from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.events.feed import simulate_over_http
from gamestream_dagster.events.simulation import SimulationResult
from gamestream_dagster.events.simulator import SimulatorOptions
from gamestream_dagster.platform import layout
from gamestream_dagster.platform.service import ServiceState
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.platform.supervisor import Supervisor
from gamestream_dagster.provisioning import manager
from gamestream_dagster.provisioning.model import ResourceKind
from gamestream_dagster.settings import Settings, load_settings
from tests.support.cli import gamestream

TOPIC = "game-events-raw"
LIMIT_SECONDS = 90
CANARY_ADDRESS = "203.0.113.77"


def event(**more: Any) -> dict[str, Any]:
    """An event of the catalogue, with an id of its own."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    made = {"event_id": str(uuid.uuid4()), "user_id": "u-1", "event_type": "player_join", "event_time": now}
    return {**made, "platform": "ios", "region": "EU", **more}


@dataclass
class Server:
    """The API of a stack, and a key for it."""

    settings: Settings
    key: str
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30, trust_env=False))

    def post(self, events: Any, *, key: str | None = None, query: str = "", **headers: str) -> httpx.Response:
        content = json.dumps({"events": events}).encode() if isinstance(events, list) else events
        usual = {"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json"}
        return self.http.post(self.url(f"/v1/events{query}"), content=content, headers={**usual, **headers})

    def get(self, path: str) -> httpx.Response:
        return self.http.get(self.url(path))

    def url(self, path: str) -> str:
        return self.settings.ingest_url + path

    def keys(self, *arguments: str) -> Any:
        ended = gamestream(self.settings, "keys", *arguments, "--json")
        assert ended.returncode == 0, ended.words
        return json.loads(ended.stdout)

    def pid(self, service: str = "ingest") -> int:
        return Supervisor(self.settings).states()[service]["pid"]

    def log(self) -> str:
        return layout.log_file(self.settings, "ingest").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server(free_port_base: Callable[[], int]) -> Iterator[Server]:
    """Kafka, Postgres and the API, with the topic and the tables: servers of its own, since some are stopped."""
    given = os.environ.get("GAMESTREAM_TEST_HOME")
    folder = Path(tempfile.mkdtemp(prefix="gamestream-"))
    settings = load_settings(home=given) if given else load_settings(home=folder / "home", port_base=free_port_base())
    try:
        Stack(settings).up(("ingest",))
        provision(settings)
        made = Server(settings, "")
        made.key = made.keys("create", "--app", "game")["key"]
        until(lambda: made.get("/readyz").status_code == 200, "the API sees the topic")
        yield made
    finally:
        if not given:
            Stack(settings).down(purge=True)
        shutil.rmtree(folder, ignore_errors=True)


def provision(settings: Settings) -> None:
    """The tables, and the one topic."""
    manager.apply(settings, manager.plan(settings, (ResourceKind.MIGRATION, ResourceKind.TABLE, ResourceKind.TOPIC)))


def until(holds: Callable[[], bool], what: str, seconds: float = LIMIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


def records(settings: Settings) -> dict[tuple[int, int], Any]:
    """Every record of the topic by partition and offset."""
    admin = KafkaAdmin(settings.kafka)
    ends = admin.end_offsets(TOPIC)
    consumer = Consumer(settings.kafka.options({"group.id": "test", "enable.auto.commit": False}))
    consumer.assign([TopicPartition(TOPIC, partition, 0) for partition in ends])
    found: dict[tuple[int, int], Any] = {}
    deadline = time.monotonic() + LIMIT_SECONDS
    while len(found) < sum(ends.values()):
        assert time.monotonic() < deadline
        for message in consumer.consume(1000, 1.0):
            assert message.error() is None
            found[message.partition(), message.offset()] = message
    consumer.close()
    return found


def places(answer: httpx.Response) -> dict[str, tuple[int, int]]:
    """Partition and offset of the accepted events, by id."""
    assert answer.status_code == 200, answer.text
    found = answer.json()["verdicts"]
    return {one["event_id"]: (one["partition"], one["offset"]) for one in found if one["verdict"] == "accepted"}


def verdicts(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["verdict"] for one in answer.json()["verdicts"]]


def test_a_good_a_bad_and_a_good_event_and_the_same_batch_again(server: Server) -> None:
    batch = [event(), event(event_type="no_such_type"), event(user_id="u-2")]
    answer = server.post(batch)
    assert verdicts(answer) == ["accepted", "refused", "accepted"]
    assert answer.json()["verdicts"][1]["code"] == "UNKNOWN_EVENT_TYPE"
    stored = records(server.settings)
    for sent in (batch[0], batch[2]):
        message = stored[places(answer)[sent["event_id"]]]
        assert json.loads(message.value()) == sent
        assert message.key().decode() == sent["user_id"]
        headers = dict(message.headers())
        assert headers["gamestream-app"] == b"game"
        assert abs(int(headers["gamestream-received-ms"]) - message.timestamp()[1]) < 60_000
    again = server.post(batch)
    assert verdicts(again) == ["duplicate", "refused", "duplicate"]
    assert [one["offset"] for one in again.json()["verdicts"]] == [one["offset"] for one in answer.json()["verdicts"]]
    assert len(records(server.settings)) == len(stored)


def test_a_players_events_share_a_partition_and_keep_their_order(server: Server) -> None:
    answer = server.post([event(user_id=f"p-{n % 7}") for n in range(200)])
    found = list(places(answer).values())
    assert len(found) == 200
    for player in range(7):
        mine = found[player::7]
        assert len({partition for partition, _ in mine}) == 1
        assert mine == sorted(mine)


def test_no_address_and_no_key_is_in_kafka_or_in_the_log(server: Server) -> None:
    sent = event(ip_address=CANARY_ADDRESS)
    answer = server.post([sent], **{"X-Forwarded-For": CANARY_ADDRESS})
    message = records(server.settings)[places(answer)[sent["event_id"]]]
    assert json.loads(message.value()) == {name: value for name, value in sent.items() if name != "ip_address"}
    everything = b"".join(one.value() + str(one.headers()).encode() for one in records(server.settings).values())
    secret = server.key.rpartition("_")[2]
    for told in (everything.decode(), server.log()):
        assert CANARY_ADDRESS not in told
        assert secret not in told
        assert "127.0.0.1" not in told.replace(f"127.0.0.1:{server.settings.port('ingest')}", "")


def test_compressed_signed_and_dry_requests(server: Server) -> None:
    made = server.keys("create", "--app", "signed-game", "--signed")
    body = gzip.compress(json.dumps({"events": [event()]}).encode())
    stamp = str(server.get("/v1/time").json()["epoch_ms"] // 1000)
    signed = hmac.new(made["signing_secret"].encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Encoding": "gzip", "X-Gamestream-Timestamp": stamp, "X-Gamestream-Signature": f"v1={signed}",
    }  # fmt: skip
    count = len(records(server.settings))
    assert verdicts(server.post(body, key=made["key"], query="?dry_run=true", **headers)) == ["accepted"]
    assert len(records(server.settings)) == count
    assert verdicts(server.post(body, key=made["key"], **headers)) == ["accepted"]
    assert server.post(body, key=made["key"], **{"Content-Encoding": "gzip"}).status_code == 401


def test_a_key_is_made_rotated_and_revoked(server: Server) -> None:
    first = server.keys("create", "--app", "rotating")
    assert verdicts(server.post([event()], key=first["key"])) == ["accepted"]
    second = server.keys("rotate", first["key_id"], "--overlap-hours", "1")
    assert (second["app"], second["replaces"]) == ("rotating", first["key_id"])
    for each in (first, second):
        assert verdicts(server.post([event()], key=each["key"])) == ["accepted"]
    server.keys("revoke", first["key_id"])
    until(lambda: server.post([event()], key=first["key"]).status_code == 401, "the revoked key is refused", 10)
    assert verdicts(server.post([event()], key=second["key"])) == ["accepted"]
    third = server.keys("rotate", second["key_id"], "--overlap-hours", "0")
    until(lambda: server.post([event()], key=second["key"]).status_code == 401, "the old key has ended", 10)
    assert verdicts(server.post([event()], key=third["key"])) == ["accepted"]
    reader = server.keys("create", "--app", "reader", "--scope", "read")
    assert server.post([event()], key=reader["key"]).status_code == 403
    listed = {one["key_id"]: one for one in server.keys("list")}
    assert [listed[one["key_id"]]["state"] for one in (first, second, third)] == ["revoked", "expired", "valid"]
    assert first["key"] not in json.dumps(listed)
    refused = gamestream(server.settings, "keys", "rotate", first["key_id"])
    assert refused.returncode == 2
    assert "`gamestream keys create`" in refused.words or "gamestream keys create" in refused.words


def test_status_shows_the_server_and_metrics_count(server: Server) -> None:
    [row] = Stack(server.settings).status(("ingest",))
    assert row.state == ServiceState.HEALTHY
    assert row.link == server.settings.ingest_url
    server.post([event()])
    assert 'gamestream_ingest_events_total{app="game",verdict="accepted"}' in server.get("/metrics").text
    assert server.get("/v1/schemas").json()["event_types"]["player_join"]["title"] == "player_join"


def test_postgres_away_stops_no_known_key(server: Server) -> None:
    assert server.post([event()]).status_code == 200
    Stack(server.settings).stop("postgres")
    try:
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:  # past the time for which a look-up counts as fresh
            assert verdicts(server.post([event()])) == ["accepted"]
            time.sleep(0.5)
        assert server.post([event()], key=f"gsk_{'0' * 16}_{'a' * 43}").status_code == 503
    finally:
        Stack(server.settings).up(("postgres",))
    until(
        lambda: server.post([event()], key=f"gsk_{'0' * 16}_{'a' * 43}").status_code == 401, "Postgres is asked again"
    )


class Load:
    """Senders that post batches until told to stop, and keep what was acknowledged."""

    def __init__(self, server: Server, senders: int = 4) -> None:
        self.server = server
        self.acknowledged: dict[str, tuple[int, int]] = {}
        self.other: list[int] = []
        self.retried = 0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(senders)
        self._running = [self._pool.submit(self._send, number) for number in range(senders)]

    def _send(self, number: int) -> None:
        with httpx.Client(timeout=60, trust_env=False) as http:
            while not self._stop.is_set():
                batch = [event(user_id=f"load-{number}-{n}") for n in range(20)]
                try:
                    answer = Server(self.server.settings, self.server.key, http).post(batch)
                except httpx.TransportError:  # the server is stopping, or gone
                    self._stop.wait(0.05)
                    continue
                with self._lock:
                    if answer.status_code == 200:
                        self.acknowledged |= places(answer)
                        self.retried += answer.json()["retry"]
                    else:
                        self.other.append(answer.status_code)
                        self._stop.wait(0.05)

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        self._stop.set()
        for each in self._running:
            each.result(LIMIT_SECONDS)
        self._pool.shutdown()

    def goes_on(self) -> None:
        """Wait until more events are acknowledged."""
        count = len(self.acknowledged)
        until(lambda: len(self.acknowledged) > count + 100, "events are acknowledged")

    def check(self) -> None:
        """Every acknowledged event is in Kafka, exactly where its receipt says."""
        stored = records(self.server.settings)
        assert self.acknowledged
        for event_id, place in self.acknowledged.items():
            assert json.loads(stored[place].value())["event_id"] == event_id
        assert set(self.other) <= {503, 429}


def test_kafka_stopped_and_back_loses_nothing_acknowledged(server: Server) -> None:
    with Load(server) as load:
        load.goes_on()
        Stack(server.settings).stop("kafka")
        try:
            until(lambda: server.get("/readyz").status_code == 503, "the API notices")
            refused = server.post([event()])
            assert refused.status_code == 503
            assert refused.headers["Retry-After"]
            assert server.get("/healthz").status_code == 200
        finally:
            Stack(server.settings).up(("kafka",))
        load.goes_on()
    load.check()


def test_a_broker_that_hangs_loses_nothing_acknowledged(server: Server) -> None:
    with Load(server, 2) as load:
        load.goes_on()
        broker = server.pid("kafka")
        os.kill(broker, signal.SIGSTOP)
        try:
            until(lambda: server.post([event()]).status_code == 503, "503 while the broker hangs")
        finally:
            os.kill(broker, signal.SIGCONT)
        load.goes_on()
    load.check()


@pytest.mark.parametrize("blow", [signal.SIGTERM, signal.SIGKILL])
def test_a_stop_under_load_loses_nothing_acknowledged(server: Server, blow: signal.Signals) -> None:
    with Load(server) as load:
        load.goes_on()
        process = server.pid()
        os.kill(process, blow)  # the supervisor starts another
        until(lambda: _pid_or_none(server) not in (process, None), "another process runs")
        load.goes_on()
    load.check()


def test_the_truth_of_a_simulated_crowd_is_what_the_topic_holds(server: Server, tmp_path: Path) -> None:
    shares = ("--late", "3", "--dup", "3", "--bad", "3")
    how = ("--events", "3000", "--rate", "5000", "--batch", "100", "--as-fast-as-possible", "--json")
    ended = gamestream(
        server.settings, "simulate", "--via", "http", *how, *shares, "--truth", str(tmp_path / "t.parquet")
    )
    assert ended.returncode == 0, ended.words
    told = json.loads(ended.stdout)
    assert told["sent"] == 3000 == told["accepted"] + told["duplicate"] + told["refused"]
    assert (told["duplicate"], told["refused"], told["late_topic"]) == (told["dup"], told["bad"], told["late"])
    _is_in_the_topic(server, tmp_path / "t.parquet", told["accepted"])
    assert {one["app"]: one["state"] for one in server.keys("list")}["simulator"] == "revoked"


def test_a_server_that_stops_under_the_crowd_costs_no_event(server: Server, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill(result: SimulationResult) -> None:
        if result.sent >= 1000 and not killed:
            killed.append(server.pid())
            os.kill(killed[0], signal.SIGTERM)

    options = SimulatorOptions(start_ms=int(time.time() * 1000), seed=2, rate=5000, events=3000, dup=3)
    result = simulate_over_http(
        server.settings.ingest_url,
        server.key,
        options,
        truth=tmp_path / "t.parquet",
        paced=False,
        batch=50,
        on_progress=kill,
    )
    assert killed
    assert result.sent == 3000
    assert result.answers.resent
    _is_in_the_topic(server, tmp_path / "t.parquet", None)


def _is_in_the_topic(server: Server, truth: Path, accepted: int | None) -> None:
    """Each event that has a position is there, and none is there twice."""
    rows = duckdb.sql(f'SELECT event_id, "partition", "offset" FROM \'{truth}\' WHERE "offset" IS NOT NULL').fetchall()
    stored = records(server.settings)
    assert rows
    assert all(json.loads(stored[partition, offset].value())["event_id"] == name for name, partition, offset in rows)
    of_this_run = [message for message in stored.values() if rows[0][0].partition("-")[0].encode() in message.value()]
    if accepted is not None:
        assert len(of_this_run) == accepted == len({(partition, offset) for _, partition, offset in rows})


def _pid_or_none(server: Server) -> int | None:
    state = Supervisor(server.settings).states()["ingest"]
    return state["pid"] if state["statename"] == "RUNNING" else None
