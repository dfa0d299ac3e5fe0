"""The verdict on one board is that of its own rows, unless the fault is in no row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest
from sqlalchemy.dialects import postgresql

from gamestream_dagster.monitoring.proof_series import of_board
from gamestream_dagster.reconciliation.results.board_verdicts import Findings, TopicFinding, findings_of
from gamestream_dagster.reconciliation.results.proofs import FinishedRun
from gamestream_dagster.settings import Settings

AT = datetime(2026, 11, 26, tzinfo=UTC)
BOARDS = frozenset({"top_players", "top_teams", "hot_streaks"})


def run(verdict: str, run_id: str = "r1", boards: frozenset[str] | None = None) -> FinishedRun:
    return FinishedRun(run_id, AT, verdict, "", 40, None, boards)


def found(verdict: str, rows: dict[str, bool], balanced: bool | None = True) -> dict[str, str]:
    """By board, of a run with one topic."""
    findings = Findings({"r1": [TopicFinding(verdict, BOARDS, balanced)]}, {"r1": rows})
    return {board: findings.of(run(verdict), board).verdict for board in sorted(BOARDS)}


def test_an_edited_row_is_the_fault_of_its_board_alone() -> None:
    assert found("DIFFERENT", {"top_players": False}) == {
        "hot_streaks": "MATCH", "top_players": "DIFFERENT", "top_teams": "MATCH",
    }  # fmt: skip


def test_a_board_whose_differences_are_accepted_is_explained_beside_one_that_is_wrong() -> None:
    assert found("DIFFERENT", {"top_players": False, "top_teams": True}) == {
        "hot_streaks": "MATCH", "top_players": "DIFFERENT", "top_teams": "EXPLAINED",
    }  # fmt: skip
    assert found("EXPLAINED", {"top_teams": True}) == {
        "hot_streaks": "MATCH", "top_players": "MATCH", "top_teams": "EXPLAINED",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "balanced"),
    [({}, True), ({}, None), ({}, False), ({"top_teams": True}, False), ({"top_teams": True}, None),
     ({"top_players": False}, False)],
)  # fmt: skip
def test_a_fault_that_is_in_no_row_counts_for_each_board(rows: dict[str, bool], balanced: bool | None) -> None:
    assert set(found("DIFFERENT", rows, balanced).values()) == {"DIFFERENT"}


def test_the_rows_of_another_topic_excuse_no_board() -> None:
    topics = [TopicFinding("DIFFERENT", BOARDS, True), TopicFinding("DIFFERENT", frozenset({"arena"}), True)]
    findings = Findings({"r1": topics}, {"r1": {"arena": False}})
    assert findings.of(run("DIFFERENT"), "top_teams").verdict == "DIFFERENT"
    other = Findings({"r1": [TopicFinding("MATCH", BOARDS, True), topics[1]]}, {"r1": {"arena": False}})
    assert other.of(run("DIFFERENT"), "top_teams").verdict == "MATCH"
    assert other.of(run("DIFFERENT"), "arena").verdict == "DIFFERENT"


@pytest.mark.parametrize("verdict", ["MATCH", "COULD_NOT_RUN"])
def test_a_run_that_matches_or_did_not_look_says_so_of_each_board(verdict: str) -> None:
    assert set(found(verdict, {}).values()) == {verdict}
    one = Findings({"r1": [TopicFinding("COULD_NOT_RUN", BOARDS)]}, {"r1": {"arena": False}})
    assert one.of(run("DIFFERENT"), "top_teams").verdict == "COULD_NOT_RUN"


def test_a_run_without_recorded_topics_goes_by_its_rows() -> None:
    findings = Findings({}, {"r1": {"top_players": False}})
    assert findings.of(run("DIFFERENT"), "top_teams").verdict == "MATCH"
    assert findings.of(run("DIFFERENT", "r2"), "top_teams").verdict == "DIFFERENT"


def test_the_series_of_a_board_that_is_right_is_not_touched_by_another_one() -> None:
    findings = Findings({"r1": [TopicFinding("DIFFERENT", BOARDS, True)]}, {"r1": {"top_players": False}})
    correct = {
        board: sample.value
        for board in BOARDS
        for sample in of_board(board, findings.of(run("DIFFERENT"), board), Settings(), AT.timestamp())
        if sample.series == "board_is_correct"
    }
    assert correct == {"top_players": 0, "top_teams": 1, "hot_streaks": 1}


@pytest.fixture
def base() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute("CREATE SCHEMA IF NOT EXISTS main")
        made.execute("CREATE TABLE reconciliation_topics (run_id TEXT, verdict TEXT, boards JSON, ledger JSON)")
        made.execute("CREATE TABLE differences (run_id TEXT, board TEXT, accepted BOOLEAN)")
        yield made


class Link:
    """Runs Postgres' text of a query in DuckDB, which reads this part alike."""

    def __init__(self, base: duckdb.DuckDBPyConnection) -> None:
        self.base = base
        self.asked: list[str] = []

    def execute(self, query: Any) -> list[tuple[Any, ...]]:
        dialect: Any = postgresql.dialect()
        text = str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
        self.asked.append(text)
        return [
            tuple(json.loads(one) if isinstance(one, str) and one.startswith("[") else one for one in row)
            for row in self.base.execute(text).fetchall()
        ]


def test_findings_are_read_for_runs_that_do_not_match(base: duckdb.DuckDBPyConnection) -> None:
    topics = [
        ("r1", "DIFFERENT", '["top_players", "top_teams"]', '{"balanced": true}'),
        ("r1", "MATCH", '["arena"]', None),
        ("r2", "DIFFERENT", '["top_players"]', '{"balanced": false}'),
        ("r3", "DIFFERENT", '["top_players"]', None),
        ("r4", None, None, None),
    ]
    base.executemany("INSERT INTO reconciliation_topics VALUES (?, ?, ?, ?)", topics)
    rows = [("r1", "top_players", True), ("r1", "top_players", None), ("r1", "top_teams", True), ("r3", "x", False)]
    base.executemany("INSERT INTO differences VALUES (?, ?, ?)", rows)
    link: Any = Link(base)
    assert findings_of(link, [run("MATCH")]) == Findings()
    assert link.asked == []
    got = findings_of(link, [run("DIFFERENT"), run("DIFFERENT", "r2"), run("MATCH", "r3"), run("EXPLAINED", "r4")])
    both = frozenset({"top_players", "top_teams"})
    assert {name: sorted(of, key=lambda one: one.verdict) for name, of in got.topics.items()} == {
        "r1": [TopicFinding("DIFFERENT", both, True), TopicFinding("MATCH", frozenset({"arena"}), None)],
        "r2": [TopicFinding("DIFFERENT", frozenset({"top_players"}), False)],
    }
    # a difference that nobody judged is not accepted
    assert got.rows == {"r1": {"top_players": False, "top_teams": True}}
