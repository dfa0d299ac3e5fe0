"""A job whose topic, table or subject is missing is not submitted."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.flink_jobs.control.applying import apply
from gamestream_dagster.flink_jobs.errors import PreflightError
from gamestream_dagster.flink_jobs.observe import needs
from gamestream_dagster.flink_jobs.observe.needs import missing, needs_of
from gamestream_dagster.flink_jobs.plan.model import Choice
from gamestream_dagster.flink_jobs.spec.catalogue import load_job, load_jobs
from gamestream_dagster.flink_jobs.target.targets import Target, target_for
from gamestream_dagster.settings import Season, Settings, TopicFormat
from gamestream_dagster.warehouse.described_tables import load_metadata
from gamestream_dagster.warehouse.ledger_parts import ledger_part
from tests.support.fakes.job_specs import target
from tests.support.fakes.job_world import World


class Stack:
    """What the servers of a stack hold."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.settings = Settings(home=tmp_path, postgres_password="x")  # type: ignore[arg-type]
        self.topics = {"user-score", *(board.topic for board in load_boards().values())}
        self.subjects = ["user-score-value"]
        self.engine = create_engine("sqlite://")
        with self.engine.begin() as connection:
            for table in load_metadata().tables.values():
                columns = ", ".join(f'"{column.name}" TEXT' for column in table.columns)
                name = ledger_part("user-score") if table.name == "job_ledger" else table.name
                connection.execute(text(f'CREATE TABLE "{name}" ({columns})'))
        monkeypatch.setattr(needs, "Registry", lambda _: self.registry())
        monkeypatch.setattr(needs, "open_engine", lambda _: self.opened())

    @contextmanager
    def opened(self):
        yield self.engine

    @contextmanager
    def registry(self):
        class Answers:
            subjects = lambda _: self.subjects  # noqa: E731

        yield Answers()

    def run(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement))

    def job(self, name: str = "leaderboards_v1") -> Target:
        return target_for(self.settings, load_job(name))


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stack:
    made = Stack(monkeypatch, tmp_path)
    monkeypatch.setattr(needs, "KafkaAdmin", lambda _: type("Admin", (), {"topics": lambda _: made.topics})())
    return made


def test_what_our_jobs_need(stack: Stack) -> None:
    for name, spec in load_jobs(season=Season.DAILY).items():
        wanted = target_for(stack.settings, spec)
        found = needs_of(wanted, stack.settings.kafka.bootstrap, stack.settings.jdbc_url)
        boards = {one.name: one for one in load_boards(season=Season.DAILY).values() if one.job == name}
        assert set(found.topics) == {*spec.reads, *spec.topics_written}
        assert {one.topic for one in boards.values()} <= set(spec.topics_written)
        assert set(found.tables) == {*map(ledger_part, spec.ledgers), *boards}
        assert found.subjects == ()


def test_a_stack_that_has_all_lets_the_job_run(stack: Stack) -> None:
    assert missing(stack.settings, stack.job()) == ()


def test_each_thing_that_is_missing_is_told_with_what_makes_it(stack: Stack) -> None:
    stack.topics -= {"user-score", "top-teams"}
    stack.run("DROP TABLE team_mvps")
    stack.run("ALTER TABLE job_ledger_user_score DROP COLUMN duplicate")
    assert missing(stack.settings, stack.job()) == (
        "the topic user-score does not exist; `gamestream apply` makes it",
        "the topic top-teams does not exist; `gamestream apply` makes it",
        "the table team_mvps does not exist; `gamestream apply` makes it",
        "the table job_ledger_user_score has no column duplicate; `gamestream apply` makes it",
    )


def test_the_subject_of_an_avro_source_must_be_registered(stack: Stack) -> None:
    stack.settings = stack.settings.model_copy(update={"topic_formats": {"user-score": TopicFormat.AVRO}})
    assert missing(stack.settings, stack.job()) == ()
    stack.subjects = []
    (told,) = missing(stack.settings, stack.job())
    assert told == "the subject user-score-value is not in the schema registry; `gamestream apply` makes it"


def renamed(job: Target, old: str, new: str) -> Target:
    definitions = tuple(one.replace(old, new) for one in job.rendered.definitions)
    return replace(job, rendered=replace(job.rendered, definitions=definitions))


def test_what_nobody_declares_has_another_way(stack: Stack) -> None:
    (topic,) = missing(stack.settings, renamed(stack.job(), "'user-score'", "'clicks'"))
    assert "declare it in gamestream_dagster/catalogue/topics.yaml, then run `gamestream apply`" in topic
    (table,) = missing(stack.settings, renamed(stack.job(), "'top_teams'", "'my_teams'"))
    assert "create it in Postgres" in table
    (part,) = missing(stack.settings, renamed(stack.job(), "'job_ledger_user_score'", "'job_ledger_clicks'"))
    assert "it is the ledger of a topic that is no stream: describe the topic in" in part


def test_what_lives_elsewhere_is_not_looked_for(stack: Stack) -> None:
    away = renamed(stack.job(), stack.settings.kafka.bootstrap, "kafka.elsewhere:9092")
    away = renamed(away, stack.settings.jdbc_url, "jdbc:postgresql://elsewhere/games")
    stack.topics.clear()
    stack.run("DROP TABLE top_teams")
    assert missing(stack.settings, away) == ()


def test_the_preflight_submits_nothing_and_leaves_what_runs_alone() -> None:
    world = World()
    world.apply()
    running = world.only.job_id
    lacking = replace(world.bench_of(target("e" * 64)), missing=lambda _: ("the topic x does not exist; make it",))
    with pytest.raises(PreflightError, match="could not run: the topic x does not exist; make it"):
        apply(lacking, Choice.NONE, world.said.append)
    assert world.only.job_id == running
    assert len(world.submitter.submitted) == 1
