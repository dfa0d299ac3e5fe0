"""The intake job on real servers: every case of the table and spoilt events end where the Python judge says, once."""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.dead_letters.letter import Position, letter_of
from gamestream_dagster.enrichment.geo_table import pack
from gamestream_dagster.enrichment.tables import GEO_FILE, LOOK_SECONDS, Tables, replace_file
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameEvent
from gamestream_dagster.events.tail import records_between
from gamestream_dagster.fates.outputs import OUTPUT_TOPICS, Fate
from gamestream_dagster.fates.trace import trace_event
from gamestream_dagster.flink_jobs.control.manager import apply_job, workbench
from gamestream_dagster.flink_jobs.spec.job_spec import flink_job_name
from gamestream_dagster.ingest.door import APP_HEADER, GEO_HEADER, KEY_HEADER, RECEIVED_HEADER
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.reconciliation.intake.model import FateKind, IntakeProof
from gamestream_dagster.reconciliation.intake.run import reconcile_intake
from gamestream_dagster.reconciliation.model.values import Cause, Verdict
from gamestream_dagster.reconciliation.observe.boards import Limits
from gamestream_dagster.settings import Settings
from tests.support.avro_records import encoded, framed
from tests.support.cli import gamestream
from tests.support.game_avro import FLAT, SEED_HEALTH, SEED_POSITION, own, raw
from tests.support.game_event_cases import NOW, all_cases
from tests.support.spoilt_events import spoilt
from tests.support.world import World, cancel_jobs, drain, provision, stamped_by_producers

HORIZON_SECONDS = 3
JOB, RAW = "event_intake_v1", "game-events-raw"
ENRICHED, LATE, DEAD, SCORES = "game-events-enriched", "game-events-late", "game-events-dlq", "user-score"
Record = tuple[bytes | None, int]


@dataclass
class Fates:
    """Where a log of records should end, by the judge and the ids that came before."""

    judge: GameEventJudge = field(default_factory=GameEventJudge)
    seen: dict[tuple[str | None, str], str] = field(default_factory=dict)
    enriched: list[GameEvent] = field(default_factory=list)
    late: list[GameEvent] = field(default_factory=list)
    dead: list[tuple[str, bytes | None]] = field(default_factory=list)
    copies: int = 0

    def take(self, record: Record) -> None:
        outcome = self.judge.judge(*record)
        if not isinstance(outcome, GameEvent):
            self.dead.append((outcome.reason.value, record[0]))
            return
        first = self.seen.setdefault((outcome.user_id, outcome.event_id), outcome.digest)
        if first is not outcome.digest:
            if first == outcome.digest:
                self.copies += 1
            else:
                self.dead.append(("DUP_CONFLICT", record[0]))
            return
        (self.late if outcome.late else self.enriched).append(outcome)


@pytest.fixture
def intake(world: World) -> Settings:
    """For each test, since some of them spoil it."""
    return world.hold("intake", _deployed)


def _deployed(settings: Settings) -> Settings:
    provision(settings)
    KafkaAdmin(settings.kafka).configure(RAW, {"retention.ms": "-1"})  # cases are years old: retention would end them
    apply_job(settings, JOB)
    return settings


def records() -> Iterator[Record]:
    """Every case of the table with an id of its own, then events spoilt by chance, a fifth of them sent twice."""
    chance = random.Random(5)
    # a record over the broker's own limit of 1 MiB never gets into the topic
    cases = [(case.value, case.kafka_timestamp) for case in all_cases() if len(case.value or b"") < 900_000]
    for number, (value, at) in enumerate(cases):
        yield (None if value is None else named(value, f"case-{number}")), at
    plain = [value for value, _ in cases if value and len(value) < 2_000]
    for number in range(5_000):
        value = named(spoilt(chance, chance.choice(plain)), f"spoilt-{number // 2}")
        at = NOW + chance.choice([0, 0, 700_000, 10**9, 4 * 10**9, -(10**9)])
        yield value, at
        if chance.random() < 0.2:
            yield value, at


def named(value: bytes, event_id: str) -> bytes:
    """The event with another id."""
    return re.sub(rb'"event_id":"[^"]*"', f'"event_id":"{event_id}"'.encode(), value, count=1)


def send(settings: Settings, sent: list[Record]) -> None:
    producer = Producer(settings.kafka.options({"enable.idempotence": True, "linger.ms": 20}))
    for value, at in sent:
        producer.produce(RAW, value, key="one", partition=0, timestamp=at)
        producer.poll(0)
    assert producer.flush(60) == 0


