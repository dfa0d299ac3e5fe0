"""Sinks, ledger and statement set are rendered from the descriptions of the outputs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.cli.main import build
from gamestream_dagster.flink_jobs.errors import JobSpecError
from gamestream_dagster.flink_jobs.spec.catalogue import load_job, load_jobs
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec
from gamestream_dagster.flink_jobs.spec.sql_text import split
from gamestream_dagster.flink_jobs.target.targets import target_as_deployed, target_for, what_ran
from gamestream_dagster.settings import Season, Settings
from tests.support.fakes.job_questions import record

JOBS = load_jobs(season=Season.DAILY)
CANARY = "canary-of-the-password"


def statements(spec: JobSpec) -> list[str]:
    return [" ".join(one.text.split()) for one in split(spec.sinks.text)]


def inserts(spec: JobSpec) -> list[str]:
    body = statements(spec)[-1]
    return [one.strip() for one in body.removeprefix("EXECUTE STATEMENT SET BEGIN").removesuffix("END").split(";")[:-1]]


@pytest.mark.parametrize("spec", JOBS.values(), ids=lambda spec: spec.name)
def test_each_output_has_two_sinks_and_the_ledger_comes_last(spec: JobSpec) -> None:
    tables = [one.split()[3] for one in statements(spec) if one.startswith("CREATE TEMPORARY TABLE")]
    expected = [f"{output.name}_{kind}" for output in spec.outputs for kind in ("topic", "table")]
    expected += [f"{stream.name}_stream" for stream in spec.streams]
    assert tables == [*expected, "ledger_table"]
    assert [one.split()[2] for one in inserts(spec)] == tables
    assert all(one.endswith(f"FROM {one.split()[2].rpartition('_')[0]}") for one in inserts(spec)[:-1])
    keyed = [one for one in statements(spec) if "CREATE TEMPORARY TABLE" in one and "PRIMARY KEY" in one]
    assert len(keyed) == len(tables) - len(spec.streams)
    assert all("'sink.parallelism' = '1'" in one for one in keyed)


def test_the_order_is_that_of_the_views(tmp_path: Path) -> None:
    """It decides how operators are numbered, and so whether a state fits."""
    assert [one.name for one in JOBS["leaderboards_v1"].outputs] == ["top_teams", "top_players", "team_mvps"]
    root = shutil.copytree(FLINK_SQL_DIR, tmp_path / "flink_sql")
    query = root / "leaderboards_v1" / "query.sql"
    text = query.read_text(encoding="utf-8")
    query.write_text(text + "\nCREATE TEMPORARY VIEW best_teams AS SELECT * FROM top_teams;\n", encoding="utf-8")
    outputs = root / "leaderboards_v1" / "outputs"
    shutil.copytree(outputs / "top_teams", outputs / "best_teams")
    longer, former = load_job("leaderboards_v1", root), JOBS["leaderboards_v1"]
    assert inserts(longer)[: 2 * len(former.outputs)] == inserts(former)[:-1]
    assert "'topic' = 'best-teams'" in longer.sinks.text
    assert "'sink.transactional-id-prefix' = 'gamestream-leaderboards_v1-best_teams'" in longer.sinks.text


def output(root: Path, **changes: object) -> str:
    """The rendered sinks of a job with one output without ranks."""
    folder = root / "totals_v1" / "outputs" / "totals"
    folder.mkdir(parents=True)
    described = {
        "title": "Totals",
        "description": "Totals.",
        "owner": "team:a",
        "columns": {
            "hour": {"type": "timestamp", "role": "key"},
            "user_id": {"type": "string", "role": "key"},
            "total": {"type": "bigint", "role": "sum", "over": ["user_id"]},
        },
        **changes,
    }
    (folder / "output.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    shutil.copytree(FLINK_SQL_DIR / "_sources", root / "_sources")
    (root / "totals_v1" / "query.sql").write_text("CREATE TEMPORARY VIEW totals AS SELECT * FROM counted_scores;")
    job = {"description": "d", "owners": ["team:a"], "reads": ["user-score"], "sources": ["user_score"]}
    (root / "totals_v1" / "job.yaml").write_text(yaml.safe_dump(job))
    return load_job("totals_v1", root).sinks.text


def test_an_output_without_ranks_is_keyed_by_its_keys_whose_times_are_text(tmp_path: Path) -> None:
    text = output(tmp_path)
    assert text.count("PRIMARY KEY (hour, user_id) NOT ENFORCED") == 2
    assert text.count("hour STRING, user_id STRING, total BIGINT") == 2
    assert "'url' = '${jdbc_url}?stringtype=unspecified'" in text
    assert "ledger" not in text, "its sources do not say which records they refuse"


def test_options_of_the_sinks_are_those_of_the_description(tmp_path: Path) -> None:
    sinks = {"kafka": {"topic": "other", "delivery": "at-least-once", "transaction_timeout_seconds": 60}}
    text = output(tmp_path, sinks=sinks)
    assert "'connector' = 'jdbc'" not in text
    for option in ("'topic' = 'other'", "'sink.delivery-guarantee' = 'at-least-once'", "timeout.ms' = '60000'"):
        assert option in text


def test_a_job_counts_the_events_of_one_topic(tmp_path: Path) -> None:
    root = shutil.copytree(FLINK_SQL_DIR, tmp_path / "flink_sql")
    (root / "_sources" / "checked_more.sql").write_text("CREATE TEMPORARY VIEW checked_more AS SELECT 1 AS a;")
    job = root / "leaderboards_v1" / "job.yaml"
    job.write_text(job.read_text().replace("[user_score.sql,", "[checked_more.sql, user_score.sql,"))
    with pytest.raises(JobSpecError, match="a job counts one topic's events"):
        load_job("leaderboards_v1", root)


def test_a_record_of_the_former_layout_runs_again_as_it_ran(tmp_path: Path) -> None:
    """It holds the files of then, sinks.sql among them: nothing of the folder is needed."""
    settings = Settings.model_validate({"home": tmp_path, "postgres_password": CANARY})
    spec = JOBS["leaderboards_v1"]
    ran = json.loads(json.dumps(what_ran(target_for(settings, spec))))
    ran["files"][-1] = {"path": "leaderboards_v1/sinks.sql", "text": spec.sinks.text.replace("top-teams", "of-then")}
    ran["writes"] = {"boards": ["top_teams"], "tables": ["job_ledger"], "topics": []}
    del ran["id_key"]
    again = target_as_deployed(settings, spec, record(job=spec.name, spec=ran))
    assert "'topic' = 'of-then'" in " ".join(again.rendered.definitions)
    assert again.rendered.id_key == ("user_id", "event_id")


@pytest.mark.parametrize("as_json", [False, True])
def test_the_rendered_sql_is_shown_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    monkeypatch.setenv("GAMESTREAM_POSTGRES_PASSWORD", CANARY)
    command = ["jobs", "show", "hot_streaks_v1", "--sql", "--home", str(tmp_path), *(["--json"] if as_json else [])]
    result = CliRunner().invoke(build(), command)
    assert result.exit_code == 0, result.output
    assert CANARY not in result.output
    text = " ".join(json.loads(result.stdout)["statements"]) if as_json else result.stdout
    assert "'password' = '***'" in text
    assert "${" not in text
    assert "INSERT INTO hot_streaks_table SELECT CAST(as_of AS STRING) || '+00', rnk" in text
    if not as_json:  # it can be run as it is
        assert (
            len(split(text))
            == len(target_for(Settings(home=tmp_path), JOBS["hot_streaks_v1"]).rendered.definitions) + 1
        )
