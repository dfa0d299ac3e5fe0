"""A score topic that holds Avro: the first generator feeds the real jobs unchanged, and the boards match."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pytest
from confluent_kafka import Producer

from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.events.feed import replay_into
from gamestream_dagster.flink_jobs.errors import FlinkJobError
from gamestream_dagster.reconciliation.model.proof import ReconciliationRun
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.reconciliation.observe.sinks import read_tables
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Settings, TopicFormat
from tests.support.avro_records import body_of, encoded, framed, register, schema_with, variants
from tests.support.fakes.first_generator import UserScore, feed_as_the_first_generator
from tests.support.small_job import Game, new_game
from tests.support.world import World, deploy, drain, provision

JSON_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {"user_id": {"type": "string"}},
}


@dataclass(frozen=True)
class AvroBoards:
    """Both jobs on a topic of Avro records, and what was found when only the two generators had sent some."""

    settings: Settings
    first_run: ReconciliationRun
    players: list[dict[str, Any]]


@pytest.fixture
def avro(world: World) -> AvroBoards:
    return world.hold("Avro on the score topic", deploy_avro)


def deploy_avro(settings: Settings) -> AvroBoards:
    """The NBA shots from our generator, two scores from the first one, and both jobs."""
    settings = settings.model_copy(update={"topic_formats": {"user-score": TopicFormat.AVRO}})
    provision(settings)
    replay_into(settings, "nba")
    scores = [
        UserScore("USR-1", "42", "Ruby-Koala", 2_000_000_000, 1_418_352_000_000 + n, "r", "normal") for n in (0, 1)
    ]
    feed_as_the_first_generator(settings, "user-score", scores)
    deploy(settings)
    run = reconcile(settings, "drained")
    with open_engine(settings) as engine:
        players = read_tables(engine, [load_boards()["top_players"]])["top_players"]
    return AvroBoards(settings, run, players)


def test_the_first_generator_and_ours_feed_the_avro_jobs_and_the_boards_match(avro: AvroBoards):
    run = avro.first_run
    assert run.verdict is Verdict.MATCH, (run.reason, run.differences[:3])
    assert run.only.ledger is not None
    assert run.only.ledger.records == run.only.ledger.accepted == 13_874 + 2
    assert [(row["user_id"], row["total_score"]) for row in avro.players][:2] == [
        ("USR-1", 4_000_000_000),
        ("stephen-curry", 1130),
    ]


def test_no_record_stops_the_jobs_and_both_sides_read_alike(avro: AvroBoards):
    settings = avro.settings
    now = int(time.time() * 1000)
    sent = {one.name: (framed(register(settings.registry.url, f"v{n}", one.schema), body_of(one, now)), one.reason)
            for n, one in enumerate(variants(now))}  # fmt: skip
    sent |= _records_that_are_no_avro(settings.registry.url, now)
    producer = Producer(settings.kafka.options())
    for name, (value, _) in sent.items():
        producer.produce("user-score", value, key=name.encode())
    assert producer.flush(20) == 0
    drain(settings)

    run = reconcile(settings, "drained")
    assert run.verdict is Verdict.MATCH, (run.reason, run.differences[:3])
    assert run.only.ledger is not None
    assert run.only.ledger.balanced, run.only.ledger.faults
    with duckdb.connect() as database:
        open_archive(database, settings.archive_dir / "user-score")
        kept = dict(database.execute("SELECT decode(key), reason FROM archive").fetchall())
    assert {name: kept[name] for name in sent} == {name: reason for name, (_, reason) in sent.items()}


def _records_that_are_no_avro(registry: str, now: int) -> dict[str, tuple[bytes | None, str | None]]:
    """Values by name, with the reason that each is refused for."""
    plain = schema_with()
    record = {"user_id": "p", "team_id": "t1", "team_name": "T", "score": 7, "event_time_millis": now}
    body = encoded(plain, [], record)
    number = register(registry, "plain", plain)
    register(
        registry,
        "team",
        {"type": "record", "name": "Team", "namespace": "game", "fields": [{"name": "x", "type": "int"}]},
    )
    referring = register(
        registry,
        "referring",
        schema_with(team="game.Team"),
        references=[{"name": "game.Team", "subject": "team", "version": 1}],
    )
    json_id = register(registry, "json", JSON_SCHEMA, "JSON")
    protobuf_id = register(registry, "protobuf", 'syntax = "proto3"; message S { string user_id = 1; }', "PROTOBUF")
    bad = {
        "json text": b'{"user_id": "a"}', "empty": b"", "null": None, "header alone": b"\0\0\0\0",
        "no body": framed(number, b""), "cut": framed(number, body[:-3]), "trailing": framed(number, body + b"x"),
        "magic": b"\x01" + framed(number, body)[1:], "unknown number": framed(999_999, body),
        "number over 31 bits": framed(2**32 - 1, body), "json schema": framed(json_id, body),
        "protobuf schema": framed(protobuf_id, body), "noise": framed(number, b"\xff" * 40),
    }  # fmt: skip
    found: dict[str, tuple[bytes | None, str | None]] = {name: (value, "NOT_AVRO") for name, value in bad.items()}
    found["no text"] = (framed(number, body.replace(b"\x02T", b"\x02\xff")), "NOT_UTF8")
    found["a reference"] = (framed(referring, body + b"\x02"), None)
    return found


class SilentRegistry(BaseHTTPRequestHandler):
    """Lists the subject that a job needs, and never answers when it is asked for a schema."""

    subjects: ClassVar[list[str]] = []
    ended: ClassVar[threading.Event]

    def do_GET(self) -> None:
        if not self.path.endswith("/subjects"):
            self.ended.wait(120)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.subjects).encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def silent_registry() -> Iterator[str]:
    SilentRegistry.ended = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), SilentRegistry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        SilentRegistry.ended.set()
        server.shutdown()


def test_a_registry_that_never_answers_fails_the_job_and_is_named_as_the_cause(
    stack: Settings, silent_registry: str, tmp_path: Path
):
    avro = stack.model_copy(update={"topic_formats": {"user-score": TopicFormat.AVRO}, "registry_url": silent_registry})
    game = new_game(avro, tmp_path)
    SilentRegistry.subjects = [f"{game.topic}-value"]
    game.write_job(limits={"start_seconds": 60, "checkpoint_seconds": 30, "stop_seconds": 60})
    producer = Producer(avro.kafka.options())
    producer.produce(game.topic, b"\x00\x00\x00\x00\x01\x02p\x02")
    assert producer.flush(20) == 0
    try:
        with suppress(FlinkJobError):  # its first checkpoint can be complete before the source has read the record
            game.apply()
        wait_for_failure(avro, game, "Read timed out", 90)
    finally:
        game.end()


def wait_for_failure(settings: Settings, game: Game, part: str, limit_seconds: float) -> None:
    """Wait until Flink lists a failure of the game's job whose innermost cause holds a text."""
    deadline = time.monotonic() + limit_seconds
    with FlinkRest(settings.flink_rest) as flink:
        while True:
            jobs = [one.job_id for one in flink.jobs() if one.name.startswith(f"{game.name}@")]
            causes = [entry.cause for job in jobs for entry in flink.exceptions(job)]
            if any(part in cause for cause in causes):
                return
            assert time.monotonic() < deadline, causes
            time.sleep(0.5)
