"""The page Quality: from what Postgres and Data Docs hold to tiles and panels."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.dashboard.markup import panels as drawn
from gamestream_dagster.dashboard.pages.quality.proofs import Differing, Proofs
from gamestream_dagster.dashboard.pages.quality.suites import DocsRun, Suite, read_runs
from gamestream_dagster.dashboard.pages.quality.view import panels, tiles
from gamestream_dagster.dashboard.parts import Chart, Note, Panel, Table, Tone
from gamestream_dagster.reconciliation.results.proofs import FinishedRun

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
BOARDS = [board for board in load_boards().values() if board.ranked]
NAMES = [board.name for board in BOARDS]


def run(verdict: str = "MATCH", age: int = 3, **values: Any) -> dict[str, Any]:
    return {
        "run_id": f"r{age}",
        "finished_at": NOW - timedelta(minutes=age),
        "mode": "bracket",
        "verdict": verdict,
        "reason": None,
        "rows_compared": 40,
        "rows_different": 0,
        "rows_unexplained": 0,
        "bracket_events": 10,
        "seconds": 4.0,
        "report_path": f"r{age}.html",
        **values,
    }


def finished(verdict: str = "MATCH", age: int = 3) -> FinishedRun:
    return FinishedRun(f"r{age}", NOW - timedelta(minutes=age), verdict, "", 40, f"r{age}.html", None)


def report(stored: str | None) -> str:
    return f"/reports/{stored}" if stored else ""


def page(proofs: Proofs, runs: tuple[DocsRun, ...] = ()) -> dict[str, Panel]:
    return {one.name: one for one in panels(proofs, BOARDS, runs, report, lambda path: f"/reports/{path.name}")}


def tile(proofs: Proofs, label: str, runs: tuple[DocsRun, ...] = ()) -> tuple[str, Tone, str]:
    found = next(one for one in tiles(proofs, BOARDS, runs, report) if one.label == label)
    return found.value, found.tone, found.href


def notes(panel: Panel) -> str:
    return " ".join(f"{one.text} {one.command}" for one in panel.parts if isinstance(one, Note))


def test_before_the_first_run_every_panel_says_what_to_do() -> None:
    empty = page(Proofs(NOW))
    for name in ("boards", "trend", "causes", "ledger"):
        assert "gamestream reconcile" in notes(empty[name]), name
    assert "gamestream simulate" in notes(empty["intake"])
    assert "archive_and_reconcile" in notes(empty["suites"])
    missing = page(Proofs(NOW, missing=frozenset({"differences", "ingest_counts"})))
    assert "gamestream apply" in notes(missing["trend"])
    assert "gamestream apply" in notes(missing["intake"])
    assert drawn("auto", tiles(Proofs(NOW), BOARDS, (), report), list(empty.values()))


def test_a_proof_counts_for_half_an_hour() -> None:
    fresh = Proofs(NOW, runs=[run()], by_board={name: finished() for name in NAMES})
    assert tile(fresh, "Newest proof") == ("MATCH", Tone.GOOD, "/reports/r3.html")
    assert tile(fresh, "Boards proven")[:2] == ("4 of 4", Tone.GOOD)
    old = Proofs(NOW, runs=[run(age=90)], by_board={name: finished(age=90) for name in NAMES})
    assert tile(old, "Newest proof")[1] is Tone.WARN


def test_a_run_that_could_not_look_proves_nothing() -> None:
    proofs = Proofs(NOW, runs=[run("COULD_NOT_RUN")], by_board={name: finished("COULD_NOT_RUN") for name in NAMES})
    assert tile(proofs, "Newest proof")[:2] == ("COULD NOT RUN", Tone.WARN)
    assert tile(proofs, "Boards proven")[:2] == ("0 of 4", Tone.WARN)
    table = page(proofs)["boards"].parts[0]
    assert isinstance(table, Table)
    assert {row[2].text for row in table.rows} == {"–"}


def test_a_board_is_judged_by_its_own_rows() -> None:
    runs = {name: finished("DIFFERENT") for name in NAMES}
    differing = {"top_players": Differing(1, False), "hot_streaks": Differing(2, True)}
    proofs = Proofs(NOW, runs=[run("DIFFERENT")], by_board=runs, differing=differing)
    table = page(proofs)["boards"].parts[0]
    assert isinstance(table, Table)
    told = {row[0].text: (row[1].text, row[2].text) for row in table.rows}
    assert told["Top players"] == ("DIFFERENT", "1")
    assert told["Hot streaks"] == ("EXPLAINED", "2")
    assert told["Top teams"] == ("MATCH", "0")
    assert tile(proofs, "Boards proven")[:2] == ("3 of 4", Tone.WARN)
    # no row differs: what is wrong lies elsewhere, and nothing is called proven
    elsewhere = Proofs(NOW, runs=[run("DIFFERENT")], by_board=runs)
    assert tile(elsewhere, "Boards proven")[:2] == ("0 of 4", Tone.WARN)


def test_the_trend_shows_each_verdict_by_a_sign_and_links_its_report() -> None:
    runs = [run("DIFFERENT", 1, rows_different=2, reason="two rows"), run("EXPLAINED", 2), run(age=3), run("", 4)]
    [chart] = page(Proofs(NOW, runs=runs))["trend"].parts
    assert isinstance(chart, Chart)
    assert [bar.mark for bar in chart.bars] == ["?", "✓", "≈", "✗"]
    assert chart.bars[-1].href == "/reports/r1.html"
    assert "two rows" in chart.bars[-1].hint
    assert "1 DIFFERENT" in chart.summary


def test_causes_say_what_they_mean_and_whether_the_policy_accepts_them() -> None:
    causes = [
        {"cause": "LATE", "found": 4, "runs": 2, "accepted": 4, "boards": ["hot_streaks"], "action": "none"},
        {"cause": "UNEXPLAINED", "found": 1, "runs": 1, "accepted": 0, "boards": ["top_teams"], "action": "look"},
        {"cause": "LATE + TIE_ORDER", "found": 2, "runs": 1, "accepted": 1, "boards": ["x"], "action": None},
    ]
    rows = [
        {
            **dict.fromkeys(("explanation", "action")),
            "run_id": "r3",
            "board": "top_teams",
            "sink": "postgres",
            "rnk": 2,
            "entity": "team-1",
            "kind": "VALUE",
            "column_name": "total_score",
            "streamed": 1100,
            "recomputed": 1000,
            "cause": "LATE",
            "accepted": True,
        }
    ]
    proofs = Proofs(NOW, runs=[run("DIFFERENT", rows_different=5)], causes=causes, rows=rows)
    by_cause, by_row = page(proofs)["causes"].parts
    assert isinstance(by_cause, Table)
    assert [row[2].text for row in by_cause.rows] == ["accepted", "not accepted", "1 accepted"]
    assert "watermark" in by_cause.rows[0][0].soft
    assert isinstance(by_row, Table)
    assert [cell.text for cell in by_row.rows[0]] == ["top_teams #2", "1,100", "1,000", "LATE"]
    assert "4 more in its report" in by_row.more


def test_a_ledger_that_is_off_is_red_and_names_its_faults() -> None:
    counts = {"records": 100, "accepted": 90, "duplicate": 5, "late": 3, "dead_lettered": 2}
    ledger = {**counts, "balanced": False, "faults": ["hole in the archive: p0@3..7 is gone"]}
    row = {"topic": "user-score", "ledger": ledger, "run_id": "r3", "finished_at": NOW, "report_path": "r3.html"}
    proofs = Proofs(NOW, runs=[run()], ledgers=[row])
    assert tile(proofs, "Ledger") == ("not balanced", Tone.BAD, "/reports/r3.html")
    assert "p0@3..7" in notes(page(proofs)["ledger"])
    edited = {"records": "many", "faults": "none", "accepted": None, "balanced": "yes"}
    assert "user-score" in drawn("auto", [], [page(Proofs(NOW, ledgers=[{**row, "ledger": edited}]))["ledger"]])
    good = Proofs(NOW, runs=[run()], ledgers=[{**row, "ledger": {**counts, "balanced": True}}])
    assert tile(good, "Ledger")[1] is Tone.GOOD


def test_answers_over_http_that_do_not_add_up_are_red() -> None:
    minute = {"minute": NOW, "received": 10, "accepted": 7, "duplicate": 1, "refused": 1, "retry": 0}
    html = drawn("auto", [], [page(Proofs(NOW, http=[minute]))["intake"]])
    assert "9 answered" in html
    html = drawn("auto", [], [page(Proofs(NOW, http=[{**minute, "retry": 1}]))["intake"]])
    assert "all answered" in html


def test_settled_days_stand_beside_what_was_streamed() -> None:
    def compared(metric: str, verdict: str, **causes: int) -> dict[str, Any]:
        shown = {"settle_version": 2, "compared_at": NOW - timedelta(minutes=5), "numbers": 9, "differing": 3}
        return {"metric": metric, "day": date(2026, 11, 25), "verdict": verdict, "causes": causes, **shown}

    rows = [compared("event_counts", "EXPLAINED", LATE=3), compared("revenue_daily", "DIFFERENT", UNEXPLAINED_LOST=1)]
    panel = page(Proofs(NOW, live=rows))["live"]
    text = drawn("auto", [], [panel])
    for part in ("25 Nov 2026", "version 2", "LATE in 3", "UNEXPLAINED_LOST in 1", "metrics/revenue_daily"):
        assert part in text, part
    [table] = panel.parts
    assert isinstance(table, Table)
    assert [row[2].tone for row in table.rows] == [Tone.PLAIN, Tone.BAD]


def test_results_of_great_expectations_are_read_beside_their_pages(tmp_path: Path) -> None:
    assert read_runs(tmp_path) == []
    folder = tmp_path / "data_docs"
    folder.mkdir()
    (folder / "index.html").write_text("x", encoding="utf-8")
    assert [len(one.suites) for one in read_runs(tmp_path)] == [0]
    for broken in ("{", "[]", '{"built_at": 3}', "\x00"):
        (folder / "results.json").write_text(broken, encoding="utf-8")
        assert [len(one.suites) for one in read_runs(tmp_path)] == [0]
    suite = {
        "suite": "top_players",
        "title": "Top players",
        "state": "HOLDS",
        "evaluated": 10,
        "expectations": 9,
        "held": 9,
        "sentence": "9 expectations hold over 10 rows.",
        "page": "validations/top_players/x.html",
    }
    (folder / "results.json").write_text(json.dumps({"built_at": NOW.isoformat(), "suites": [suite]}), encoding="utf-8")
    [found] = read_runs(tmp_path)
    assert (found.built_at, found.suites[0].held) == (NOW, 9)


def test_a_suite_that_fails_comes_first_and_turns_the_tile_red() -> None:
    def suite(name: str, state: str, held: int) -> Suite:
        return Suite(suite=name, title=name, state=state, evaluated=1, expectations=3, held=held, sentence="s")

    docs = DocsRun(
        Path("/d/index.html"), NOW, (suite("a", "HOLDS", 3), suite("b", "FAILS", 2), suite("c", "NOT_RUN", 0))
    )
    panel = page(Proofs(NOW), (docs,))["suites"]
    table = panel.parts[0]
    assert isinstance(table, Table)
    assert [row[0].text for row in table.rows] == ["b", "a"]
    assert "for want of rows: c." in notes(panel)
    assert tile(Proofs(NOW), "Expectations", (docs,))[:2] == ("5 of 9", Tone.BAD)
