"""A run over boards of several topics: a proof for each, one verdict, one stored run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState, Outcome
from gamestream_dagster.reconciliation import run as reconciliations
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model.proof import JobCut, LedgerBalance, ReconciliationRun, TopicProof
from gamestream_dagster.reconciliation.model.values import BoardResult, Mode, Sink, Verdict
from gamestream_dagster.reconciliation.results.report import render_report
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.reconciliation.task import Task
from gamestream_dagster.settings import Settings
from tests.support.fakes.streams import SCORES, scores_in

ARENA = "arena-score"
CUTS = {"user-score": {0: 7}, ARENA: {0: 3, 1: 2}}


class Proofs:
    """What each topic's proof finds; what it is asked for."""

    def __init__(self, **found: Verdict | BaseException) -> None:
        self.found = {name.replace("_", "-"): one for name, one in found.items()}
        self.asked: list[tuple[str, list[str]]] = []
        self.kept: list[ReconciliationRun] = []
        self.never_deployed: set[str] = set()
        self.suspended: dict[str, Outcome] = {}

    def last(self, job: str) -> Deployment | None:
        """As the store of deployments: the newest one of a job."""
        if job in self.never_deployed:
            return None
        outcome = self.suspended.get(job)
        state = DeploymentState.RUNNING if outcome is None else DeploymentState.SUSPENDED
        return Deployment(f"{job}-g1", job, 1, "f" * 64, "id", state, "savepoint", outcome=outcome)

    def run(self, task: Task, _engine: Any) -> TopicProof:
        topic = task.source.topic
        self.asked.append((topic, [board.name for board in task.boards]))
        found = self.found[topic]
        if isinstance(found, BaseException):
            raise found
        return replace(
            task.nothing_seen(""),
            verdict=found,
            reason=f"it is {found.value}",
            boards=tuple(BoardResult(board.name, Sink.POSTGRES, 10, ()) for board in task.boards),
            jobs=(JobCut(f"{task.boards[0].job}", "id", "print", 1, CUTS[topic]),),
            high=CUTS[topic],
            bracket_events=len(topic),
            ledger=LedgerBalance(topic, 5, 5, 0, 0, 0, {}),
        )


@pytest.fixture
def proofs(monkeypatch: pytest.MonkeyPatch) -> Proofs:
    """Two boards, one of them of another topic."""
    found = Proofs(user_score=Verdict.MATCH, arena_score=Verdict.MATCH)
    known = load_boards()
    other = known["top_players"].model_copy(update={"name": "arena_players", "job": "arena_v1", "reads": (ARENA,)})
    boards = {"top_players": known["top_players"], "arena_players": other, "top_teams": known["top_teams"]}

    @contextmanager
    def opened(_: Settings) -> Iterator[None]:
        yield None

    def keep(_settings: Any, _engine: Any, run: ReconciliationRun) -> ReconciliationRun:
        found.kept.append(run)
        return run

    monkeypatch.setattr(reconciliations, "load_boards", lambda *_: boards)
    monkeypatch.setattr(reconciliations, "stack_sources", lambda _: {"user-score": SCORES, ARENA: scores_in(ARENA)})
    monkeypatch.setattr(reconciliations, "open_engine", opened)
    monkeypatch.setattr(reconciliations, "_keep", keep)
    monkeypatch.setattr(reconciliations, "PostgresDeploymentStore", lambda _: found)
    monkeypatch.setattr(Task, "run", lambda task, engine: found.run(task, engine))  # noqa: PLW0108 - a method again
    return found


def run_of(tmp_path: Path, **options: Any) -> ReconciliationRun:
    return reconcile(Settings(home=tmp_path), Mode.BRACKET, **options)


def test_each_topic_is_proven_by_itself_and_all_of_it_is_one_run(proofs: Proofs, tmp_path: Path) -> None:
    run = run_of(tmp_path)
    assert proofs.asked == [("user-score", ["top_players", "top_teams"]), (ARENA, ["arena_players"])]
    assert proofs.kept == [run]
    assert run.verdict is Verdict.MATCH
    assert run.reason == f"user-score: it is MATCH; {ARENA}: it is MATCH"
    assert [one.board for one in run.boards] == ["top_players", "top_teams", "arena_players"]
    assert run.proof_of("arena_players").high == CUTS[ARENA]
    assert run.rows_compared == 30
    assert run.bracket_events == len("user-score") + len(ARENA)
    assert [one.topic for one in run.ledgers] == ["user-score", ARENA]
    assert run.balanced


