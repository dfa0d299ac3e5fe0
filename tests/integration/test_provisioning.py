"""Provisioning on the real Kafka, registry and Postgres: create, do nothing twice, find drift, ask before deleting."""

from __future__ import annotations

import json
import shutil
import socket
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from alembic import command
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)
from confluent_kafka.cimpl import Producer
from sqlalchemy import Engine, text

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR, load_boards
from gamestream_dagster.catalogue.sources import load_sources
from gamestream_dagster.catalogue.topics import Topic
from gamestream_dagster.clients.errors import NotFoundError, TerminalServiceError, TransientServiceError
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import engine
from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.provisioning import tables
from gamestream_dagster.provisioning.manager import Providers, apply_steps, ensure, observe_all
from gamestream_dagster.provisioning.model import Outcome, ResourceKind, ResourceState, ResourceStatus, make_plan
from gamestream_dagster.provisioning.specs import load_subjects
from gamestream_dagster.provisioning.subjects import Subject, SubjectProvider
from gamestream_dagster.provisioning.tables import MigrationProvider, TableProvider
from gamestream_dagster.provisioning.topics import TopicProvider
from gamestream_dagster.reconciliation.results.store import last_judged
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse import migrate
from gamestream_dagster.warehouse.described_tables import load_metadata
from gamestream_dagster.warehouse.drift import find_drift
from gamestream_dagster.warehouse.tables import SYSTEM_TABLES
from tests.support import cli
from tests.support.cli import Ended


@dataclass(frozen=True)
class Own:
    """A database, topics and a subject of this test alone, on the session's servers."""

    settings: Settings
    engine: Engine
    admin: KafkaAdmin
    registry: Registry
    topics: dict[str, Topic]
    subject: str
    providers: Providers

    def state(self, kind: ResourceKind, name: str) -> ResourceStatus:
        [status] = self.providers[kind].observe([name])
        return status

    def sql(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))


@pytest.fixture
def own(stack: Settings) -> Iterator[Own]:
    tag = uuid.uuid4().hex[:8]
    database = f"own_{tag}"
    admin_engine = engine(stack, "postgres").execution_options(isolation_level="AUTOCOMMIT")
    with admin_engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {database}"))
    settings = stack.model_copy(
        update={"postgres_database": database, "origins": {**stack.origins, "postgres_database": "argument"}}
    )
    config = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}
    topics = {
        name: Topic(name=name, partitions=count, config=config, key="k", description="d", owner="team:games")
        for name, count in ((f"own-a-{tag}", 2), (f"own-b-{tag}", 1))
    }
    event = load_subjects()["user-score-value"]
    subject = Subject(f"own-{tag}-value", event.schema, event.reader, "own")
    admin = KafkaAdmin(stack.kafka)
    with ExitStack() as cleanup:
        database_engine = engine(settings)
        registry = cleanup.enter_context(Registry(stack.registry))
        providers: Providers = {
            ResourceKind.MIGRATION: MigrationProvider(database_engine),
            ResourceKind.TABLE: TableProvider(load_metadata(), database_engine),
            ResourceKind.TOPIC: TopicProvider(topics, admin),
            ResourceKind.SUBJECT: SubjectProvider({subject.name: subject}, registry),
        }
        yield Own(settings, database_engine, admin, registry, topics, subject.name, providers)
        database_engine.dispose()
        for name in set(topics) & admin.topics():
            admin.delete(name)
        if registry.versions(subject.name):
            registry.delete(subject.name)
    with admin_engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {database} WITH (FORCE)"))
    admin_engine.dispose()


def gamestream(own: Own, *arguments: str, answer: str = "", **environment: str) -> Ended:
    """Run the command on the stack's servers and the test's database."""
    where = {"GAMESTREAM_POSTGRES_DATABASE": own.settings.postgres_database, **environment}
    port = str(own.settings.port_base)
    return cli.gamestream(own.settings, *arguments, "--port-base", port, answer=answer, **where)


