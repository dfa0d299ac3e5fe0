"""Score events through the real broker and registry, as JSON and as Avro, from us and from the first generator."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from itertools import takewhile
from pathlib import Path

import duckdb
import httpx
import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from typer.testing import CliRunner

from gamestream_dagster.catalogue.event_type import avro_schema, score_event
from gamestream_dagster.cli.main import build
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.events.acceptance import Decoded, judge
from gamestream_dagster.events.avro import AvroDecoder, AvroFormatError, score_encoder
from gamestream_dagster.events.feed import replay_into, simulate_into
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent
from gamestream_dagster.events.lives.live import go_on_live, live_events
from gamestream_dagster.events.lives.options import LivesOptions
from gamestream_dagster.events.outcome import Refused
from gamestream_dagster.events.producer import ScoreProducer, SendingError
from gamestream_dagster.events.region_play import RegionOptions
from gamestream_dagster.events.region_simulation import simulate_regions
from gamestream_dagster.events.score_event import ScoreEvent
from gamestream_dagster.events.simulation import run_simulation
from gamestream_dagster.events.simulator import SimulatorOptions, simulate
from gamestream_dagster.settings import Settings
from tests.support.fakes.first_generator import feed_as_the_first_generator, seed_scores
from tests.support.fakes.streams import SCORES, scores_in

EVENT = ScoreEvent("USR-1", "42", "EU-RubyKoala", 7, 1_700_000_000_000, "2023-11-14 22:13:20.000", "normal", "e-1")

# Hashes of Java's `Utils.murmur2`, from Kafka's own tests.
MURMUR2 = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


@pytest.fixture
def topic(stack: Settings, request: pytest.FixtureRequest) -> Iterator[str]:
    """A topic of its own, with as many partitions as the test's marker `partitions` says (default 4)."""
    name = f"events-test-{uuid.uuid4().hex[:12]}"
    admin = KafkaAdmin(stack.kafka)
    admin.create(name, getattr(request, "param", 4))
    yield name
    admin.delete(name)


def consume(stack: Settings, topic: str) -> dict[int, list[Message]]:
    """Every record of the topic, by partition; fails when they do not come within 30 s."""
    ends = KafkaAdmin(stack.kafka).end_offsets(topic)
    consumer = Consumer(
        stack.kafka.options(
            {
                "group.id": f"test-{uuid.uuid4()}",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
            }
        )
    )
    found: dict[int, list[Message]] = defaultdict(list)
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
        deadline = time.monotonic() + 30
        while missing := sum(ends.values()) - sum(map(len, found.values())):
            assert time.monotonic() < deadline, f"{missing} records did not come within 30 s"
            for message in consumer.consume(min(missing, 5000), timeout=1):
                assert message.error() is None
                found[message.partition() or 0].append(message)
    finally:
        consumer.close()
    return found


def test_a_simulation_arrives_to_the_byte_and_its_truth_says_where(stack: Settings, topic: str, tmp_path):
    options = SimulatorOptions(
        start_ms=1_700_000_000_000, events=20_000, rate=5000, late=3, dup=2, bad=4, players=300, seed=11
    )
    truth = tmp_path / "truth.parquet"
    result = simulate_into(stack, options, truth=truth, paced=False, topic=topic)
    assert result.sent == 20_000

    found = consume(stack, topic)
    assert len(found) == 4
    sent = list(simulate(options))
    places = duckdb.sql(f'SELECT number, "partition", "offset", kind FROM \'{truth}\' ORDER BY number').fetchall()
    assert len(places) == 20_000
    for record, (number, partition, offset, kind) in zip(sent, places, strict=True):
        message = found[partition][offset]
        assert (message.key(), message.value()) == (record.key, record.value)
        assert (record.number, record.kind.value) == (number, kind)
        assert isinstance(judge(message.value(), message.timestamp()[1]), Refused) == (kind == "bad")
    # A player's records lie in one partition, in the order of sending.
    partitions = defaultdict(set)
    for record, (_, partition, _, _) in zip(sent, places, strict=True):
        partitions[record.key].add(partition)
    assert {len(seen) for seen in partitions.values()} == {1}


