"""Covers: a job, a board and an output without ranks, made from nothing, run and are proven, explained and repaired."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from confluent_kafka import Producer
from sqlalchemy import text
from typer.testing import CliRunner

from gamestream_dagster.catalogue import topics
from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR, Board, load_boards
from gamestream_dagster.cli.main import build
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.flink_sql_gateway import SqlGateway
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.flink_jobs.control import manager
from gamestream_dagster.flink_jobs.linter.lint import lint
from gamestream_dagster.flink_jobs.linter.source import units_of
from gamestream_dagster.flink_jobs.plan.model import Decision
from gamestream_dagster.flink_jobs.spec import rendered_sinks
from gamestream_dagster.reconciliation.certificates.certificate import Proof, certify, verify
from gamestream_dagster.reconciliation.ledger.edited_counter import repair_counters, repairable
from gamestream_dagster.reconciliation.model.proof import ReconciliationRun
from gamestream_dagster.reconciliation.model.values import Sink, Verdict
from gamestream_dagster.reconciliation.observe.job_ledger import COUNTS
from gamestream_dagster.reconciliation.observe.sinks import read_tables, read_topic
from gamestream_dagster.reconciliation.recompute.factory import open_recompute
from gamestream_dagster.reconciliation.repair import RepairOutcome, apply_repair, plan_repair
from gamestream_dagster.reconciliation.results.proofs import newest_by_board
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.reconciliation.why.answer import Standing
from gamestream_dagster.reconciliation.why.explain_row import explain_row
from gamestream_dagster.resources.boards import BoardTables
from gamestream_dagster.settings import Settings
from quality.emptiness import empty_board
from tests.support.fakes.streams import SCORE_TOPIC, SCORES
from tests.support.planted import provision
from tests.support.planting import Sender
from tests.support.world import drain

COPIED_VIEW = """
CREATE TEMPORARY VIEW {name} AS
SELECT rnk, user_id, team_name, total_score
FROM (
  SELECT *, ROW_NUMBER() OVER (ORDER BY total_score DESC, user_id ASC) AS rnk
  FROM (
    SELECT user_id, MAX(team_name) AS team_name, SUM(points) AS total_score
    FROM counted_scores
    WHERE points >= 0 AND '{name}' <> ''
    GROUP BY user_id
  )
)
WHERE rnk <= 10;
"""


@dataclass(frozen=True)
class Made:
    """A job of its own: its first board, a board copied from another job's folder, and an output without ranks."""

    settings: Settings
    root: Path
    job: str
    first: str
    copied: str
    keyed: str

    @property
    def outputs(self) -> dict[str, Board]:
        return load_boards(self.root)

    def reconcile(self, mode: str = "bracket") -> ReconciliationRun:
        return reconcile(self.settings, mode, sinks=list(Sink), root=self.root)

    def table(self, name: str) -> list[dict[str, Any]]:
        with open_engine(self.settings) as engine:
            return read_tables(engine, [self.outputs[name]])[name]

    def sql(self, statement: str) -> int:
        with open_engine(self.settings) as engine, engine.begin() as database:
            return database.execute(text(statement)).rowcount


def make(root: Path, topic: str) -> tuple[str, str, str, str]:
    """The folders, as a person makes them: two commands, and one copied folder with one view."""
    unique = uuid.uuid4().hex[:6]
    job, first, copied, keyed = f"made_{unique}_v1", f"made_{unique}", f"copied_{unique}", f"keyed_{unique}"
    shutil.copytree(FLINK_SQL_DIR / "_sources", root / "_sources")
    gamestream("new", "job", job, "--reads", topic, "--folder", str(root))
    gamestream("new", "board", keyed, "--job", job, "--without-ranks", "--folder", str(root))
    shutil.copytree(load_boards()["top_players"].folder, root / job / "outputs" / copied)
    with (root / job / "query.sql").open("a", encoding="utf-8") as query:
        query.write(COPIED_VIEW.format(name=copied))
    return job, first, copied, keyed