def held(settings: Settings, topic: str, since: Mapping[int, int] | None = None) -> list[dict[str, Any]]:
    """Every committed record of a topic, from these offsets on."""
    ends = KafkaAdmin(settings.kafka).end_offsets(topic)
    records = records_between(settings.kafka, topic, since or dict.fromkeys(ends, 0), ends)
    return [orjson.loads(record.value or b"") for record in records]


@dataclass(frozen=True)
class Judged:
    """What was sent, where it should end, and what each topic holds of it."""

    sent: int
    expected: Fates
    found: dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def judged(world: World) -> Judged:
    intake, sent, expected = world.hold("intake", _deployed), list(records()), Fates()
    admin = KafkaAdmin(intake.kafka)
    before = {topic: admin.end_offsets(topic) for topic in (ENRICHED, LATE, DEAD, SCORES)}
    with stamped_by_producers(intake, RAW):
        send(intake, sent)
        for record in sent:
            expected.take(record)
        drain(intake, job=JOB)
    return Judged(len(sent), expected, {topic: held(intake, topic, since) for topic, since in before.items()})


def test_every_record_ends_where_the_judge_says_and_once(judged: Judged) -> None:
    expected, found = judged.expected, judged.found
    for topic, wanted in ((ENRICHED, expected.enriched), (LATE, expected.late)):
        assert Counter(one["digest"] for one in found[topic]) == Counter(one.digest for one in wanted), topic
        by_digest = {one["digest"]: one for one in found[topic]}
        for event in wanted:
            shown = by_digest[event.digest]
            assert (shown["event_id"], shown.get("user_id"), shown["event_type"], shown["properties"]) == (
                event.event_id, event.user_id, event.event_type, event.properties,
            )  # fmt: skip
            assert shown["event_time_millis"] == event.event_time_millis
    dead = found[DEAD]
    assert Counter(one["reason"] for one in dead) == Counter(reason for reason, _ in expected.dead)
    assert len({one["source_offset"] for one in dead}) == len(dead), "no record is dead twice"
    assert len(found[ENRICHED]) + len(found[LATE]) + len(dead) + expected.copies == judged.sent
    assert expected.copies > 20
    assert {"DUP_CONFLICT", "NOT_UTF8", "TOO_OLD", "FUTURE_TIMESTAMP"} <= {reason for reason, _ in expected.dead}


def test_scores_go_to_the_boards_own_topic(judged: Judged) -> None:
    expected = {one["event_id"]: one for one in judged.found[ENRICHED] if one["event_type"] == "score"}
    wanted = {event_id for event_id, one in expected.items() if one["environment"] == "production"}
    found = judged.found[SCORES]
    assert {one["event_id"] for one in found} == wanted
    assert len(found) == len(wanted) > 0
    for one in found:
        properties = orjson.loads(expected[one["event_id"]]["properties"])
        assert {name: one[name] for name in ("team_id", "team_name", "score")} == {
            name: properties[name] for name in ("team_id", "team_name", "score")
        }


def looked_up(settings: Settings, name: str, headers: dict[str, bytes] | None = None, **fields: Any) -> dict[str, Any]:
    """What the job makes of a record that a backend sends straight to Kafka: its enriched row."""
    event = {"event_id": name, "user_id": "u1", "event_type": "player_join", "event_time": round(time.time() * 1000)}
    producer = Producer(settings.kafka.options())
    producer.produce(RAW, orjson.dumps({**event, **fields}), key="u1", headers=headers or {})
    assert producer.flush(60) == 0
    drain(settings, job=JOB)
    [row] = [one for one in held(settings, ENRICHED) if one["event_id"] == name]
    return row


def test_country_and_device_are_looked_up_and_the_address_is_dropped(intake: Settings) -> None:
    tables = Tables(intake.enrichment_dir)
    row = looked_up(intake, "with-address", ip_address="81.2.69.142", device_model="samsung SM-S918B")
    assert (row["country"], row["geo_version"]) == ("GB", tables.geo.version)
    assert (row["device_category"], row["device_tier"]) == ("phone", "high")
    assert row["device_version"] == tables.devices.version
    assert "81.2.69.142" not in str(row)
    private = looked_up(intake, "private", ip_address="10.0.0.1")
    assert (private["country"], private["geo_version"]) == ("unknown", tables.geo.version)
    assert (private["device_category"], private["device_tier"]) == ("unknown", "unknown")
    sent = looked_up(intake, "sent", ip_address="81.2.69.142", country="SE")
    assert (sent["country"], sent.get("geo_version")) == ("SE", None)
    nowhere = looked_up(intake, "nowhere")
    assert (nowhere["country"], nowhere.get("geo_version")) == ("unknown", None)