@pytest.mark.parametrize("topic", [64], indirect=True)
def test_keys_go_where_javas_producer_puts_them(stack: Settings, topic: str):
    places: dict[str, int] = {}
    with ScoreProducer(stack.kafka, topic) as producer:
        for key in MURMUR2:
            producer.send(key.encode(), b"{}", lambda partition, _, key=key: places.__setitem__(key, partition))
    assert places == {key: (value & 0x7FFFFFFF) % 64 for key, value in MURMUR2.items()}


def test_replay_through_the_command_line(stack: Settings, topic: str, tmp_path):
    bad = tmp_path / "mixed.jsonl"
    bad.write_text(json.dumps(EVENT._asdict()) + "\n{\n")
    result = CliRunner().invoke(build(), ["replay", str(bad), "--topic", topic, "--home", str(stack.home), "--json"])
    assert result.exit_code == 1, result.output
    assert json.loads(result.stdout)["sent"] == 1

    replayed = replay_into(stack, "nba", topic=topic)
    assert (replayed.sent, replayed.bad) == (13_874, 0)
    found = consume(stack, topic)
    total = 0
    for message in (message for messages in found.values() for message in messages):
        outcome = judge(message.value(), message.timestamp()[1])
        assert isinstance(outcome, Decoded)
        total += outcome.score
    assert total == EVENT.score + 5533 * 2 + 1095 * 3


def test_a_missing_topic_is_said(stack: Settings):
    with pytest.raises(SendingError, match="no topic none-of-ours"):
        ScoreProducer(stack.kafka, "none-of-ours")


def test_a_record_that_is_too_large_is_said(stack: Settings, topic: str):
    with ScoreProducer(stack.kafka, topic) as producer, pytest.raises(SendingError, match="make it smaller"):
        producer.send(b"u", b"x" * 2_000_000)


# --- Avro -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def registry(stack: Settings) -> Iterator[Registry]:
    with Registry(stack.registry) as client:
        yield client


def decoded(stack: Settings, topic: str, registry: Registry) -> list[Decoded]:
    decoder = AvroDecoder(registry, SCORES.event_types)
    outcomes = [
        decoder.judge(message.value(), message.timestamp()[1])
        for messages in consume(stack, topic).values()
        for message in messages
    ]
    assert all(isinstance(outcome, Decoded) for outcome in outcomes), outcomes
    return sorted(outcome for outcome in outcomes if isinstance(outcome, Decoded))


def restrict(stack: Settings, subject: str, compatibility: str) -> None:
    answer = httpx.put(
        f"{stack.registry.url}/config/{subject}", json={"compatibility": compatibility}, timeout=10, trust_env=False
    )
    answer.raise_for_status()


def test_avro_round_trip_registers_ours_into_an_empty_subject(stack: Settings, topic: str, registry: Registry):
    encode = score_encoder(registry, scores_in(topic))
    registered = registry.latest(f"{topic}-value")
    assert registered is not None
    assert dict(registered.schema) == avro_schema(score_event())
    options = SimulatorOptions(start_ms=1_700_000_000_000, events=2000, rate=1000, bad=10, late=5)
    with ScoreProducer(stack.kafka, topic) as producer:
        result = run_simulation(options, producer, None, encode=encode, paced=False)
    decoder = AvroDecoder(registry, SCORES.event_types)
    outcomes = {True: 0, False: 0}
    sent = {record.event for record in simulate(options, encode) if record.kind.value != "bad"}
    for messages in consume(stack, topic).values():
        for message in messages:
            outcome = decoder.judge(message.value(), message.timestamp()[1])
            outcomes[isinstance(outcome, Decoded)] += 1
            if isinstance(outcome, Decoded):
                assert ScoreEvent(*outcome[:8]) in sent
    assert outcomes == {True: 2000 - result.kinds["bad"], False: result.kinds["bad"]}


