"""The linter's rules on Flink's real planner."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.clients.flink_sql_gateway import SqlGateway
from gamestream_dagster.flink_jobs.linter.lint import lint
from gamestream_dagster.flink_jobs.linter.source import units_of
from gamestream_dagster.settings import Settings
from tests.fakes.lint_marks import CASES, marked

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def gateway(stack: Settings) -> Iterator[SqlGateway]:
    client = SqlGateway(stack.flink_gateway, timeout_seconds=30.0)
    yield client
    client.close()


@pytest.mark.parametrize("case", ["board_scripts", "clean.sql"])
def test_text_and_planner_find_what_is_marked_and_nothing_else(gateway: SqlGateway, case: str):
    report = lint(units_of([CASES / case]), gateway)
    assert {(Path(one.file).name, one.line, one.code) for one in report.findings} == marked(
        CASES / case, "finds", "plans"
    )


def test_the_projects_own_jobs_have_no_fault(gateway: SqlGateway):
    units = units_of([FLINK_SQL_DIR])
    report = lint(units, gateway)
    assert report.findings == ()
    assert report.plans == len(units) >= 4, "each job with ids and without"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("WHERE NOT (points < 0)", "", "GS12"),
        ("total_score DESC, team_id ASC", "total_score DESC, team_name ASC", "GS04"),
        (
            "SELECT rnk, team_id, team_name, total_score",
            "SELECT total_score AS rnk, team_id, team_name, rnk AS total_score",
            "GS05",
        ),
        ("SUM(points) AS player_total", "SUM(pointz) AS player_total", "GS16"),
    ],
)
def test_a_fault_planted_in_our_own_job_shows_in_its_plan(
    gateway: SqlGateway, tmp_path: Path, old: str, new: str, code: str
):
    root = shutil.copytree(FLINK_SQL_DIR, tmp_path / "flink_sql")
    query = root / "leaderboards_v1" / "query.sql"
    text = query.read_text(encoding="utf-8")
    assert old in text
    query.write_text(text.replace(old, new), encoding="utf-8")
    report = lint(units_of([root / "leaderboards_v1"]), gateway)
    assert code in {one.code for one in report.findings}