def set_topic_config(admin: KafkaAdmin, topic: str, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    [future] = admin.native.incremental_alter_configs([resource]).values()
    future.result(timeout=20)


def test_apply_creates_everything_and_a_second_apply_does_nothing(own: Own):
    plan = make_plan(observe_all(own.providers))
    assert {status.state for status in plan.statuses} == {ResourceState.MISSING}
    results = apply_steps(own.providers, plan)
    assert [result.error for result in results if result.outcome is Outcome.FAILED] == []

    again = make_plan(observe_all(own.providers))
    assert (again.steps, again.exit_code) == ((), 0)
    for name, topic in own.topics.items():
        described = own.admin.describe(name)
        assert described is not None
        assert described.partitions == topic.partitions
        assert described.config["cleanup.policy"] == "compact"
    found = own.registry.latest(own.subject)
    assert found is not None
    assert own.registry.schema_by_id(found.schema_id) == found.schema


def test_migrated_database_is_what_the_metadata_says(own: Own):
    done = migrate.upgrade(own.engine)
    assert set(done.tables) == set(load_metadata().tables)
    assert migrate.upgrade(own.engine) == migrate.Upgrade((), ())
    assert migrate.pending(own.engine) == ()
    with own.engine.connect() as connection:
        assert find_drift(connection, load_metadata()) == {}


def test_migrations_alone_make_all_system_tables(own: Own):
    own.providers[ResourceKind.MIGRATION].create("0001")
    with own.engine.connect() as connection:
        assert migrate.existing_tables(connection) == {*SYSTEM_TABLES, migrate.VERSION_TABLE}


FORMER_ROWS = (
    "INSERT INTO deployments (deployment_id, job, generation, fingerprint, state, spec) VALUES "
    """('a-1', 'arena_v1', 1, 'f', 'RUNNING', '{"reads": ["arena-score"]}'), """
    "('o-1', 'old_v1', 1, 'f', 'PARKED', NULL)",
    "INSERT INTO job_ledger (job, partition_id, minute_millis, records, last_offset) VALUES "
    "('arena_v1', 0, -1, 7, 6), ('old_v1', 0, -1, 3, 2), ('unknown_v1', 1, 60000, 1, 0)",
    "INSERT INTO reconciliation_runs (run_id, started_at, mode, verdict, topic_id, low_cut, high_cut, archive_head, "
    """ledger) VALUES ('r1', now(), 'bracket', 'MATCH', 'id', '{"old_v1": {"0": 3}}', '{"0": 3}', 'head', """
    """'{"topic": "user-score", "records": 3}'), ('r2', now(), 'bracket', 'COULD_NOT_RUN', NULL, NULL, NULL, NULL, """
    "NULL)",
)


def test_ledgers_and_runs_of_an_earlier_version_get_their_topics(own: Own):
    with own.engine.begin() as connection:
        config = migrate._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
    own.sql(*FORMER_ROWS)
    migrate.upgrade(own.engine)
    with own.engine.connect() as connection:
        told = connection.execute(text("SELECT job, topic, minute_millis, records FROM job_ledger ORDER BY job")).all()
        runs = connection.execute(text("SELECT run_id, topic, low_cut, ledger FROM reconciliation_topics ORDER BY 1"))
        assert [tuple(row) for row in told] == [
            ("arena_v1", "arena-score", -1, 7),
            ("old_v1", "user-score", -1, 3),
            ("unknown_v1", "user-score", 60000, 1),
        ]
        assert [tuple(row) for row in runs] == [
            ("r1", "user-score", {"old_v1": {"0": 3}}, {"topic": "user-score", "records": 3}),
            ("r2", "user-score", None, None),
        ]
        assert find_drift(connection, load_metadata()) == {}
    assert last_judged(own.engine, "user-score", "id")[::2] == ("r1", "head")
    # what a job upserts by, in the part of its topic
    upsert = (
        "INSERT INTO job_ledger_user_score (job, partition_id, minute_millis, records) VALUES ('old_v1', 0, -1, 4) "
    )
    own.sql(upsert + "ON CONFLICT (job, partition_id, minute_millis) DO UPDATE SET records = EXCLUDED.records")
    with own.engine.connect() as connection:
        query = text("SELECT topic, records FROM job_ledger WHERE job = 'old_v1'")
        assert [tuple(row) for row in connection.execute(query)] == [("user-score", 4)]
    with own.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
        assert connection.execute(text("SELECT topic_id FROM reconciliation_runs WHERE run_id = 'r1'")).scalar() == "id"
        assert connection.execute(text("SELECT count(*) FROM job_ledger")).scalar() == 2


def test_a_new_stream_gets_its_part_of_the_ledger(own: Own, monkeypatch: pytest.MonkeyPatch):
    migrate.upgrade(own.engine)
    assert own.state(ResourceKind.TABLE, "job_ledger").state is ResourceState.PRESENT
    sources = {**load_sources(), "arena-score": load_sources()["user-score"]}
    for module in (migrate, tables):
        monkeypatch.setattr(module, "load_sources", lambda: sources)
    status = own.state(ResourceKind.TABLE, "job_ledger")
    assert (status.state, status.change) == (ResourceState.MISSING, "create the parts of arena-score")
    assert ensure(own.providers[ResourceKind.TABLE], "job_ledger").created
    own.sql("INSERT INTO job_ledger (job, topic, partition_id, minute_millis) VALUES ('j', 'arena-score', 0, 0)")
    assert own.state(ResourceKind.TABLE, "job_ledger").state is ResourceState.PRESENT


def test_new_board_folder_becomes_a_table_without_a_migration(own: Own, tmp_path: Path):
    migrate.upgrade(own.engine)
    old = next(FLINK_SQL_DIR.glob("*/outputs/*"))
    copy = tmp_path / old.parents[1].name / "outputs" / "new_board"
    shutil.copytree(old, copy)
    metadata = load_metadata({**load_boards(), **load_boards(tmp_path)})
    provider = TableProvider(metadata, own.engine)
    assert provider.observe(["new_board"])[0].state is ResourceState.MISSING
    assert ensure(provider, "new_board").created
    assert {status.state for status in provider.observe(provider.names())} == {ResourceState.PRESENT}
    assert migrate.pending(own.engine) == ()


def test_many_at_once_create_each_table_once(own: Own):
    names = own.providers[ResourceKind.TABLE].names()[:6]

    def one(name: str) -> ResourceStatus:
        with_own_engine = engine(own.settings)
        try:
            return ensure(TableProvider(load_metadata(), with_own_engine), name)
        finally:
            with_own_engine.dispose()

    with ThreadPoolExecutor(6) as pool:
        assert {status.state for status in pool.map(one, names)} == {ResourceState.PRESENT}


def test_altered_tables_are_drift_and_apply_leaves_them(own: Own):
    migrate.upgrade(own.engine)
    board = load_boards()["hot_streaks"]
    key = next(iter(board.entity))
    own.sql(
        f"ALTER TABLE {board.name} ALTER COLUMN {key} TYPE varchar(9)",
        f"ALTER TABLE {board.name} DROP CONSTRAINT pk_{board.name}",
        "ALTER TABLE ledger ADD COLUMN note text",
        "ALTER TABLE alerts ALTER COLUMN summary DROP NOT NULL",
        "CREATE INDEX mine ON ledger (minute)",
        "CREATE TABLE somebody_elses (a int)",
    )
    plan = make_plan(observe_all({ResourceKind.TABLE: own.providers[ResourceKind.TABLE]}))
    drifted = {status.name: status.details for status in plan.having(ResourceState.DRIFTED)}
    assert drifted == {
        board.name: (f"column {key} is varchar(9), should be text", "primary key is missing, should be (rnk)"),
        "ledger": ("column note text is not in the definition",),
        "alerts": ("column summary may be null, should not",),
    }
    assert (plan.steps, plan.exit_code) == ((), 1)
    assert apply_steps(own.providers, plan) == []


def test_altered_topic_is_drift_and_apply_leaves_it(own: Own):
    name = next(iter(own.topics))
    ensure(own.providers[ResourceKind.TOPIC], name)
    [future] = own.admin.native.create_partitions([NewPartitions(name, 3)]).values()
    future.result(timeout=20)
    set_topic_config(own.admin, name, "cleanup.policy", "delete")
    status = ensure(own.providers[ResourceKind.TOPIC], name)
    assert (status.state, status.created) == (ResourceState.DRIFTED, False)
    assert status.details == ("has 3 partitions, should have 2", "cleanup.policy is delete, should be compact")
    described = own.admin.describe(name)
    assert described is not None
    assert described.partitions == 3


def test_incompatible_schema_is_drift_and_is_not_registered_over(own: Own):
    own.registry.register(own.subject, {"type": "record", "name": "Other", "fields": [{"name": "x", "type": "int"}]})
    status = ensure(own.providers[ResourceKind.SUBJECT], own.subject)
    assert (status.state, status.created) == (ResourceState.DRIFTED, False)
    assert "field user_id is missing, should be string" in status.details
    assert own.registry.versions(own.subject) == [1]


def test_another_generators_schema_before_or_after_ours_is_fine(own: Own):
    event = load_subjects()["user-score-value"]
    fields = [field for field in event.schema["fields"] if field["name"] != "event_id"]
    theirs = {**event.schema, "fields": fields}
    assert ensure(own.providers[ResourceKind.SUBJECT], own.subject).created
    own.registry.register(own.subject, theirs)  # ours was there first
    assert own.registry.is_compatible(own.subject, event.schema)
    assert own.state(ResourceKind.SUBJECT, own.subject).state is ResourceState.PRESENT
    own.registry.delete(own.subject)
    own.registry.register(own.subject, theirs)  # theirs was there first
    status = ensure(own.providers[ResourceKind.SUBJECT], own.subject)
    assert (status.state, status.created) == (ResourceState.PRESENT, False)
    assert own.registry.versions(own.subject) == [1]


def test_offsets_and_records_of_a_topic(own: Own):
    name = next(iter(own.topics))
    ensure(own.providers[ResourceKind.TOPIC], name)
    producer = Producer(own.settings.kafka.options())
    for number in range(5):
        producer.produce(name, key=b"k", value=b"v", partition=number % 2)
    assert producer.flush(20) == 0
    assert own.admin.beginning_offsets(name) == {0: 0, 1: 0}
    assert own.admin.end_offsets(name) == {0: 3, 1: 2}
    assert own.admin.committed("nobody", name) == {}
    assert own.providers[ResourceKind.TOPIC].holdings(name) == "5 records in 2 partitions"
    with pytest.raises(NotFoundError, match="there is no topic"):
        own.admin.end_offsets("own-nothing")


def test_referenced_table_is_not_dropped(own: Own):
    migrate.upgrade(own.engine)
    with pytest.raises(TerminalServiceError, match="delete first what depends on it"):
        own.providers[ResourceKind.TABLE].delete("reconciliation_runs")
    assert own.state(ResourceKind.TABLE, "reconciliation_runs").state is ResourceState.PRESENT


def test_locked_table_ends_in_a_sentence_instead_of_a_hang(own: Own):
    migrate.upgrade(own.engine)
    impatient = engine(own.settings, statement_timeout_seconds=1)
    with own.engine.begin() as holder:
        holder.execute(text("LOCK TABLE alerts IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(TransientServiceError, match="it took longer than the limit"):
            TableProvider(load_metadata(), impatient).holdings("alerts")
    impatient.dispose()


def _only(kinds: Sequence[str]) -> list[str]:
    return [part for kind in kinds for part in ("--only", kind)]


def test_plan_apply_delete_from_the_terminal(own: Own):
    tables = _only(["migration", "table"])
    before = gamestream(own, "plan", "--json", *tables)
    assert before.returncode == 1, before.stderr
    assert json.loads(before.stdout)["counts"]["PRESENT"] == 0

    applied = gamestream(own, "apply", *tables)
    assert applied.returncode == 0, applied.stderr
    assert "MISSING=0" in applied.stderr
    assert gamestream(own, "plan", *tables).returncode == 0

    own.sql("INSERT INTO job_ledger (job, topic, partition_id, minute_millis) VALUES ('j', 'user-score', 0, 0)")
    asked = gamestream(own, "delete", "table", "job_ledger", answer="n\n")
    assert asked.returncode == 1
    assert "Delete table job_ledger with 1 row?" in asked.stderr
    unanswered = gamestream(own, "delete", "table", "job_ledger")
    assert unanswered.returncode == 1
    assert own.state(ResourceKind.TABLE, "job_ledger").state is ResourceState.PRESENT

    assert gamestream(own, "delete", "table", "job_ledger", answer="y\n").returncode == 0
    assert own.state(ResourceKind.TABLE, "job_ledger").state is ResourceState.MISSING
    again = gamestream(own, "delete", "table", "job_ledger", "--yes")
    assert (again.returncode, "nothing to delete" in again.stderr) == (0, True)
    assert gamestream(own, "plan", *tables).returncode == 1
    assert gamestream(own, "delete", "table", "nonsense", "--yes").returncode == 2


def test_registry_down_is_unknown_and_exit_2(own: Own):
    migrate.upgrade(own.engine)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{held.getsockname()[1]}/apis/ccompat/v7"
    kinds = _only(["table", "subject"])
    found = gamestream(own, "plan", "--json", *kinds, GAMESTREAM_REGISTRY_URL=nowhere)
    assert found.returncode == 2, found.stderr
    answer = json.loads(found.stdout)
    by_kind = {resource["kind"]: resource for resource in answer["resources"]}
    assert by_kind["subject"]["status"] == "UNKNOWN"
    assert "nothing listens" in by_kind["subject"]["details"][0]
    assert by_kind["table"]["status"] == "PRESENT"


def test_wrong_password_is_one_sentence_without_it(own: Own):
    found = gamestream(own, "plan", *_only(["table"]), GAMESTREAM_POSTGRES_PASSWORD="canary-password")
    assert found.returncode == 2
    assert "password refused" in found.stdout
    assert "canary-password" not in found.stdout + found.stderr
    assert "Traceback" not in found.stderr