@pytest.mark.parametrize("compatibility", ["NONE", "BACKWARD", "FULL"])
def test_the_first_generator_feeds_us_unchanged_when_it_comes_first(
    stack: Settings, topic: str, registry: Registry, compatibility: str
):
    feed_as_the_first_generator(stack, topic, seed_scores(100))
    restrict(stack, f"{topic}-value", compatibility)
    found = decoded(stack, topic, registry)
    assert sorted(one.score for one in found) == list(range(100))
    assert {one.event_id for one in found} == {None}
    # We write with its schema, and add no version.
    encode = score_encoder(registry, scores_in(topic))
    assert registry.versions(f"{topic}-value") == [1]
    with ScoreProducer(stack.kafka, topic) as producer:
        producer.send(EVENT.key, encode(EVENT))
    assert len(decoded(stack, topic, registry)) == 101


@pytest.mark.parametrize("compatibility", ["NONE", "BACKWARD", "FULL"])
def test_the_first_generator_feeds_us_unchanged_when_we_come_first(
    stack: Settings, topic: str, registry: Registry, compatibility: str
):
    encode = score_encoder(registry, scores_in(topic))
    restrict(stack, f"{topic}-value", compatibility)
    with ScoreProducer(stack.kafka, topic) as producer:
        producer.send(EVENT.key, encode(EVENT))
    feed_as_the_first_generator(stack, topic, seed_scores(10))
    found = decoded(stack, topic, registry)
    assert len(found) == 11
    assert {one.event_id for one in found} == {None, "e-1"}


def test_a_foreign_schema_is_not_forced(stack: Settings, topic: str, registry: Registry):
    registry.register(
        f"{topic}-value", {"type": "record", "name": "Other", "fields": [{"name": "user_id", "type": "string"}]}
    )
    with pytest.raises(AvroFormatError, match="does not fit score events"):
        score_encoder(registry, scores_in(topic))
    assert registry.versions(f"{topic}-value") == [1]


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\0\0\0\0", b"\0\x7f\xff\xff\xffabc"])
def test_a_value_that_is_no_avro_is_refused(registry: Registry, value: bytes | None):
    outcome = AvroDecoder(registry, SCORES.event_types).judge(value, 0)
    assert isinstance(outcome, Refused)
    assert outcome.reason == "NOT_AVRO"


def test_a_cut_avro_record_is_refused(stack: Settings, topic: str, registry: Registry):
    value = score_encoder(registry, scores_in(topic))(EVENT)
    for length in range(5, len(value) - 1):
        outcome = AvroDecoder(registry, SCORES.event_types).judge(value[:length], 2_000_000_000_000)
        assert isinstance(outcome, Refused), length


def test_a_score_over_32_bits_is_refused_not_wrapped(topic: str, registry: Registry):
    with pytest.raises(AvroFormatError, match="does not fit"):
        score_encoder(registry, scores_in(topic))(EVENT._replace(score=3_000_000_000))


def test_the_partitioner_error_of_librdkafka_is_real(stack: Settings):
    """Why we set the partitioner: with librdkafka's default the same keys go elsewhere."""
    name = f"events-test-{uuid.uuid4().hex[:12]}"
    admin = KafkaAdmin(stack.kafka)
    admin.create(name, 64)
    places: dict[str, int] = {}

    def note(error: KafkaError | None, message: Message) -> None:
        assert error is None
        places[(message.key() or b"").decode()] = message.partition() or 0

    producer = Producer(stack.kafka.options())
    for key in MURMUR2:
        producer.produce(name, b"{}", key.encode(), on_delivery=note)
    assert producer.flush(30) == 0
    admin.delete(name)
    assert places != {key: (value & 0x7FFFFFFF) % 64 for key, value in MURMUR2.items()}


