"""The report: verdict first, hostile names escaped, nothing from outside."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.reconciliation.model.proof import (
    FaultKind,
    JobCut,
    LedgerBalance,
    LedgerFault,
    ReconciliationRun,
    TopicProof,
)
from gamestream_dagster.reconciliation.model.values import (
    BoardResult,
    Cause,
    Difference,
    DifferenceKind,
    Mode,
    Sink,
    Verdict,
)
from gamestream_dagster.reconciliation.results.report import render_report, write_report
from gamestream_dagster.reconciliation.results.report_view import (
    MEANING,
    ROWS_SHOWN,
    causes,
    duration,
    either,
    rows,
    visible,
)
from gamestream_dagster.reconciliation.results.store import PastRun, difference_data

HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}"
HOLE = LedgerFault(FaultKind.HOLE, "archive", 1, 3, 4, 2, "hole in the archive: p1@3..4")
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def run_with(*differences: Difference) -> ReconciliationRun:
    return ReconciliationRun(
        run_id="r1",
        mode=Mode.BRACKET,
        verdict=Verdict.DIFFERENT if differences else Verdict.MATCH,
        reason="because",
        started_at=NOW,
        seconds=1.5,
        topics=(
            TopicProof(
                topic="user-score",
                verdict=Verdict.DIFFERENT if differences else Verdict.MATCH,
                reason="because",
                about=("top_players",),
                boards=(BoardResult("top_players", Sink.POSTGRES, 10, differences),),
                jobs=(JobCut("leaderboards_v1", "abc", "f00", 7, {0: 5, 1: 6}),),
                high={0: 9, 1: 6},
                bracket_events=4,
                ledger=LedgerBalance("user-score", 15, 14, 0, 0, 1, {"NOT_JSON": 1}, (HOLE,)),
            ),
        ),
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
    places = [
        page.index(part)
        for part in (
            ">DIFFERENT</h1>",
            ">Causes</h2>",
            ">Rows that differ</h2>",
            ">This run alone",
            ">Ledger of",
            ">Boards</h2>",
            ">Cuts and jobs</h2>",
        )
    ]
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


def test_the_policy_of_the_page_allows_its_own_style_and_nothing_else():
    page = render_report(run_with(difference()), [])
    [style] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'" in page
    assert " style=" not in page
    assert " on" not in "".join(re.findall(r"<[a-z][^>]*>", page)).replace(" only", "")


def test_hidden_characters_are_shown_and_turn_nothing_around():
    name = "gnp\u202e.exe\u2066\u200b\u0000\x1b[31m"
    page = render_report(run_with(difference(entity=(name,), streamed=name, explanation=name)), [])
    assert "gnp[U+202E].exe[U+2066][U+200B][U+0000][U+001B][31m" in page
    assert not set("\u202e\u2066\u200b\u0000\x1b") & set(page)
    assert visible("Zoë\n漢字 فريق") == "Zoë\n漢字 فريق"


LATE = {"topic": "user-score", "partition": 1, "offset": 48811, "event_id": "e-9", "score": 1200, "behind_ms": 71_000}


def test_a_cause_is_told_with_its_events_its_action_and_whether_it_is_accepted():
    found = difference(
        alternatives=((Cause.LATE,),),
        accepted=True,
        action="nothing; see `gamestream why`",
        evidence={"events": [LATE], "events_total": 3, "behind_at_least_ms": 71_000, "note": HOSTILE},
    )
    page = render_report(run_with(found), [])
    assert "<code>user-score p1@48811</code> · score 1,200 · <bdi>e-9</bdi> · 71 s behind" in page
    assert "and 2 more" in page
    assert "<dt>behind at least</dt><dd><bdi>71 s</bdi></dd>" in page.replace("\n", "")
    assert "nothing; see <code>gamestream why</code>" in page
    assert MEANING[Cause.LATE] in page
    assert ">accepted</span>" in page
    assert "not accepted" not in page


def test_what_cannot_be_told_apart_is_said():
    page = render_report(run_with(difference(alternatives=((Cause.LATE,), (Cause.DUPLICATE, Cause.OVERFLOW)))), [])
    assert "Either LATE, or DUPLICATE and OVERFLOW together: each of them yields the shown value" in page
    assert either(((Cause.LATE, Cause.DUPLICATE),)).startswith("LATE and DUPLICATE together give")
    assert "Do not repair" in either(())


def test_the_worst_stands_first_and_a_row_counts_once():
    late = {"alternatives": ((Cause.LATE,),), "accepted": True}
    edited = {"alternatives": ((Cause.EDITED_BY_HAND,),)}
    found = [
        difference(**late),
        difference(column="total_score", **late),
        difference(rank=1, **edited),
        difference(rank=2),
    ]
    assert [(one.cause, one.rows, one.policy) for one in causes(found)] == [
        ("UNEXPLAINED", 1, "not accepted"),
        ("EDITED_BY_HAND", 1, "not accepted"),
        ("LATE", 1, "accepted"),
    ]
    assert [one.difference.cause for one in rows(found)] == ["UNEXPLAINED", "EDITED_BY_HAND", "LATE", "LATE"]


def test_more_rows_than_fit_are_said():
    page = render_report(run_with(*(difference(rank=rank) for rank in range(ROWS_SHOWN + 5))), [])
    assert page.count("<article") == ROWS_SHOWN
    assert f"{ROWS_SHOWN} of {ROWS_SHOWN + 5} differences" in page


def test_every_cause_has_a_meaning():
    assert set(MEANING) == set(Cause)


def test_the_trend_links_the_reports_that_are_there(tmp_path):
    def past(name: str, folder: object = tmp_path) -> PastRun:
        return PastRun(name, NOW, "bracket", "MATCH", 10, 0, 4, 1.5, f"{folder}/{name}.html")

    (tmp_path / "old.html").write_text("", encoding="utf-8")
    write_report(tmp_path / "r1.html", run_with(), [past("gone"), past("old"), past("r0", "/elsewhere"), past("r1")])
    page = (tmp_path / "r1.html").read_text(encoding="utf-8")
    assert re.findall(r'<a href="([^"#]+)"', page) == ["r1.html", "old.html"]
    assert "No row differed in these runs" in page


def test_a_ledger_that_does_not_add_up_is_the_verdict_without_a_differing_row():
    page = render_report(replace(run_with(), verdict=Verdict.DIFFERENT), [])
    assert "the ledger of the events does not add up" in page
    assert "What does not add up" in page


@pytest.mark.parametrize(
    ("millis", "told"), [(850, "850 ms"), (71_000, "71 s"), (785_000, "13 min 5 s"), (7_380_000, "2 h 3 min")]
)
def test_durations(millis, told):
    assert duration(millis) == told


def test_a_run_that_could_not_look_says_so(tmp_path):
    run = ReconciliationRun("r2", Mode.DRAINED, Verdict.COULD_NOT_RUN, "job x is down", NOW, 0.1)
    write_report(tmp_path / "r2.html", run, [])
    page = (tmp_path / "latest.html").read_text(encoding="utf-8")
    assert "job x is down" in page
    assert "no verdict on the boards" in page


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
