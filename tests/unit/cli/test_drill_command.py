"""`gamestream drill`: exit codes, data apart from talk, and where the page goes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gamestream_dagster.cli import drill as module
from gamestream_dagster.cli.options import CouldNotRun
from gamestream_dagster.drill import run as runner
from gamestream_dagster.drill.errors import DrillError
from gamestream_dagster.drill.model import BackBy, Boards, DrillRun, JobOutcome, ScenarioResult

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RIGHT = Boards("MATCH", "", 80, 0, 1000, 1000, 0, 0, True)
JOB = JobOutcome("totals_v1", BackBy.MANAGER, 12.0, 30.0, "chk-7", "chk-7", True)
HELD = ScenarioResult("kills", "Kills", "It comes back.", 1, NOW, 40.0, (JOB,), RIGHT)
RUN = DrillRun("r1", NOW, 60.0, 5, 100.0, 30.0, 5, RIGHT, (HELD, replace(HELD, number=2)))


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    app = typer.Typer()
    module.register(app)
    app.command("other")(lambda: None)  # else typer makes the only command the whole program

    def run(found: DrillRun, *arguments: str):
        monkeypatch.setattr(runner, "drill_on", lambda *_, **__: found)
        return CliRunner().invoke(app, ["drill", *arguments, "--home", str(tmp_path / "home")])

    return run


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (RUN, 0),
        (replace(RUN, results=(replace(HELD, boards=replace(RIGHT, doubled=1)),)), 1),
        (replace(RUN, could_not="no servers"), 2),
    ],
)
def test_the_exit_code_says_what_the_drill_says(call, tmp_path: Path, found: DrillRun, code: int) -> None:
    result = call(found)
    assert result.exit_code == code
    assert found.verdict.value in result.stdout
    assert (tmp_path / "home" / "reports" / "drill" / "latest.html").is_file()
    assert "Report: file:///" in result.stderr


def test_the_matrix_and_the_percentiles_are_data(call) -> None:
    result = call(RUN)
    assert "kills 2" in result.stdout
    assert "kills, 2 times: seen p50 12.0 s, p95 12.0 s; back p50 30.0 s, p95 30.0 s" in result.stdout


def test_json_is_all_that_stands_on_stdout(call, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = call(RUN, "--json", "--html", str(page))
    assert json.loads(result.stdout)["results"][1]["jobs"][0]["restored_from"] == "chk-7"
    assert page.is_file()


def test_the_scenarios_are_listed_without_playing(call) -> None:
    result = call(RUN, "--list")
    assert "gateway-hangs" in result.stdout
    assert result.exit_code == 0


def test_a_wrong_name_could_not_run(call) -> None:
    result = call(RUN, "--only", "nothing")
    assert isinstance(result.exception, CouldNotRun)
    assert isinstance(result.exception.__cause__, DrillError)
