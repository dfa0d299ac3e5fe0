"""The security job on real servers: from a shipped, labelled log to rows and detections, and SQL against Python."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.enrichment.geo_table import GeoTable
from gamestream_dagster.enrichment.tables import GEO_FILE, PACKAGED
from gamestream_dagster.events.producer import ScoreProducer
from gamestream_dagster.events.tail import records_between
from gamestream_dagster.flink_jobs.control.manager import apply_job
from gamestream_dagster.security.evaluation import Evaluator, Found
from gamestream_dagster.security.shipping import ship_file
from gamestream_dagster.security.sigma import load_rules
from gamestream_dagster.security.simulation import VICTIM, LabelledLine, LogOptions, labelled_lines
from gamestream_dagster.settings import Settings
from tests.support.log_records import records
from tests.support.world import World, provision

JOB, TOPIC, ATTACKS = "security_v1", "logs", "ssh-attacks"
LABELLED = 1_500
GENERATED = int(os.environ.get("GAMESTREAM_TEST_LOG_RECORDS", "4000"))
"""Records on which SQL and Python are compared; set it to 20000 for the whole comparison."""
DAY_MS = 86_400_000
SETTLE_SECONDS = 120


@dataclass(frozen=True)
class Seen:
    """What tables and topic held."""

    tries: dict[tuple[int, str], tuple[int, int, int, str]]
    attacks: dict[tuple[int, str, str, str], int]
    by_host: dict[tuple[int, str, str, str], int]
    detected: list[dict[str, Any]]


class Watch:
    """The deployed job, and the labelled log that it has read."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        provision(settings)
        # dated back, so that no line is from the future
        options = LogOptions(seed=11, start_ms=int(time.time() * 1000) - 2 * DAY_MS, lines=LABELLED)
        self.lines = list(labelled_lines(options))
        self.log = settings.home / "auth.log"
        self.ship(self.lines)
        self.job_id = apply_job(settings, JOB).flink_job_id
        self.settle()
        self.labelled = Seen(self.tries(), self.attacks(), self.by_host(), self.detected())
        self.shipped_again = ship_file(settings, self.log).lines
        more = list(labelled_lines(LogOptions(seed=12, start_ms=int(time.time() * 1000) - DAY_MS, lines=100)))
        self.ship(more)
        self.send([*records(21, GENERATED), (b"gate-1", b'{"timestamp": 1790000000, "log": "no log line \\u0000"}')])
        self.settle()

    def ship(self, lines: list[LabelledLine]) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            log.writelines(f"{line.text}\n" for line in lines)
        assert ship_file(self.settings, self.log).lines == len(lines)

    def send(self, values: list[tuple[bytes, bytes]]) -> None:
        with ScoreProducer(self.settings.kafka, TOPIC) as producer:
            for key, value in values:
                producer.send(key, value)

    def settle(self) -> None:
        """Checkpoints until every record is counted, then one more: it flushes the other sinks."""
        wanted = sum(KafkaAdmin(self.settings.kafka).end_offsets(TOPIC).values())
        deadline = time.monotonic() + SETTLE_SECONDS
        while (done := self.rows("SELECT coalesce(sum(lines), 0)::bigint AS n FROM log_lines_1min")[0]["n"]) < wanted:
            assert time.monotonic() < deadline, f"{done} of {wanted} lines after {SETTLE_SECONDS} s"
            self.checkpoint()
        assert done == wanted
        self.checkpoint()

    def checkpoint(self) -> None:
        with FlinkRest(self.settings.flink_rest) as flink, suppress(ServiceError):
            flink.checkpoint_now(self.job_id, 30)

    def rows(self, query: str) -> list[dict[str, Any]]:
        with open_engine(self.settings) as engine, engine.connect() as database:
            return [dict(row) for row in database.execute(text(query)).mappings()]

    def tries(self) -> dict[tuple[int, str], tuple[int, int, int, str]]:
        found = self.rows(
            "SELECT (extract(epoch FROM day) * 1000)::bigint AS day, source, attempts, failed, succeeded, country "
            "FROM attempts_by_source"
        )
        return {
            (row["day"], row["source"]): (row["attempts"], row["failed"], row["succeeded"], row["country"])
            for row in found
        }

    def attacks(self) -> dict[tuple[int, str, str, str], int]:
        found = self.rows(
            "SELECT (extract(epoch FROM day) * 1000)::bigint AS day, rule, host, source, attempts FROM attacks"
        )
        return {(row["day"], row["rule"], row["host"], row["source"]): row["attempts"] for row in found}

    def by_host(self) -> dict[tuple[int, str, str, str], int]:
        found = self.rows(
            "SELECT (extract(epoch FROM day) * 1000)::bigint AS day, host, rule, country, repeat_count "
            "FROM attacks_by_host"
        )
        return {(row["day"], row["host"], row["rule"], row["country"]): row["repeat_count"] for row in found}

    def evaluated(self) -> tuple[Found, GeoTable]:
        """What the Python evaluator finds in the records that Kafka holds."""
        geo = GeoTable(PACKAGED / GEO_FILE)
        evaluator = Evaluator(load_rules(), geo.country_of)
        ends = KafkaAdmin(self.settings.kafka).end_offsets(TOPIC)
        held = sorted(
            records_between(self.settings.kafka, TOPIC, dict.fromkeys(ends, 0), ends), key=lambda record: record.offset
        )
        for record in held:
            evaluator.feed(record.value, record.timestamp)
        return evaluator.found, geo

    def detected(self) -> list[dict[str, Any]]:
        """The records of the topic with detections."""
        ends = KafkaAdmin(self.settings.kafka).end_offsets(ATTACKS, read_committed=True)
        found = records_between(self.settings.kafka, ATTACKS, dict.fromkeys(ends, 0), ends)
        return [orjson.loads(record.value or b"") for record in found]