@pytest.mark.parametrize(
    ("header", "version"),
    [(b"ipfire-2026-06-25", "ipfire-2026-06-25"), (b"\xff\x00", None), (b"x" * 61, None), (b"", None), (None, None)],
)
def test_version_of_the_api_is_kept_and_a_forged_one_does_no_harm(
    intake: Settings, header: bytes | None, version: str | None
) -> None:
    row = looked_up(intake, f"header-{header!r}", {GEO_HEADER: header}, country="SE")
    assert (row["country"], row.get("geo_version")) == ("SE", version)


def test_a_new_table_is_used_without_a_new_deployment(intake: Settings) -> None:
    path = intake.enrichment_dir / GEO_FILE
    before = path.read_bytes()
    ranges = [(0, "unknown"), (1 << 24, "AQ")]
    try:
        replace_file(path, pack(ranges, [(0, "unknown")], {"version": "test-2099-01-01"}))
        time.sleep(LOOK_SECONDS + 1)
        row = looked_up(intake, "refreshed", ip_address="81.2.69.142")
        assert (row["country"], row["geo_version"]) == ("AQ", "test-2099-01-01")
    finally:
        replace_file(path, before)


def test_json_and_avro_of_several_types_in_one_topic(intake: Settings) -> None:
    """Records of the catalogue's subjects and of a foreign schema, an id that no schema has, and bytes cut short."""
    now = round(time.time() * 1000)
    score = {"id": "avro-score", "player_id": "u1", "timestamp": now, "team_id": "t", "team_name": "T", "score": 4}
    with Registry(intake.registry) as registry:
        registry.register("foreign-scores", FLAT)
        foreign = registry.latest("foreign-scores")
        assert foreign is not None
        values = {"avro-score": framed(foreign.schema_id, encoded(FLAT, [], score))}
        for name, kind, properties in (
            ("avro-health", "player_health", {"health": 96.0, "max_health": None}),
            ("avro-position", "player_position", {"x": 1.5, "y": -2.0, "z": None, "map": None}),
        ):
            schema, record = own(kind, event_id=name, event_time=now, properties=properties)
            subject = registry.latest(f"{RAW}-{schema['namespace']}.{schema['name']}")
            assert subject is not None, "`gamestream apply` has registered it"
            values[name] = framed(subject.schema_id, encoded(raw(schema), [], record))
        dead = [framed(2**31 - 1, b"\x02a"), values["avro-health"][:-1], values["avro-score"][:-1] + b"\x01"]
        text = orjson.dumps({**score, "type": "score"})
        send(intake, [(value, 0) for value in (*values.values(), *dead, text)])
        drain(intake, job=JOB)
        judge = GameEventJudge(registry=registry)
        expected = {name: judge.judge(value, now) for name, value in values.items()}
    rows = {one["event_id"]: one for one in held(intake, ENRICHED) if one["event_id"] in values}
    for name, event in expected.items():
        assert isinstance(event, GameEvent)
        assert (rows[name]["event_type"], rows[name]["properties"]) == (event.event_type, event.properties)
        assert rows[name]["digest"] == event.digest
    assert [one["score"] for one in held(intake, SCORES) if one["event_id"] == "avro-score"] == [4], "JSON was a copy"
    letters = [letter_of(Position(0, 0), orjson.dumps(one)) for one in held(intake, DEAD)]
    found = {one.payload: one.reason for one in letters if one.payload in dead}
    assert found == {dead[0]: "NOT_AVRO", dead[1]: "NOT_AVRO", dead[2]: "OUT_OF_RANGE"}, "with their exact bytes"