def test_boards_of_one_topic_are_about_that_topic_alone(proofs: Proofs, tmp_path: Path) -> None:
    run = run_of(tmp_path, boards=["arena_players"])
    assert (run.only.topic, run.reason) == (ARENA, "it is MATCH")


def test_an_output_whose_job_was_never_deployed_is_left_out_by_name(proofs: Proofs, tmp_path: Path) -> None:
    proofs.never_deployed = {"arena_v1"}
    run = run_of(tmp_path)
    assert [topic for topic, _ in proofs.asked] == ["user-score"]
    assert run.verdict is Verdict.MATCH
    assert run.reason.endswith("not proven, because its job was never deployed: arena_players")
    run_of(tmp_path, boards=["arena_players"])
    assert proofs.asked[-1] == (ARENA, ["arena_players"])


@pytest.mark.parametrize(
    ("outcome", "left_out"),
    [
        (Outcome.SUSPENDED_BY_HAND, True),
        (Outcome.SUSPENDED_BY_SPEC, True),
        (Outcome.STANDSTILL, False),  # by a proof: the next one goes on with it
        (Outcome.STACK_DOWN, False),
    ],
)
def test_an_output_whose_job_is_suspended_on_purpose_is_left_out_by_name(
    proofs: Proofs, tmp_path: Path, outcome: Outcome, left_out: bool
) -> None:
    proofs.suspended = {"arena_v1": outcome}
    run = run_of(tmp_path)
    assert [topic for topic, _ in proofs.asked] == ["user-score"] + [ARENA] * (not left_out)
    assert run.verdict is Verdict.MATCH
    sentences = ("not proven, because arena_v1 is suspended: arena_players",) * left_out
    assert (run.left_out, run.reason.endswith("".join(sentences))) == (sentences, True)
    run_of(tmp_path, boards=["arena_players"])
    assert proofs.asked[-1] == (ARENA, ["arena_players"])


def test_where_no_job_was_ever_deployed_each_is_asked(proofs: Proofs, tmp_path: Path) -> None:
    proofs.never_deployed = {"arena_v1", load_boards()["top_players"].job}
    run_of(tmp_path)
    assert [topic for topic, _ in proofs.asked] == ["user-score", ARENA]


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        (Verdict.MATCH, Verdict.EXPLAINED, Verdict.EXPLAINED),
        (Verdict.DIFFERENT, Verdict.MATCH, Verdict.DIFFERENT),
        (CouldNotLookError("the job is down", "look"), Verdict.MATCH, Verdict.COULD_NOT_RUN),
        (CouldNotLookError("the job is down", "look"), Verdict.EXPLAINED, Verdict.COULD_NOT_RUN),
        # what is known to be wrong is told, whatever could not be looked at
        (CouldNotLookError("the job is down", "look"), Verdict.DIFFERENT, Verdict.DIFFERENT),
    ],
    ids=str,
)
def test_the_worst_of_the_topics_is_the_verdict(
    proofs: Proofs, tmp_path: Path, first: Any, second: Verdict, verdict: Verdict
) -> None:
    proofs.found = {"user-score": first, ARENA: second}
    run = run_of(tmp_path)
    assert run.verdict is verdict
    assert len(proofs.asked) == 2, "a topic that cannot be looked at keeps no other back"
    blind = [one.topic for one in run.topics if not one.looked]
    assert blind == (["user-score"] if isinstance(first, Exception) else [])
    if blind:
        assert "user-score: could not be looked at: the job is down" in run.reason
        assert not run.balanced, "there is no ledger of that topic"
        assert run.proof_of("top_teams").verdict is Verdict.COULD_NOT_RUN
        page = render_report(run, [])
        assert "the job is down" in page
        if verdict is Verdict.COULD_NOT_RUN:
            assert "Not every topic could be looked at" in page


def test_the_report_shows_cuts_and_ledger_of_each_topic(proofs: Proofs, tmp_path: Path) -> None:
    page = render_report(run_of(tmp_path), [])
    cuts = ("<code>p0@3 p1@2</code>", "<code>p0@7</code>")
    for part in ("Ledger of user-score</h2>", "Ledger of arena-score</h2>", *cuts):
        assert part in page
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(set(ids)) == len(ids)


def test_an_interrupted_run_keeps_what_was_proven_before(proofs: Proofs, tmp_path: Path) -> None:
    proofs.found[ARENA] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run_of(tmp_path)
    [run] = proofs.kept
    assert (run.verdict, run.seconds > 0) == (Verdict.COULD_NOT_RUN, True)
    assert [one.verdict for one in run.topics] == [Verdict.MATCH, Verdict.COULD_NOT_RUN]
    assert "arena-score: could not be looked at: stopped by Ctrl-C" in run.reason
