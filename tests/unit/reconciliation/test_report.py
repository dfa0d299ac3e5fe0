"""The report: verdict first, hostile names escaped, nothing from outside."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.reconciliation.model import (
    BoardResult,
    Difference,
    DifferenceKind,
    JobCut,
    LedgerBalance,
    Mode,
    ReconciliationRun,
    Sink,
    Verdict,
)
from gamestream_dagster.reconciliation.report import render_report, write_report
from gamestream_dagster.reconciliation.store import PastRun, difference_data

HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}"
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def run_with(*differences: Difference) -> ReconciliationRun:
    return ReconciliationRun(
        run_id="r1",
        mode=Mode.BRACKET,
        verdict=Verdict.DIFFERENT if differences else Verdict.MATCH,
        reason="because",
        started_at=NOW,
        seconds=1.5,
        boards=(BoardResult("top_players", Sink.POSTGRES, 10, differences),),
        jobs=(JobCut("leaderboards_v1", "abc", "f00", 7, {0: 5, 1: 6}),),
        high={0: 9, 1: 6},
        bracket_events=4,
        ledger=LedgerBalance("user-score", 15, 14, 0, 0, 1, {"NOT_JSON": 1}, ("hole in the archive: p1@3..4",)),
        descriptions=load_boards(),
    )


def difference(**changes) -> Difference:
    found = Difference(
        "top_players",
        Sink.POSTGRES,
        DifferenceKind.VALUE,
        3,
        (HOSTILE,),
        "team_name",
        HOSTILE,
        {"low": HOSTILE},
        HOSTILE,
    )
    return replace(found, **changes)


def test_the_verdict_stands_before_all_else():
    page = render_report(run_with(difference()), [PastRun("r1", NOW, "bracket", "DIFFERENT", 10, 1, 4, 1.5)])
    places = [page.index(part) for part in (">DIFFERENT</h1>", ">Differences<", ">Boards<", ">Cut<", ">Ledger of")]
    assert places == sorted(places)
    assert "p0@5 p1@6" in page
    assert "hole in the archive: p1@3..4" in page


def test_hostile_names_are_text():
    page = render_report(run_with(difference()), [])
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{7*7}}" in page


def test_nothing_comes_from_outside():
    page = render_report(run_with(), [])
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page
    assert "src=" not in page


def test_a_run_that_could_not_look_says_so(tmp_path):
    run = ReconciliationRun("r2", Mode.DRAINED, Verdict.COULD_NOT_RUN, "job x is down", NOW, 0.1)
    write_report(tmp_path / "r2.html", run, [])
    page = (tmp_path / "latest.html").read_text(encoding="utf-8")
    assert "job x is down" in page
    assert "says nothing about the boards" in page


@pytest.mark.parametrize("value", ["a\0b", 2**70, float("nan"), {"x": [1, "\0"]}, None])
def test_differences_become_data_that_postgres_holds(value):
    import json

    data = difference_data(difference(streamed=value))
    text = json.dumps(data)
    assert "\\u0000" not in text
    assert "NaN" not in text


def test_rows_are_counted_once_however_many_columns_differ():
    run = run_with(difference(), difference(column="total_score"))
    assert (run.rows_compared, run.rows_different, run.rows_equal, run.rows_unexplained) == (10, 1, 9, 1)
    assert run.exit_code == 1