def test_the_two_types_of_another_producer_without_ids_or_times(intake: Settings) -> None:
    """Its own schemas and random keys; of each type one record twice. Enriched events, proof and trace agree."""
    now = round(time.time() * 1000)
    health = {"player_id": "u-foreign", "health": 96, "timestamp": now}
    position = {"player_id": "u-foreign", "x": 1.5, "y": -2.0}
    producer = Producer(intake.kafka.options())
    before = KafkaAdmin(intake.kafka).end_offsets(RAW)
    with Registry(intake.registry) as registry:
        for schema, record in ((SEED_HEALTH, health), (SEED_POSITION, position)):
            subject = registry.latest(f"{RAW}-{schema['namespace']}.{schema['name']}")
            assert subject is not None, "`gamestream apply` has registered it"
            for _ in range(2):
                value = framed(subject.schema_id, encoded(schema, [], record))
                producer.produce(RAW, value, key=os.urandom(8).hex())
                assert producer.flush(60) == 0  # in two batches, each with a Kafka time of its own
                time.sleep(0.005)
    drain(intake, job=JOB)
    sent = KafkaAdmin(intake.kafka).end_offsets(RAW)
    assert sum(sent.values()) - sum(before.values()) == 4
    rows = [one for one in held(intake, ENRICHED) if one.get("user_id") == "u-foreign"]
    assert Counter(one["event_type"] for one in rows) == {"player_health": 1, "player_position": 2}
    [healthy] = [one for one in rows if one["event_type"] == "player_health"]
    assert (healthy["event_time_millis"], orjson.loads(healthy["properties"])) == (now, {"health": 96})
    placed = [one for one in rows if one["event_type"] == "player_position"]
    assert len({one["digest"] for one in placed}) == 1
    for one in placed:
        assert one["event_id"].endswith(f"-{one['event_time_millis']}")
        assert 0 <= one["event_time_millis"] - now < 60_000, "when Kafka took it"
    for one in rows:
        outcomes = [found.outcome.value for found in trace_event(intake, one["event_id"]).records]
        assert sorted(outcomes) == (["copy", "enriched"] if one is healthy else ["enriched"])
    proof = proven(intake)
    assert proof.verdict is Verdict.MATCH, proof.reason
    [archived] = trace_event(intake, placed[0]["event_id"]).records
    assert archived.archive_file is not None


def proven(settings: Settings) -> IntakeProof:
    return reconcile_intake(settings, limits=Limits(checkpoint=60, job_running=120))


def send_fates(settings: Settings, name: str) -> None:
    """An event that counts, its copy, other content under its id; a score; a late event; a refused one."""
    player = {"user_id": "u-secret", "event_type": "player_join", "event_time": round(time.time() * 1000)}
    score = {"team_id": "t", "team_name": "T", "score": 7}
    events = [
        {"event_id": f"{name}-1", **player},
        {"event_id": f"{name}-1", **player},
        {"event_id": f"{name}-1", **player, "platform": "ios"},
        {"event_id": f"{name}-2", **player, "event_type": "score", "properties": score},
        {"event_id": f"{name}-3", **player, "event_time": player["event_time"] - 700_000},
        {"event_id": f"{name}-4", **player, "event_type": "no_such_type"},
    ]
    headers = {KEY_HEADER: b"k1", APP_HEADER: b"game", RECEIVED_HEADER: b"1"}
    producer = Producer(settings.kafka.options())
    for event in events:
        producer.produce(RAW, orjson.dumps(event), key=event["user_id"], headers=headers)
    assert producer.flush(60) == 0


def test_every_raw_position_has_one_fate(intake: Settings) -> None:
    """All that the tests before have sent: spoilt records, copies, conflicts, times of producers."""
    send_fates(intake, "fate")
    drain(intake, job=JOB)
    proof = proven(intake)
    assert proof.verdict is Verdict.MATCH, proof.reason
    records = sum(file.records for file in load_manifest(intake.archive_dir / RAW).files)
    assert proof.judged == records
    written = {one.topic: one.records for one in proof.outputs}
    assert {topic: proof.fates[fate] for fate, topic in OUTPUT_TOPICS.items()} == written
    assert proof.fates[Fate.COPY] > 0
    assert proof.scores > 0


def test_the_trace_of_events_archived_and_just_sent(intake: Settings) -> None:
    """Of each kind one event that is archived, and one of a moment ago."""
    send_fates(intake, "old")
    drain(intake, job=JOB)
    ended = gamestream(intake, "archive")
    assert ended.returncode == 0, ended.words
    send_fates(intake, "new")
    drain(intake, job=JOB)
    for name in ("old", "new"):
        [one, copy, conflict] = traced(intake, f"{name}-1")
        assert [one["outcome"], copy["outcome"], conflict["outcome"]] == ["enriched", "copy", "dead letter"]
        assert conflict["reason"] == "DUP_CONFLICT"
        assert copy["copy_of"]["offset"] == conflict["copy_of"]["offset"] == one["raw"]["offset"]
        assert one["received"]["key_id"] == "k1"
        assert one["received"]["app"] == "game"
        [score] = traced(intake, f"{name}-2")
        assert [score["outcome"], score["written"]["topic"]] == ["enriched", ENRICHED]
        assert [place["topic"] for place in score["scores"]] == [SCORES]
        assert "top_players" in score["boards"]
        [late] = traced(intake, f"{name}-3")
        assert [late["outcome"], late["boards"], late["written"]["topic"]] == ["late", [], LATE]
        [dead] = traced(intake, f"{name}-4")
        assert [dead["outcome"], dead["reason"], dead["written"]["topic"]] == [
            "dead letter",
            "UNKNOWN_EVENT_TYPE",
            DEAD,
        ]
        assert (dead["archive_file"] is not None) is (name == "old")
    unknown = gamestream(intake, "trace", "nobody-sent-this")
    assert unknown.returncode == 1
    assert "No record has this id." in unknown.words
    assert "looked game-events-raw: the archive up to" in unknown.words
    shown = gamestream(intake, "trace", "new-2")
    assert shown.returncode == 0
    assert "counted by" in shown.words
    assert "u-secret" not in shown.words


