"""Covers Kafka with TLS and SASL/SCRAM: provisioning, producing, a Flink job that reads and writes, the archive; and
that the password shows nowhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from sqlalchemy import text

from gamestream_dagster.archive.writer import archive_topic
from gamestream_dagster.clients.errors import TerminalServiceError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.kafka_records import read_range
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.events.feed import replay_into
from gamestream_dagster.flink_jobs.control import manager
from gamestream_dagster.provisioning import manager as provisioning
from gamestream_dagster.provisioning.model import ResourceKind
from gamestream_dagster.settings import Settings, load_settings
from tests.support.fakes.streams import SCORES
from tests.support.secured_kafka import USER, secured_kafka, wait_for_broker
from tests.support.small_job import Game, new_game, wait_for

CANARY = f"canary'{uuid.uuid4().hex[:12]}"
_COMMAND = "from gamestream_dagster.cli.main import main; main()"
PART = CANARY.partition("'")[2]  # however its quote is written


@pytest.fixture(scope="module")
def secured(
    stack: Settings, free_port_base: Callable[[], int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """The stack's servers, with Kafka by TLS and login in the place of its own broker."""
    own = load_settings(tmp_path_factory.mktemp("secured") / "home", port_base=free_port_base())
    with secured_kafka(own, CANARY) as ca:
        settings = stack.model_copy(update={**_login(own, ca), "home": stack.home})
        wait_for_broker(settings)
        yield settings


def _login(own: Settings, ca: Path) -> dict[str, object]:
    asked = {
        "kafka_bootstrap": own.kafka.bootstrap,
        "kafka_security_protocol": "SASL_SSL",
        "kafka_user": USER,
        "kafka_password": CANARY,
        "kafka_ca_file": ca,
    }
    made = load_settings(own.home, **asked)
    return {name: getattr(made, name) for name in asked}


def environment(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "GAMESTREAM_KAFKA_BOOTSTRAP": settings.kafka.bootstrap,
        "GAMESTREAM_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "GAMESTREAM_KAFKA_USER": USER,
        "GAMESTREAM_KAFKA_PASSWORD": CANARY,
        "GAMESTREAM_KAFKA_CA_FILE": str(settings.kafka_ca_file),
    }


@pytest.fixture(scope="module")
def game(secured: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Game]:
    """A job that reads its topic and writes a table and a compacted topic."""
    made = new_game(secured, tmp_path_factory.mktemp("jobs"))
    made.write_job(limits={"start_seconds": 240, "checkpoint_seconds": 240, "stop_seconds": 120})
    KafkaAdmin(secured.kafka).create(f"{made.topic}-totals", 1)
    made.write_output(kafka={"topic": f"{made.topic}-totals", "delivery": "at-least-once"})
    yield made
    made.end()


def test_topics_are_provisioned_and_events_sent_and_archived(secured: Settings):
    kinds = (ResourceKind.TOPIC,)
    assert all(not done.error for done in provisioning.apply(secured, provisioning.plan(secured, kinds)))
    assert not provisioning.plan(secured, kinds).steps
    replay_into(secured, "nba")
    topic = SCORES.topic
    archived = archive_topic(secured.model_copy(update={"home": secured.kafka_ca_file.parent / "home"}), SCORES)
    assert archived.records == sum(KafkaAdmin(secured.kafka).end_offsets(topic).values()) > 0


def test_a_flink_job_reads_and_writes_and_no_record_of_it_holds_the_password(secured: Settings, game: Game):
    shown = [repr(manager.plan_job(secured, game.name, root=game.root))]
    game.send(40)
    shown.append(repr(asdict(game.apply())))
    game.expect_totals()
    topic, admin = f"{game.topic}-totals", KafkaAdmin(secured.kafka)
    wait_for("the compacted topic", lambda: sum(admin.end_offsets(topic).values()) >= len(game.sent))
    assert sum(len(chunk.raw) for chunk in read_range(secured.kafka, topic, {}, admin.end_offsets(topic)))
    with open_engine(secured) as engine, engine.connect() as database:
        for table in ("deployments", "incidents", "alerts"):
            shown += map(str, database.execute(text(f"SELECT t::text FROM {table} t")).scalars())
    command = [sys.executable, "-c", _COMMAND, "jobs", "show", game.name]
    command += ["--home", str(secured.home), "--folder", str(game.root)]
    for more in ((), ("--json",), ("--sql",)):
        done = subprocess.run([*command, *more], capture_output=True, text=True, env=environment(secured), check=True)
        shown.append(done.stdout + done.stderr)
    assert game.name in shown[-1]
    assert not [one for one in shown if PART in one]


def test_sql_that_flink_refuses_is_told_without_the_password(secured: Settings, tmp_path: Path):
    game = new_game(secured, tmp_path)
    source = tmp_path / "_sources" / "scores.sql"
    source.write_text(source.read_text().replace("'connector' = 'kafka'", "'connector' = 'kafka', 'no.such' = 'x'"))
    with pytest.raises(GamestreamError) as caught:
        game.apply()
    said = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__cause__.__cause__!r}"
    assert "no.such" in said
    assert PART not in said


def test_a_wrong_password_and_an_unknown_ca_are_told_and_not_repeated(secured: Settings):
    wrong = secured.model_copy(update={"kafka_user": "somebody"})
    strangers = secured.model_copy(update={"kafka_ca_file": None})
    for settings in (wrong, strangers):
        with pytest.raises(TerminalServiceError, match=r"does not take the connection .*kafka_user") as caught:
            KafkaAdmin(settings.kafka, timeout_seconds=3).topics()
        assert PART not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_no_file_of_the_stack_holds_the_password(secured: Settings, game: Game):
    """Last: logs of the servers, run files, checkpoints and reports of all that the tests above did."""
    game.apply()
    kept = [secured.home / name for name in ("logs", "run", "flink", "reports", "archive")]
    files = [path for folder in kept for path in folder.rglob("*") if path.is_file()]
    assert any("taskmanager" in path.name for path in files)
    assert not [path for path in files if PART.encode() in path.read_bytes()]