def gamestream(*arguments: str) -> None:
    done = CliRunner().invoke(build(), arguments)
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module", params=[SCORE_TOPIC])
def made(boards: Any, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    settings, root = boards.settings, tmp_path_factory.mktemp("flink_sql")
    one = Made(settings, root, *make(root, request.param))
    provision(settings, root)
    deployed = manager.apply_job(settings, one.job, root=root)
    with ExitStack() as closing:
        flink = closing.enter_context(FlinkRest(settings.flink_rest))
        closing.callback(flink.cancel, deployed.flink_job_id)
        drain(settings, root=root)
        yield one


def test_they_lint_clean_with_flinks_own_planner(made: Made) -> None:
    gateway = SqlGateway(made.settings.flink_gateway, secrets=(made.settings.postgres_password_value,))
    try:
        assert lint(units_of([made.root / made.job]), gateway).findings == ()
    finally:
        gateway.close()


def test_each_output_is_proven_and_every_event_accounted_for(made: Made) -> None:
    run = made.reconcile()
    assert run.verdict is Verdict.MATCH, (run.reason, run.differences)
    assert {(one.board, one.sink) for one in run.boards} == {
        (name, sink) for name in (made.first, made.copied, made.keyed) for sink in (Sink.POSTGRES, Sink.KAFKA)
    }
    compared = {one.board: one.rows_compared for one in run.boards}
    assert compared[made.first] == compared[made.copied] == 10
    assert compared[made.keyed] == len(made.table(made.keyed)) > 10
    assert run.only.ledger is not None
    assert run.only.ledger.balanced
    assert run.only.ledger.records > 0


def test_an_output_without_ranks_has_checks_metadata_and_a_key(made: Made) -> None:
    from quality.suites.board import suite

    output = made.outputs[made.keyed]
    sentences = {one.description for one in suite(output).expectations}
    assert {"user_id names one row", "events is not negative", "user_id is not blank"} <= sentences
    assert len(BoardTables(made.settings).read(output).rows) == min(len(made.table(made.keyed)), 2000)
    assert "recompute gives" in empty_board(output, made.settings).sentence


def edits(made: Made) -> list[str]:
    table, (first, second, *_) = made.keyed, made.table(made.keyed)
    return [
        f"UPDATE {table} SET total_score = total_score + 1 WHERE user_id = '{first['user_id']}'",
        f"UPDATE {table} SET events = events - 1 WHERE user_id = '{first['user_id']}'",
        f"DELETE FROM {table} WHERE user_id = '{second['user_id']}'",
        f"INSERT INTO {table} (user_id, total_score, events) VALUES ('nobody', 1, 1)",
    ]


def test_an_edited_row_without_a_rank_is_found_explained_and_repaired(made: Made) -> None:
    right = made.table(made.keyed)
    for statement in edits(made):
        assert made.sql(statement) == 1
    run = made.reconcile()
    assert run.verdict is Verdict.DIFFERENT, run.reason
    assert {(one.board, one.rank, one.cause) for one in run.differences} == {(made.keyed, None, "EDITED_BY_HAND")}
    named = {one.entity for one in run.differences}
    assert named == {(right[0]["user_id"],), (right[1]["user_id"],), ("nobody",)}
    result = next(one for one in run.boards if one.board == made.keyed and one.sink is Sink.POSTGRES)
    assert (result.rows_different, result.rows_compared) == (3, len(right) + 1)
    done = apply_repair(made.settings, run, plan_repair(run))
    assert {outcome for _, outcome in done} == {RepairOutcome.DONE}
    assert len(done) == 3
    assert made.table(made.keyed) == right
    assert made.reconcile().verdict is Verdict.MATCH


def test_why_lists_the_events_of_a_row_without_a_rank(made: Made) -> None:
    row = made.table(made.keyed)[0]

    def check(found: Any) -> None:
        assert found.standing is Standing.AS_SHOWN, found.sentence
        assert found.adds_up
        assert [(one.column, one.total, one.events) for one in found.sums] == [
            ("total_score", row["total_score"], row["events"])
        ]
        assert (found.above, found.below, found.last) == (None, None, None)

    explain_row(made.settings, made.keyed, row["user_id"], check, root=made.root)


def test_a_certificate_of_an_output_without_ranks_is_verified_and_a_forged_one_is_not(made: Made) -> None:
    run = made.reconcile("drained")
    assert run.verdict is Verdict.MATCH, run.reason
    output = made.outputs[made.keyed]
    with open_recompute(made.settings, SCORES) as archive:
        certificate = certify(archive, SCORES, archive.at(run.only.high), output, Proof(run.run_id, run.verdict.value))
    assert verify(made.settings, certificate, made.root) == []
    forged = [{**certificate.rows[0], "events": 10**6}, *certificate.rows[1:]]
    told = verify(made.settings, certificate.model_copy(update={"rows": forged}), made.root)
    assert any(f"{forged[0]['user_id']}: events is 1000000" in one.sentence for one in told)


def test_the_topic_holds_what_the_table_holds(made: Made) -> None:
    for name, output in made.outputs.items():
        assert read_topic(made.settings.kafka, output) == made.table(name)


ARENA = "arena-score"
_OF_ARENA = {"user_score": "arena_score", "user-score": ARENA, "_scores": "_arena"}


@pytest.fixture
def arena(made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Made]:
    """A second job, on a topic of its own, and a third one that reads both topics; beside the first."""
    read = topics._read

    def with_arena(path: Path) -> Any:
        found = read(path)
        return found.model_copy(update={"topics": {**found.topics, ARENA: found.topics[SCORE_TOPIC]}})

    monkeypatch.setattr(topics, "_read", with_arena)
    root = shutil.copytree(made.root, tmp_path / "flink_sql")
    sources = root / "_sources"
    for name in ("user_score.sql", "checked_scores.sql", "counted_scores.sql", "counted_scores.without_ids.sql"):
        copied, text_of = name, (sources / name).read_text(encoding="utf-8")
        for old, new in _OF_ARENA.items():
            copied, text_of = copied.replace(old, new), text_of.replace(old, new)
        (sources / copied).write_text(text_of, encoding="utf-8")
    unique = uuid.uuid4().hex[:6]
    one, both = f"arena_{unique}", f"both_{unique}"
    gamestream("new", "job", f"{one}_v1", "--reads", ARENA, "--folder", str(root))
    gamestream("new", "job", f"{both}_v1", "--reads", ARENA, "--folder", str(root))
    _read_both(root / f"{both}_v1", both)
    KafkaAdmin(made.settings.kafka).create(ARENA, 2, {"message.timestamp.type": "LogAppendTime"})
    _play(made.settings, ARENA)
    provision(made.settings, root)
    with ExitStack() as closing:
        flink = closing.enter_context(FlinkRest(made.settings.flink_rest))
        for job in (f"{one}_v1", f"{both}_v1"):
            deployed = manager.apply_job(made.settings, job, root=root)
            closing.callback(flink.cancel, deployed.flink_job_id)
        yield Made(made.settings, root, f"{both}_v1", one, made.copied, both)


def _read_both(folder: Path, name: str) -> None:
    """The job reads the scores too, and has a board of each topic."""
    job = yaml.safe_load((folder / "job.yaml").read_text(encoding="utf-8"))
    job["reads"] = [ARENA, SCORE_TOPIC]
    job["sources"] = [*job["sources"], "user_score.sql", "checked_scores.sql", "counted_scores.sql"]
    (folder / "job.yaml").write_text(yaml.safe_dump(job), encoding="utf-8")
    query = (folder / "query.sql").read_text(encoding="utf-8")
    second = query.replace(f"VIEW {name} ", f"VIEW {name}_scores ").replace("counted_arena", "counted_scores")
    assert second.count("_scores") >= 2
    (folder / "query.sql").write_text(query + second, encoding="utf-8")
    shutil.copytree(folder / "outputs" / name, folder / "outputs" / f"{name}_scores")
    for output, source in ((name, ARENA), (f"{name}_scores", SCORE_TOPIC)):
        file = folder / "outputs" / output / "output.yaml"
        described = yaml.safe_load(file.read_text(encoding="utf-8")) | {"source": source}
        file.write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")


def _play(settings: Settings, topic: str) -> None:
    """Scores with a copy, a refused one and one of another player, in both partitions."""
    producer = Producer(settings.kafka.options())
    for number, score in enumerate((5, 5, -1, 7)):
        for partition in (0, 1):
            who = f"arena-{partition}-{number // 3}"
            event = {"user_id": who, "team_id": "t", "team_name": "T", "score": score, "event_id": f"e{max(number, 1)}"}
            event["event_time_millis"] = 1_760_000_000_000 + max(number, 1)
            producer.produce(topic, orjson.dumps(event), key=who, partition=partition)
    assert producer.flush(20) == 0


def test_jobs_on_several_topics_have_a_ledger_of_each_and_are_proven_in_one_run(made: Made, arena: Made) -> None:
    run = arena.reconcile("drained")
    assert run.verdict is Verdict.MATCH, (run.reason, run.differences)
    assert {one.topic for one in run.topics} == {SCORE_TOPIC, ARENA}
    of_arena = run.proof_of(arena.first)
    assert set(of_arena.about) == {arena.first, arena.keyed}
    assert of_arena.ledger is not None
    assert (of_arena.ledger.records, of_arena.ledger.dead_lettered, of_arena.ledger.duplicate) == (8, 2, 2)
    assert run.balanced
    assert {one.job for one in of_arena.jobs} == {f"{arena.first}_v1", arena.job}
    with open_engine(made.settings) as engine, engine.connect() as database:
        told = text("SELECT DISTINCT job, topic FROM job_ledger WHERE job IN (:one, :both, :first)")
        names = {"one": f"{arena.first}_v1", "both": arena.job, "first": made.job}
        found = {tuple(row) for row in database.execute(told, names)}
        stored = text("SELECT topic, verdict FROM reconciliation_topics WHERE run_id = :run")
        kept = {tuple(row) for row in database.execute(stored, {"run": run.run_id})}
        judged = newest_by_board(database, [arena.first, made.first])
    assert found == {
        (f"{arena.first}_v1", ARENA),
        (arena.job, ARENA),
        (arena.job, SCORE_TOPIC),
        (made.job, SCORE_TOPIC),
    }
    assert kept == {(SCORE_TOPIC, "MATCH"), (ARENA, "MATCH")}
    assert {one.verdict for one in judged.values()} == {"MATCH"}
    # a changed counter is that of its topic alone
    edit = f"UPDATE job_ledger SET records = 1 WHERE job = '{arena.job}' AND topic = '{ARENA}' AND partition_id = 0"
    assert made.sql(f"{edit} AND minute_millis > 0") == 1
    wrong = arena.reconcile("drained")
    assert {one.topic: one.verdict for one in wrong.topics} == {
        SCORE_TOPIC: Verdict.MATCH,
        ARENA: Verdict.DIFFERENT,
    }, wrong.reason
    assert repair_counters(made.settings, repairable(wrong.ledger_faults)) == [True]
    assert arena.reconcile("drained").verdict is Verdict.MATCH


def test_a_savepoint_from_before_the_ledger_had_topics_restores(
    made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The former job wrote a table whose key had no topic; only the name of the table differs, which is no state."""
    settings, root, job = made.settings, tmp_path / "flink_sql", f"former_{uuid.uuid4().hex[:6]}_v1"
    shutil.copytree(FLINK_SQL_DIR / "_sources", root / "_sources")
    gamestream("new", "job", job, "--reads", SCORE_TOPIC, "--folder", str(root))
    provision(settings, root)
    made.sql("CREATE TABLE former_ledger (LIKE job_ledger)")
    key = "(job, partition_id, minute_millis)"
    made.sql(f"ALTER TABLE former_ledger DROP COLUMN topic, ADD PRIMARY KEY {key}")
    one = replace(made, root=root, job=job)
    with ExitStack() as closing:
        flink = closing.enter_context(FlinkRest(settings.flink_rest))
        with monkeypatch.context() as then:
            then.setattr(rendered_sinks, "ledger_part", lambda _: "former_ledger")
            former = manager.apply_job(settings, job, root=root)
        stop_former = closing.enter_context(ExitStack())
        stop_former.callback(flink.cancel, former.flink_job_id)
        drain(settings, root=root)
        counts = ", ".join(("partition_id", "minute_millis", *COUNTS))
        moved = (
            f"INSERT INTO job_ledger (job, topic, {counts}) SELECT job, '{SCORE_TOPIC}', {counts} FROM former_ledger"
        )
        assert made.sql(moved) > 1  # as the migration does
        assert manager.plan_job(settings, job, root=root).decision is Decision.UPGRADE
        stop_former.pop_all()
        now = manager.apply_job(settings, job, root=root)
        closing.callback(flink.cancel, now.flink_job_id)
        newest, before = manager.history(settings, job, root=root)[:2]
        assert newest.restore_path == before.savepoint_path is not None
        # the rows of whole partitions go on from the counts of the restored state
        Sender(settings).send(0, (job, 5))
        run = one.reconcile("drained")
    made.sql("DROP TABLE former_ledger")
    assert run.verdict is Verdict.MATCH, run.reason
    assert run.balanced


def test_more_rows_than_may_be_compared_are_told_and_not_read(made: Made, tmp_path: Path) -> None:
    root = shutil.copytree(made.root, tmp_path / "flink_sql")
    file = root / made.job / "outputs" / made.keyed / "output.yaml"
    described = yaml.safe_load(file.read_text(encoding="utf-8")) | {"rows": 5}
    file.write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
    run = reconcile(made.settings, root=root)
    assert run.verdict is Verdict.COULD_NOT_RUN
    assert f"{made.keyed} holds over 5 rows; raise `rows`" in run.reason
