"""`gamestream new` makes folders that lint clean; what it cannot make it refuses and writes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR, load_boards
from gamestream_dagster.cli.main import build
from gamestream_dagster.flink_jobs.linter.lint import text_findings
from gamestream_dagster.flink_jobs.linter.source import units_of
from gamestream_dagster.flink_jobs.spec.catalogue import load_job
from gamestream_dagster.reconciliation.recompute.boards import check_board


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return shutil.copytree(FLINK_SQL_DIR, tmp_path / "flink_sql")


def new(root: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(build(), ["new", *arguments, "--folder", str(root)])
    return done.exit_code, f"{done.output}{done.exception or ''}"


def clean(root: Path, job: str) -> bool:
    return not any(list(text_findings(unit)) for unit in units_of([root / job]))


@pytest.mark.parametrize("ranked", [True, False])
@pytest.mark.parametrize("job", ["leaderboards_v1", "hot_streaks_v1"])
def test_an_output_is_added_at_the_end_of_its_job(root: Path, job: str, ranked: bool) -> None:
    before = [one.name for one in load_job(job, root).outputs]
    code, told = new(root, "board", "clan_scores", "--job", job, *([] if ranked else ["--without-ranks"]))
    assert code == 0, told
    assert "--replay reads all events again" in told
    spec = load_job(job, root)
    assert [one.name for one in spec.outputs] == [*before, "clan_scores"]
    assert spec.outputs[-1].ranked is ranked
    check_board(spec.outputs[-1])
    assert clean(root, job)


def test_a_job_has_a_ledger_and_one_output_of_its_name(root: Path) -> None:
    code, told = new(root, "job", "clans_v1", "--reads", "user-score")
    assert code == 0, told
    spec = load_job("clans_v1", root)
    assert (spec.ledgers, spec.tables_written) == (("user-score",), ("clans", "job_ledger"))
    assert [Path(one.path).name for one in spec.sources] == [
        "user_score.sql",
        "checked_scores.sql",
        "counted_scores.sql",
    ]
    assert spec.id_horizon_ms == 720_000
    assert clean(root, "clans_v1")
    check_board(load_boards(root)["clans"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["board", "top_teams", "--job", "leaderboards_v1"], "leaderboards_v1 has an output 'top_teams' already"),
        (["board", "mvp_player_totals", "--job", "leaderboards_v1"], "defines a view 'mvp_player_totals' already"),
        (["board", "Top-Teams", "--job", "leaderboards_v1"], "is not an identifier"),
        (["board", "job_ledger", "--job", "leaderboards_v1"], "is the name of a system table"),
        (["board", "clans", "--job", "nothing_v1"], "There is no job 'nothing_v1'"),
        (["job", "clans", "--reads", "user-score"], "write `<small_letters>_v<number>`, such as clans_v1"),
        (["job", "leaderboards_v1", "--reads", "user-score"], "leaderboards_v1 exists already"),
        (["job", "top_teams_v1", "--reads", "user-score"], "has an output 'top_teams' already"),
        (["job", "clans_v1", "--reads", "no-topic"], "no table over the topic 'no-topic'"),
    ],
)
def test_what_cannot_be_made_is_refused_and_nothing_is_written(root: Path, arguments: list[str], told: str) -> None:
    before = sorted(root.rglob("*"))
    code, said = new(root, *arguments)
    assert code != 0
    assert told in said
    assert sorted(root.rglob("*")) == before
