"""`gamestream trace` and `gamestream reconcile --intake`: what they print, and how they end."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.fates import trace as tracing
from gamestream_dagster.fates.model import Evidence, Outcome, Place, Trace, TracedRecord
from gamestream_dagster.fates.outputs import Fate
from gamestream_dagster.reconciliation.intake import run as intake_run
from gamestream_dagster.reconciliation.intake.model import FateFault, FateKind, Held, IntakeProof
from gamestream_dagster.reconciliation.model.values import Cause, Verdict
from gamestream_dagster.settings import Settings
from tests.support.cli import Ended, gamestream
from tests.support.fakes.traces import ENRICHED

REFUSED = TracedRecord(
    Place("game-events-raw", 0, 6, 1 << 60),
    None,
    2,
    "TOO_OLD",
    "event_time",
    late=False,
    current=True,
    archive_file=None,
    outcome=Outcome.DEAD,
    evidence=Evidence.OUTPUT,
    written=Place("game-events-dlq", 0, 17, 0),
    received_note="not over HTTP: its sender wrote to Kafka",
)
LOOKED = ("game-events-raw: the archive up to p0@5 and in Kafka p0@5..6", "user-score: nothing is in it")
PROOF = IntakeProof(
    Verdict.MATCH,
    "every record has its one fate",
    datetime(2026, 1, 1, tzinfo=UTC),
    low={0: 8},
    high={0: 10},
    fates={Fate.ENRICHED: 5, Fate.DEAD: 2, Fate.COPY: 1},
    held={Held.OPEN: 2},
    scores=3,
)
FAULT = FateFault(
    FateKind.WRONG_PLACE,
    0,
    3,
    4,
    2,
    Fate.LATE,
    Cause.UNEXPLAINED,
    accepted=False,
    held_in=("game-events-dlq p0@17",),
    sentence="2 records of p0@3..4: belongs elsewhere",
)


def traced(monkeypatch: pytest.MonkeyPatch, home: Path, answer: Trace | Exception, *arguments: str) -> Ended:
    def trace(_settings: Settings, event_id: str) -> Trace:
        assert event_id == "e1"
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(tracing, "trace_event", trace)
    return gamestream(Settings(home=home), "trace", "e1", *arguments)


def test_a_trace_tells_the_whole_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = Trace("e1", (ENRICHED, REFUSED), (), (), LOOKED, more=True)
    ended = traced(monkeypatch, tmp_path, found)
    assert ended.returncode == 0
    for words in (
        "game-events-raw p0@5 2023-11-14T22:13:20.000Z score player 1",
        "received over HTTP at 2023-11-14T22:13:19.000Z by key k1 of game",
        "enriched -> game-events-enriched p1@7",
        "score user-score p2@8",
        "counted by top_players, top_teams",
        "archive game-events-raw/date=2026-01-01/hour=00/0-0-9.parquet",
        "type unknown player 2",
        "dead letter TOO_OLD (event_time) -> game-events-dlq p0@17",
        "archive not yet",
        "more records under this id",
        "looked game-events-raw: the archive up to p0@5",
        "Next: gamestream dlq show",
    ):
        assert words in ended.words, words


def test_an_unknown_id_says_how_far_was_looked_and_ends_with_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ended = traced(monkeypatch, tmp_path, Trace("e1", (), (), (), LOOKED))
    assert ended.returncode == 1
    assert "No record has this id." in ended.words
    assert "in Kafka p0@5..6" in ended.words


def test_a_trace_as_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ended = traced(monkeypatch, tmp_path, Trace("e1", (ENRICHED,), (), (), LOOKED), "--json")
    told = json.loads(ended.stdout)
    assert (told["found"], told["records"][0]["outcome"], told["records"][0]["boards"]) == (
        True,
        "enriched",
        ["top_players", "top_teams"],
    )
    assert told["records"][0]["written"] == vars(ENRICHED.written)


def test_a_trace_that_could_not_look_is_no_unknown_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    away = TransientServiceError("Kafka", "it does not answer", "see `gamestream status`")
    ended = traced(monkeypatch, tmp_path, away)
    assert ended.returncode == 2
    assert "it does not answer" in ended.words


def proven(monkeypatch: pytest.MonkeyPatch, home: Path, proof: IntakeProof, *arguments: str) -> Ended:
    monkeypatch.setattr(intake_run, "reconcile_intake", lambda _settings, say: proof)
    return gamestream(Settings(home=home), "reconcile", "--intake", *arguments)


@pytest.mark.parametrize(
    ("proof", "code", "words"),
    [
        (PROOF, 0, "8 records = 5 enriched + 0 late + 2 dead letters + 1 copies"),
        (
            IntakeProof(
                Verdict.DIFFERENT,
                "2 WRONG_PLACE",
                PROOF.started_at,
                faults=(FAULT,),
                fault_records={FateKind.WRONG_PLACE: 5},
            ),
            1,
            "WRONG_PLACE 2 records of p0@3..4: belongs elsewhere UNEXPLAINED and 3 more records",
        ),
        (IntakeProof(Verdict.COULD_NOT_RUN, "no checkpoint", PROOF.started_at), 2, "nothing is said about intake"),
    ],
)
def test_a_proof_of_intake_is_printed_with_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, proof: IntakeProof, code: int, words: str
) -> None:
    ended = proven(monkeypatch, tmp_path, proof)
    assert ended.returncode == code
    assert words in ended.words
    told = json.loads(proven(monkeypatch, tmp_path, proof, "--json").stdout)
    assert told["verdict"] == proof.verdict.value


@pytest.mark.parametrize("option", [("--board", "top_teams"), ("--mode", "drained"), ("--sink", "kafka")])
def test_the_proof_of_intake_takes_no_options_of_boards(tmp_path: Path, option: tuple[str, str]) -> None:
    ended = gamestream(Settings(home=tmp_path), "reconcile", "--intake", *option)
    assert ended.returncode == 2
    assert "leave --mode, --board, --sink and --engine out" in ended.words