def large_lines(path: Path, size: int) -> Path:
    """A line of about `size` bytes, which do not compress, between two small ones."""
    noise = random.Random(1).randbytes(size // 2).hex()
    event = {"team_id": "t", "team_name": "T", "score": 1, "event_time_millis": 1_700_000_000_000}
    lines = [{"user_id": "a"} | event, {"user_id": "b", "note": noise} | event, {"user_id": "c"} | event]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return path


def test_a_line_up_to_kafkas_limit_is_sent_and_one_over_the_topics_is_one_bad_line(
    stack: Settings, topic: str, tmp_path: Path
):
    path = large_lines(tmp_path / "a.jsonl", 1_020_000)
    found = replay_into(stack, path, topic=topic)
    assert (found.lines, found.sent, found.bad) == (3, 3, 0)
    assert sorted(len(one.value() or b"") > 1_000_000 for part in consume(stack, topic).values() for one in part) == [
        False, False, True,
    ]  # fmt: skip

    admin, narrow = KafkaAdmin(stack.kafka), f"{topic}-narrow"
    admin.create(narrow, 1, {"max.message.bytes": "700000"})
    try:
        found = replay_into(stack, path, topic=narrow, rejects=tmp_path / "r.jsonl")
        assert (found.lines, found.sent, found.bad, found.reasons) == (3, 2, 1, {"TOO_LARGE": 1})
        assert [json.loads(line)["line"] for line in (tmp_path / "r.jsonl").read_text().splitlines()] == [2]
        assert [one.key() for one in consume(stack, narrow)[0]] == [b"a", b"c"]
    finally:
        admin.delete(narrow)


@pytest.mark.parametrize("paced", [True, False])
def test_ctrl_c_ends_a_simulation_in_order(stack: Settings, topic: str, tmp_path: Path, paced: bool):
    truth, admin = tmp_path / "truth.parquet", KafkaAdmin(stack.kafka)
    command = [sys.executable, "-c", "from gamestream_dagster.cli.main import main; main()", "simulate", "--rate", "50"]
    more = [
        "--topic",
        topic,
        "--home",
        str(stack.home),
        "--truth",
        str(truth),
        *(() if paced else ("--as-fast-as-possible",)),
    ]
    process = subprocess.Popen([*command, *more], stderr=subprocess.PIPE, text=True, env=os.environ)
    deadline = time.monotonic() + 60
    sent = 0
    while not sent:
        assert time.monotonic() < deadline
        with suppress(ServiceError):  # a new topic may have no leader yet
            sent = sum(admin.end_offsets(topic).values())
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "Stopped. SENT=" in told
    assert "Traceback" not in told
    count = duckdb.sql(f"SELECT count(*) FROM '{truth}'").fetchall()[0][0]
    assert count == sum(KafkaAdmin(stack.kafka).end_offsets(topic).values())


def test_lives_go_on_live_when_they_happen(stack: Settings, topic: str):
    options = LivesOptions(start=date(2026, 1, 1), days=1, players=40_000)
    evening = options.end_ms + 19 * 3_600_000
    wanted = list(takewhile(lambda event: event.at_ms <= evening + 40_000, live_events(options, evening)))
    assert len(wanted) > 2
    result = go_on_live(stack, options, seconds=(wanted[2].at_ms - evening) / 1000, topic=topic, from_ms=evening)
    assert (result.interrupted, result.sent) == (False, 3)
    found = [one for messages in consume(stack, topic).values() for one in messages]
    assert {(one.key(), one.value()) for one in found} == {(e.user_id.encode(), e.line.encode()) for e in wanted[:3]}
    assert result.seconds >= (wanted[2].at_ms - evening) / 1000 - 0.1, "each event waits until it happens"


def test_players_of_three_regions_are_in_the_topic_as_the_truth_says(stack: Settings, topic: str, tmp_path: Path):
    options = RegionOptions(start_ms=int(time.time() * 1000), rate=500, events=400)
    result = simulate_regions(stack, options, truth=tmp_path / "truth.json", topic=topic)
    assert (result.sent, result.interrupted) == (400, False)
    assert result.seconds > 0.7, "each event waits until it is due"
    rule, found = GameEventJudge(), defaultdict[tuple[str, str], int](int)
    for message in (one for messages in consume(stack, topic).values() for one in messages):
        event = rule.judge(message.value(), message.timestamp()[1])
        assert isinstance(event, GameEvent), event
        assert ((event.user_id or "").encode(), event.late, event.remark) == (message.key(), False, None)
        found[event.region or "", event.event_type] += 1
    told = defaultdict[tuple[str, str], int](int)
    for row in json.loads((tmp_path / "truth.json").read_text())["events_by_minute"]:
        told[row["region"], row["event_type"]] += row["events"]
    assert found == told
    assert len(found) == 9
