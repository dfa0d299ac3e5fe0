"""A topic deleted and created again under one name, retention before archiving, and forged archive files.

Each piece of advice is followed to a match.
"""

from __future__ import annotations

import json
import os
import re
import time

import orjson
import pytest
from confluent_kafka import Producer, TopicPartition
from sqlalchemy import text
from typer.testing import CliRunner, Result

from gamestream_dagster.archive.manifest import Manifest
from gamestream_dagster.archive.manifest_file import load_manifest, save_manifest
from gamestream_dagster.cli.main import build
from gamestream_dagster.cli.options import CouldNotRun
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.flink_jobs.control.manager import apply_job, observe_job, resume_job, suspend_job
from gamestream_dagster.flink_jobs.errors import ParkedError
from gamestream_dagster.flink_jobs.plan.model import Choice
from gamestream_dagster.flink_jobs.record.deployment_store import PostgresDeploymentStore
from gamestream_dagster.flink_jobs.record.observed import Health
from gamestream_dagster.reconciliation.model.proof import ReconciliationRun
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Settings
from tests.support.fakes.streams import SCORE_TOPIC
from tests.support.world import board_jobs, drain

pytestmark = pytest.mark.leaves_traces

TOP = 900_000


def invoke(settings: Settings, *arguments: str) -> Result:
    port = str(settings.port_base)
    return CliRunner().invoke(build(), [*arguments, "--home", str(settings.home), "--port-base", port])


def recreate(settings: Settings) -> None:
    admin = KafkaAdmin(settings.kafka)
    before = admin.describe(SCORE_TOPIC)
    assert before is not None
    admin.delete(SCORE_TOPIC)
    kept = {name: before.config[name] for name in ("retention.ms", "cleanup.policy", "message.timestamp.type")}
    admin.create(SCORE_TOPIC, before.partitions, kept)


def send(settings: Settings, count: int, partitions: tuple[int, ...], prefix: str, score: int = 3) -> None:
    producer = Producer(settings.kafka.options({"linger.ms": 5}))
    now = int(time.time() * 1000)
    for number in range(count):
        event = {
            "user_id": f"{prefix}{number % 40}",
            "team_id": f"{prefix}team",
            "team_name": "Anew",
            "score": score,
            "event_time_millis": now,
            "event_id": f"{prefix}-{number}",
        }
        producer.produce(SCORE_TOPIC, orjson.dumps(event), partition=partitions[number % len(partitions)])
        producer.poll(0)
    assert producer.flush(30) == 0


def replay_jobs(settings: Settings) -> None:
    for job in board_jobs():
        apply_job(settings, job, Choice.REPLAY)
    drain(settings)


def drained(settings: Settings) -> ReconciliationRun:
    return reconcile(settings, "drained")


@pytest.fixture(scope="module")
def certificate(boards, tmp_path_factory) -> str:
    """A certificate of before everything below."""
    boards.drain()
    file = tmp_path_factory.mktemp("certificates") / "before.json"
    made = invoke(boards.settings, "certificate", "make", "--board", "top_players", "--out", str(file))
    assert made.exit_code == 0, made.output
    return str(file)


