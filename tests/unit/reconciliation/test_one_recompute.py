"""Every command opens the recompute the same way: event ids and engine as the stack has them, SQL where it is used."""

from __future__ import annotations

import ast
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import gamestream_dagster
import quality
from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR, load_boards
from gamestream_dagster.catalogue.sources import Source
from gamestream_dagster.cli import certificates as commands
from gamestream_dagster.reconciliation import run as reconciliations
from gamestream_dagster.reconciliation.causes.policy import load_policy
from gamestream_dagster.reconciliation.certificates import certificate as certificates
from gamestream_dagster.reconciliation.certificates.certificate import Certificate, Part, Proof, certify, verify
from gamestream_dagster.reconciliation.compare.examine import examine
from gamestream_dagster.reconciliation.model.proof import JobCut, ReconciliationRun, TopicProof
from gamestream_dagster.reconciliation.model.values import Mode, Sink, Verdict
from gamestream_dagster.reconciliation.observe.boards import Limits
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import Ask, board_rows
from gamestream_dagster.reconciliation.recompute.events_at import Counterfactual, Entities, EventsAt
from gamestream_dagster.reconciliation.recompute.factory import open_recompute
from gamestream_dagster.reconciliation.recompute.flink_recompute import FlinkBoards
from gamestream_dagster.reconciliation.task import Task
from gamestream_dagster.settings import RecomputeEngine, Settings, load_settings
from quality.emptiness import Cuts, recomputed_rows
from tests.support.archive_maker import TOPIC, make_archive
from tests.support.fakes.streams import SCORES
from tests.support.reference_model import Event

BOARD = load_boards()["top_players"]
CUT = {0: 4}
JOB = JobCut(BOARD.job, "", "", 1, CUT)
PACKAGES = Path(gamestream_dagster.__file__).parent, Path(quality.__file__).parent
RECONCILIATION = PACKAGES[0] / "reconciliation"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = load_settings(home=tmp_path)
    copies = [Event(0, n, "u", "t", "T", 10, 1_000, "same") for n in range(3)]
    make_archive(found.archive_dir / TOPIC, [*copies, Event(0, 3, "u", "t", "T", 1, 1_000, "other")])
    return found


def task(settings: Settings, source: Source = SCORES) -> Task:
    return Task(
        settings, Mode.BRACKET, source, [BOARD], [Sink.POSTGRES], Limits(), FLINK_SQL_DIR, load_policy(), lambda _: None
    )


def made(settings: Settings, source: Source = SCORES) -> Certificate:
    with open_recompute(settings, source) as archive:
        return certify(archive, source, archive.at(CUT), BOARD, Proof())


WITHOUT_IDS = replace(SCORES, dedup=None)


@pytest.mark.parametrize(
    ("source", "other", "total"),
    [(SCORES, WITHOUT_IDS, 11), (WITHOUT_IDS, SCORES, 31)],
    ids=["with ids", "without ids"],
)
def test_a_certificate_counts_as_the_proof_does(
    settings: Settings, monkeypatch, source: Source, other: Source, total: int
):
    monkeypatch.setattr(certificates, "stack_sources", lambda _: {TOPIC: source})
    certificate = made(settings, source)
    assert [row["total_score"] for row in certificate.rows] == [total]
    seen = Observation(
        {BOARD.job: JobCut(BOARD.job, "", "", 1, CUT)}, CUT, {(BOARD.name, Sink.POSTGRES): certificate.rows}
    )
    with task(settings, source).open() as archive:
        [result] = examine(archive, [BOARD], [Sink.POSTGRES], seen=seen, since={BOARD.job: CUT})
    assert result.differences == ()
    assert verify(settings, certificate) == []
    monkeypatch.setattr(certificates, "stack_sources", lambda _: {TOPIC: other})
    assert {one.part for one in verify(settings, certificate)} == {Part.ROWS}


@pytest.fixture
def asked(monkeypatch) -> list[Ask]:
    """What Flink was asked for; DuckDB answers in its place."""
    found: list[Ask] = []

    def rows(_engine: FlinkBoards, archive: ArchiveDatabase, at: EventsAt, ask: Ask):
        found.append(ask)
        with ArchiveDatabase(archive.source, archive.source.folder) as duck:
            return board_rows(duck, at, ask.board, ask.rows, ask.as_of)

    monkeypatch.setattr(FlinkBoards, "rows", rows)
    return found


def test_every_command_respects_the_engine(settings: Settings, asked: list[Ask], monkeypatch):
    """The proof, certificates made and verified, and the check of an empty board."""
    by_flink = settings.model_copy(update={"recompute_engine": RecomputeEngine.FLINK})
    with task(by_flink).open() as archive:
        board_rows(archive, archive.at(CUT), BOARD)
    assert len(asked) == 1
    assert verify(by_flink, made(by_flink)) == []
    assert len(asked) == 3
    assert recomputed_rows(by_flink, BOARD, Cuts(CUT, frozenset(CUT))) == 1
    assert len(asked) == 4
    proof = TopicProof(SCORES.topic, Verdict.MATCH, "", (BOARD.name,), high=CUT, jobs=(JOB,))
    run = ReconciliationRun("run", Mode.DRAINED, Verdict.MATCH, "", datetime.now(UTC), 0.0, (proof,))
    monkeypatch.setattr(reconciliations, "reconcile", lambda *_, **__: run)
    assert commands._of_all_time(by_flink, BOARD.name).rows == made(settings).rows
    assert len(asked) == 5


def test_hypotheses_are_duckdbs_whatever_the_engine(settings: Settings, asked: list[Ask]):
    by_flink = settings.model_copy(update={"recompute_engine": RecomputeEngine.FLINK})
    with open_recompute(by_flink, SCORES) as archive:
        at = archive.at(CUT)
        [row] = board_rows(archive, replace(at, hypothesis=Counterfactual(removed=((0, 3, 0),))), BOARD)
        assert row["total_score"] == 10
        assert board_rows(archive, replace(at, entities=Entities(("user_id",), (("v",),))), BOARD) == []
    assert asked == []


def calls(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def test_only_the_factory_opens_an_archive():
    files = [file for folder in PACKAGES for file in folder.rglob("*.py")]
    openers = {file.stem for file in files if calls(file) & {"ArchiveDatabase", "ArchiveSource", "FlinkBoards"}}
    assert openers == {"factory"}


SQL = sorted(file for file in RECONCILIATION.glob("*/sql/*.sql"))


@pytest.mark.parametrize("file", SQL, ids=lambda file: f"{file.parents[1].name}/{file.stem}")
def test_each_statement_is_run_by_its_own_package_alone(file: Path):
    package = file.parents[1]
    users = {
        python.relative_to(RECONCILIATION).parts[0]
        for python in RECONCILIATION.rglob("*.py")
        if f'"{package.name}/{file.stem}"' in (text := python.read_text(encoding="utf-8"))
        or (python.parent == package and f'"{file.stem}"' in text)
    }
    assert users == {package.name}