@pytest.fixture(scope="module")
def watch(world: World) -> Watch:
    return world.hold("security_logs", Watch)


def test_the_log_is_its_only_source(watch: Watch) -> None:
    """A source of constant rows ends at once, and its join keeps every line."""
    with FlinkRest(watch.settings.flink_rest) as flink:
        vertices = flink.job(watch.job_id).vertices
    assert [one.name.partition("default_database.")[2].split()[0] for one in vertices if one.is_source] == ["log_lines"]
    assert not any("Join" in one.name for one in vertices)


def test_every_attack_is_found_and_no_innocent_accused(watch: Watch) -> None:
    expected = {(rule, line.host, line.source) for line in watch.lines for rule in line.rules}
    assert {(rule, host, source) for _, rule, host, source in watch.labelled.attacks} == expected
    assert {rule for rule, _, _ in expected} == {"ssh_brute_force", "ssh_invalid_user", "ssh_success_after_failures"}
    assert VICTIM not in {source for _, source in watch.labelled.tries}


def test_tries_are_counted_and_not_lines(watch: Watch) -> None:
    expected, found = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for line in watch.lines:
        expected["failed", line.source or ""] += line.failed
        expected["succeeded", line.source or ""] += line.succeeded
    for (_, source), (attempts, failed, succeeded, _) in watch.labelled.tries.items():
        assert attempts == failed + succeeded
        found["failed", source] += failed
        found["succeeded", source] += succeeded
    assert +found == +expected


def test_detections_name_their_line_and_neither_user_nor_message(watch: Watch) -> None:
    detected = watch.labelled.detected
    assert sum(one["attempts"] for one in detected) == sum(watch.labelled.attacks.values())
    assert sum(watch.labelled.by_host.values()) == sum(watch.labelled.attacks.values())
    for one in detected:
        line = watch.lines[one["log_offset"]]
        assert (one["remote_address"], one["host"], one["facility"]) == (line.source, line.host, "Attack user")
        assert one["rule"] in line.rules
        assert set(one) <= {
            "log_timestamp", "host", "facility", "remote_address", "country", "rule", "level", "attempts",
            "log_partition", "log_offset",
        }  # fmt: skip


def test_a_log_goes_on_where_it_stopped(watch: Watch) -> None:
    assert watch.shipped_again == 0


def test_sql_and_python_agree_on_generated_records(watch: Watch) -> None:
    found, geo = watch.evaluated()
    assert watch.tries() == {
        key: (one.failed + one.succeeded, one.failed, one.succeeded, geo.country_of(key[1]))
        for key, one in found.tries.items()
        if one.failed + one.succeeded
    }
    attacks: Counter[tuple[int, str, str, str]] = Counter()
    by_host: Counter[tuple[int, str, str, str]] = Counter()
    for one in found.detections:
        day = one.millis - one.millis % DAY_MS
        attacks[day, one.rule, one.host, one.source] += one.weight
        by_host[day, one.host, one.rule, geo.country_of(one.source)] += one.weight
    assert watch.attacks() == dict(attacks)
    assert watch.by_host() == dict(by_host)
    minutes = watch.rows("SELECT sum(lines)::int AS lines, sum(unread)::int AS unread FROM log_lines_1min")
    assert minutes == [{"lines": found.lines, "unread": found.unread}]
