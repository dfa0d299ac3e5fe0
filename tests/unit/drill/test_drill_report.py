"""The matrix in the terminal, on the page and in the figures says the same, and hostile text stays text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from gamestream_dagster.drill import view
from gamestream_dagster.drill.model import BackBy, Boards, DrillRun, JobOutcome, ScenarioResult, TimelineEntry
from gamestream_dagster.drill.report import render_drill, write_drill

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RIGHT = Boards("MATCH", "", 80, 0, 1000, 1000, 0, 0, True)
ENTRY = TimelineEntry(11.0, "tried", "<script>alert(1)</script>")
JOB = JobOutcome("totals_v1", BackBy.MANAGER, 12.0, 30.0, "chk-7", "chk-7", True, timeline=(ENTRY,))
OTHER = JobOutcome("streaks_v1", BackBy.FLINK, 9.0, 41.0, "chk-9", "chk-9", True)
HELD = ScenarioResult("jobmanager", "JobManager killed", "It comes back.", 1, NOW, 40.0, (JOB, OTHER), RIGHT)
WRONG = replace(
    HELD, number=2, boards=replace(RIGHT, lost=3, balanced=False), jobs=(replace(JOB, restored_right=False),)
)
RUN = DrillRun("r1", NOW, 60.0, 5, 100.0, 30.0, 5, RIGHT, (HELD, WRONG))


def test_a_line_tells_the_worst_job_and_every_state() -> None:
    row = view.matrix_row(HELD)
    assert len(row.cells) == len(view.COLUMNS)
    assert (row.seen, row.back, row.restored, row.right) == ("12.0 s", "41.0 s", "chk-7, chk-9", "yes")
    assert (row.twice, row.lost, row.doubled, row.boards, row.verdict) == ("no", "0", "0", "yes", "HELD")
    assert row.back_by == "job manager, Flink"
    saved = replace(JOB, restored_from="savepoint-77fd08-8a2b1c")
    assert view.matrix_row(replace(HELD, jobs=(saved, saved))).restored == "savepoint"
    assert "savepoint-77fd08-8a2b1c" in view.job_words(saved)


def test_what_is_not_known_is_not_fine() -> None:
    row = view.matrix_row(replace(HELD, jobs=(), boards=None, could_not="no server"))
    assert set(row.cells[1:-1]) == {view.NOT_KNOWN}
    assert row.verdict == "COULD_NOT_RUN"
    late = replace(HELD, jobs=(JOB, replace(OTHER, back_seconds=None)))
    assert view.matrix_row(late).back == view.NOT_KNOWN


def test_the_page_shows_every_scenario_and_loads_nothing() -> None:
    page = render_drill(RUN)
    assert "NOT HELD" in page
    assert "3 events lost" in page
    assert "jobmanager 2" in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"(src|href)=\"(?!#)", page)
    assert page.count("<tr>") == page.count("</tr>")


def test_the_figures_are_kept_as_page_and_json(tmp_path: Path) -> None:
    elsewhere = tmp_path / "more" / "page.html"
    assert write_drill(tmp_path / "drill", RUN, elsewhere) == elsewhere
    assert {path.name for path in (tmp_path / "drill").iterdir()} == {
        "r1.html",
        "r1.json",
        "latest.html",
        "latest.json",
    }
    found = json.loads((tmp_path / "drill" / "latest.json").read_text())
    assert (found["verdict"], found["results"][0]["verdict"]) == ("NOT_HELD", "HELD")
    assert found["results"][1]["reasons"][0].startswith("totals_v1 was restored from chk-7")
    assert found["times"][0]["back"] == [30.0, 41.0]