def traced(settings: Settings, event_id: str) -> list[dict[str, Any]]:
    ended = gamestream(settings, "trace", event_id, "--json")
    assert ended.returncode == 0, ended.words
    assert "u-secret" not in ended.stdout
    return orjson.loads(ended.stdout)["records"]


def test_a_proof_while_events_flow_and_a_taskmanager_is_killed(intake: Settings) -> None:
    """What is between the cuts may be written or not, and no record is named that is on its way."""
    stop = threading.Event()

    def play() -> None:
        producer = Producer(intake.kafka.options())
        number = 0
        while not stop.wait(0.01):
            number += 1
            fields = {"event_id": f"flow-{number}", "user_id": f"u{number % 50}", "event_type": "player_join"}
            value = orjson.dumps({**fields, "event_time": round(time.time() * 1000)})
            for _ in range(1 + number % 2):
                producer.produce(RAW, value, key=fields["user_id"])
        producer.flush(60)

    player = threading.Thread(target=play)
    player.start()
    try:
        first = proven(intake)
        [taskmanager] = Stack(intake).status(["flink-taskmanager"])
        assert taskmanager.pid is not None
        os.kill(taskmanager.pid, signal.SIGKILL)
        second = proven(intake)
    finally:
        stop.set()
        player.join()
    for proof in (first, second):
        assert proof.verdict is Verdict.MATCH, proof.reason
    assert second.judged > first.judged


def test_what_another_hand_writes_into_the_outputs_is_named(intake: Settings, world: World) -> None:
    """It stays in the topics: no other test may count them afterwards."""
    world.spoil()
    producer = Producer(intake.kafka.options())
    row = looked_up(intake, "doubled")
    place = {"raw_partition": row["raw_partition"], "raw_offset": row["raw_offset"]}
    producer.produce(ENRICHED, orjson.dumps(row), key="u1")
    producer.produce(LATE, orjson.dumps({**row, **place, "raw_offset": 10**9}), key="u1")
    producer.produce(DEAD, b"not of the job", key="u1")
    assert producer.flush(60) == 0
    proof = proven(intake)
    assert proof.verdict is Verdict.DIFFERENT
    found = {(one.kind, one.first_offset, one.cause) for one in proof.faults}
    assert (FateKind.DOUBLED, row["raw_offset"], Cause.UNEXPLAINED) in found
    assert (FateKind.FOREIGN, 10**9, Cause.EDITED_BY_HAND) in found
    assert proof.fault_records == {FateKind.DOUBLED: 1, FateKind.FOREIGN: 2}
    ended = gamestream(intake, "reconcile", "--intake", "--json")
    assert ended.returncode == 1
    told = orjson.loads(ended.stdout)
    assert told["verdict"] == "DIFFERENT"
    assert {one["kind"] for one in told["faults"]} == {"DOUBLED", "FOREIGN"}


def test_an_id_is_forgotten_after_the_horizon(world: World) -> None:
    """The horizon is set in the compiled plan alone: Flink must do as the plan says."""
    intake = world.hold("intake", _deployed, in_any_state=True)
    world.spoil()
    cancel_jobs(intake)
    name = flink_job_name(JOB, "0" * 64, 9)
    with workbench(intake, JOB) as bench:
        quick = replace(bench.target.rendered, id_horizon_ms=HORIZON_SECONDS * 1000)
        bench.submitter.submit(JOB, quick, {**bench.target.options, "pipeline.name": name}, None)
    event = {"event_id": "again", "user_id": "u1", "event_type": "player_join", "event_time": round(time.time() * 1000)}
    record = (orjson.dumps(event), 0)

    def counted() -> int:
        drain(intake, job=JOB)
        return sum(one["event_id"] == "again" for one in held(intake, ENRICHED))

    send(intake, [record, record])
    assert counted() == 1
    deadline = time.monotonic() + 60
    while counted() == 1:
        assert time.monotonic() < deadline, "the id is never forgotten"
        time.sleep(HORIZON_SECONDS)  # a copy before the horizon would renew it
        send(intake, [record])
    assert counted() == 2