def test_a_topic_recreated_while_the_jobs_are_suspended_is_never_a_match(boards, certificate):
    """Longer than the old one, so that no offset lies behind its end; the top score is in no state."""
    settings = boards.settings
    before = KafkaAdmin(settings.kafka).topic_id(SCORE_TOPIC)
    for job in board_jobs():
        suspend_job(settings, job)
    ends = KafkaAdmin(settings.kafka).end_offsets(SCORE_TOPIC)
    recreate(settings)
    after = KafkaAdmin(settings.kafka).topic_id(SCORE_TOPIC)
    assert before != after
    send(settings, 1, (0,), "champion", TOP)
    send(settings, 3 * (max(ends.values()) + 50), (0, 1, 2), "anew")
    for job in board_jobs():
        with pytest.raises(ParkedError, match=re.escape(f"{before}, Kafka has {after}")):
            resume_job(settings, job)
        assert observe_job(settings, job).other_topics
    listed = invoke(settings, "jobs", "list")
    assert "HEALTHY" not in listed.stdout
    assert "was deleted and created again" in listed.output
    assert drained(settings).verdict is Verdict.COULD_NOT_RUN
    replay_jobs(settings)
    run = drained(settings)
    assert run.verdict is Verdict.MATCH, run.reason
    assert run.only.topic_id == after
    assert boards.rows("top_players")[0]["user_id"] == "champion0"
    manifest = load_manifest(settings.archive_dir / SCORE_TOPIC)
    assert [chapter.topic_id for chapter in manifest.chapters][-2:] == [before, after]
    verified = invoke(settings, "certificate", "verify", certificate)
    assert verified.exit_code == 0, verified.output


def test_a_topic_recreated_under_running_jobs_is_seen_and_the_advice_works(boards, certificate):
    """Shorter than the old one, and partition 0 stays empty."""
    settings = boards.settings
    before = KafkaAdmin(settings.kafka).topic_id(SCORE_TOPIC)
    assert drained(settings).verdict is Verdict.MATCH
    recreate(settings)
    after = KafkaAdmin(settings.kafka).topic_id(SCORE_TOPIC)
    send(settings, 400, (1, 2), "second")
    for job in board_jobs():
        seen = observe_job(settings, job)
        assert seen.health in {Health.TOPIC_RECREATED, Health.NOT_LIVE}
        with pytest.raises(ParkedError, match=f"apply {job} --replay"):
            apply_job(settings, job)
    assert "HEALTHY" not in invoke(settings, "jobs", "list").stdout
    run = reconcile(settings)
    assert run.verdict is Verdict.COULD_NOT_RUN
    assert str(before) in run.reason
    assert str(after) in run.reason
    assert "--replay" in run.reason
    why = invoke(settings, "why", "player:second1", "--board", "top_players")
    assert isinstance(why.exception, CouldNotRun)
    assert "was deleted and created again" in str(why.exception)
    mend = invoke(settings, "archive", "--mend")
    assert mend.exit_code == 0, mend.output
    manifest = load_manifest(settings.archive_dir / SCORE_TOPIC)
    assert manifest.current.topic_id == after
    assert manifest.archived_upto == {1: 200, 2: 200}
    replay_jobs(settings)
    run = drained(settings)
    assert run.verdict is Verdict.MATCH, run.reason
    assert {row["user_id"][:6] for row in boards.rows("top_players")} == {"second"}
    assert invoke(settings, "certificate", "verify", certificate).exit_code == 0


def test_an_archive_that_lost_its_beginning_begins_anew(boards, certificate):
    settings = boards.settings
    assert invoke(settings, "archive").exit_code == 0
    admin = KafkaAdmin(settings.kafka)
    first = admin.end_offsets(SCORE_TOPIC)[1]
    send(settings, 300, (0, 1, 2), "third")
    boards.drain()
    begins = first + 30
    [done] = admin.native.delete_records([TopicPartition(SCORE_TOPIC, 1, begins)]).values()
    done.result(20)
    run = reconcile(settings)
    assert run.verdict is Verdict.COULD_NOT_RUN
    assert f"p1@{first}..{begins - 1}" in run.reason
    assert "gamestream archive --begin-at earliest" in run.reason
    begun = invoke(settings, "archive", "--topic", SCORE_TOPIC, "--begin-at", "earliest", "--json")
    assert begun.exit_code == 0, begun.output
    chapter = json.loads(begun.stdout)["chapter"]
    assert chapter["begins"] == {"1": begins}
    assert [(one["first_offset"], one["next_offset"]) for one in chapter["lost"]] == [(first, begins)]
    run = reconcile(settings)
    assert run.verdict is Verdict.COULD_NOT_RUN
    assert f"begins at p1@{begins}" in run.reason
    assert "--replay" in run.reason
    planned = invoke(settings, "jobs", "plan", next(iter(board_jobs())), "--replay")
    assert f"user-score p1@0..{begins - 1} are no longer in Kafka" in planned.stdout.replace("\n", " ")
    replay_jobs(settings)
    run = drained(settings)
    assert run.verdict is Verdict.MATCH, run.reason
    assert run.only.holds_from == {1: begins}
    assert invoke(settings, "certificate", "verify", certificate).exit_code == 0


def test_a_forged_file_is_named_and_mended(boards, tmp_path):
    settings = boards.settings
    topic_dir = settings.archive_dir / SCORE_TOPIC
    file = tmp_path / "certificate.json"
    assert invoke(settings, "certificate", "make", "--board", "top_players", "--out", str(file)).exit_code == 0
    forged = load_manifest(topic_dir).files[0]
    path = topic_dir / forged.path
    kept, times = path.read_bytes(), path.stat()
    middle = len(kept) // 2
    path.write_bytes(kept[:middle] + bytes([kept[middle] ^ 1]) + kept[middle + 1 :])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    run = reconcile(settings)
    assert run.verdict is Verdict.COULD_NOT_RUN
    assert forged.path in run.reason
    player = boards.rows("top_players")[0]["user_id"]
    for command in (("why", f"player:{player}", "--board", "top_players"), ("certificate", "verify", str(file))):
        found = invoke(settings, *command)
        assert isinstance(found.exception, CouldNotRun)
        assert forged.path in str(found.exception)
    faulty = invoke(settings, "archive")
    assert faulty.exit_code == 1
    assert forged.path in faulty.output.replace("\n", "")
    mended = invoke(settings, "archive", "--mend")
    assert mended.exit_code == 0, mended.output
    assert drained(settings).verdict is Verdict.MATCH
    assert invoke(settings, "certificate", "verify", str(file)).exit_code == 0


def test_a_log_written_anew_as_a_whole_is_noticed(boards):
    """Each file with its right digest, each entry with the right one before: only what runs were judged by tells."""
    settings = boards.settings
    topic_dir = settings.archive_dir / SCORE_TOPIC
    assert drained(settings).verdict is Verdict.MATCH
    right = load_manifest(topic_dir)
    chapter = right.current.model_copy(update={"entries": ()})
    *others, last = right.files
    again = Manifest(topic=right.topic, chapters=right.chapters[:-1]).opened(chapter)
    save_manifest(topic_dir, again.extended(last, *others))
    run = reconcile(settings)
    assert run.verdict is Verdict.COULD_NOT_RUN
    assert "rewritten from outside" in run.reason
    save_manifest(topic_dir, right)
    assert drained(settings).verdict is Verdict.MATCH


def test_a_job_of_the_version_before_is_known_after_a_match(boards):
    """Its record has no topic id; its own counts and boards prove what its state is of."""
    settings, job = boards.settings, next(iter(board_jobs()))
    boards.drain()
    with open_engine(settings) as engine:
        with engine.begin() as database:
            database.execute(text("UPDATE deployments SET spec = spec - 'inputs' WHERE job = :job"), {"job": job})
        store = PostgresDeploymentStore(engine)
        record = store.last(job)
        assert record is not None
        assert record.inputs is None
        shown = invoke(settings, "jobs", "show", job)
        assert "not recorded (deployed by an earlier version" in shown.stdout.replace("\n", " ")
        holds_from = load_manifest(settings.archive_dir / SCORE_TOPIC).current.begins
        run = drained(settings)
        record = store.last(job)
        assert record is not None
        if holds_from:  # nobody knows where it began
            assert run.verdict is Verdict.COULD_NOT_RUN
            assert record.inputs is None
            apply_job(settings, job, Choice.REPLAY)
        else:
            assert run.verdict is Verdict.MATCH
            assert record.inputs is not None
            assert record.inputs[SCORE_TOPIC].topic_id == KafkaAdmin(settings.kafka).topic_id(SCORE_TOPIC)
