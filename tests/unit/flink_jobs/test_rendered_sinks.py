"""Sinks, ledger and statement set are rendered from the descriptions of the outputs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR, load_boards
from gamestream_dagster.catalogue.sources import load_dedup
from gamestream_dagster.cli.main import build
from gamestream_dagster.flink_jobs.errors import JobSpecError
from gamestream_dagster.flink_jobs.spec import catalogue
from gamestream_dagster.flink_jobs.spec.catalogue import load_job, load_jobs
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec
from gamestream_dagster.flink_jobs.spec.scaffold import new_output
from gamestream_dagster.flink_jobs.spec.sql_text import split
from gamestream_dagster.flink_jobs.target.targets import target_as_deployed, target_for, what_ran
from gamestream_dagster.reconciliation.observe.job_ledger import COUNTS
from gamestream_dagster.settings import Season, Settings
from gamestream_dagster.warehouse.ledger_parts import ledger_part
from gamestream_dagster.warehouse.tables import is_system_table, job_ledger
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
    ledger = ["ledger_table"] if spec.ledgers else []
    assert tables == [*expected, *ledger]
    assert [one.split()[2] for one in inserts(spec)] == tables
    assert all(one.endswith(f"FROM {one.split()[2].rpartition('_')[0]}") for one in inserts(spec)[: len(expected)])
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
    assert text.count("PRIMARY KEY (`hour`, user_id) NOT ENFORCED") == 2
    assert text.count("`hour` STRING, user_id STRING, total BIGINT") == 2
    assert "'url' = '${jdbc_url}&stringtype=unspecified'" in text
    assert "ledger" not in text, "its sources do not say which records they refuse"


def test_options_of_the_sinks_are_those_of_the_description(tmp_path: Path) -> None:
    sinks = {"kafka": {"topic": "other", "delivery": "at-least-once", "transaction_timeout_seconds": 60}}
    text = output(tmp_path, sinks=sinks)
    assert "'connector' = 'jdbc'" not in text
    for option in ("'topic' = 'other'", "'sink.delivery-guarantee' = 'at-least-once'", "timeout.ms' = '60000'"):
        assert option in text


ARENA = {"user_score": "arena_score", "user-score": "arena-score"}
ARENA |= {"checked_": "checked_arena_", "counted_": "counted_arena_"}
UNION = "SELECT * FROM user_score UNION ALL SELECT * FROM arena_score"


def two_topics(root: Path, **changes: str) -> Path:
    """The jobs, of which the leaderboards read a second topic beside the first."""
    shutil.copytree(FLINK_SQL_DIR, root)
    sources = root / "_sources"
    for name in ("user_score.sql", "checked_scores.sql", "counted_scores.sql", "counted_scores.without_ids.sql"):
        made, text = name, (sources / name).read_text(encoding="utf-8")
        for old, new in ARENA.items():
            made, text = made.replace(old, new), text.replace(old, new)
        (sources / made).write_text(changes.get(made, text), encoding="utf-8")
    job = root / "leaderboards_v1" / "job.yaml"
    described = yaml.safe_load(job.read_text(encoding="utf-8"))
    described["sources"] += ["arena_score.sql", "checked_arena_scores.sql", "counted_arena_scores.sql"]
    described["reads"] = ["user-score", "arena-score"]
    job.write_text(yaml.safe_dump(described), encoding="utf-8")
    return root


@pytest.fixture
def both_with_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    dedup = load_dedup()
    monkeypatch.setattr(catalogue, "load_dedup", lambda _: {**dedup, "arena-score": dedup["user-score"]})


@pytest.mark.usefixtures("both_with_ids")
def test_a_job_has_a_ledger_for_each_topic_that_it_reads(tmp_path: Path) -> None:
    spec = load_job("leaderboards_v1", two_topics(tmp_path / "flink_sql"))
    assert spec.ledgers == ("user-score", "arena-score")
    first, second = inserts(spec)[-2:]
    assert first.startswith("INSERT INTO ledger_of_user_score_table SELECT job, partition_id")
    assert second.endswith("FROM ledger_of_arena_score")
    parts = [one for one in statements(spec) if one.startswith("CREATE TEMPORARY TABLE ledger")]
    assert ["'table-name' = 'job_ledger_user_score'" in parts[0], "job_ledger_arena_score" in parts[1]] == [True, True]
    assert "FROM checked_arena_scores" in spec.sinks.text
    rendered = target_for(Settings(home=tmp_path), spec).rendered
    assert (rendered.id_topics, rendered.id_horizon_ms) == (2, 720_000)


@pytest.mark.usefixtures("both_with_ids")
def test_a_new_board_of_a_job_on_two_topics_names_its_topic(tmp_path: Path) -> None:
    root = two_topics(tmp_path / "flink_sql")
    new_output(root, "leaderboards_v1", "arenas")
    assert load_boards(root)["arenas"].source == "user-score"


@pytest.mark.usefixtures("both_with_ids")
@pytest.mark.parametrize(
    ("source", "text", "said"),
    [
        (
            "checked_arena_scores.sql",
            "CREATE TEMPORARY VIEW checked_arena_scores AS SELECT * FROM user_score;",
            "checked_scores and checked_arena_scores both read user-score; keep one of them",
        ),
        (
            "checked_arena_scores.sql",
            f"CREATE TEMPORARY VIEW checked_arena_scores AS {UNION};",
            "checked_arena_scores reads arena-score, user-score; a ledger counts one topic, write a view for each",
        ),
    ],
)
def test_a_ledger_whose_topic_is_not_clear_is_refused(tmp_path: Path, source: str, text: str, said: str) -> None:
    with pytest.raises(JobSpecError, match=said):
        load_job("leaderboards_v1", two_topics(tmp_path / "flink_sql", **{source: text}))


def test_a_ledger_of_a_topic_that_the_job_does_not_list_is_refused(tmp_path: Path) -> None:
    root = two_topics(tmp_path / "flink_sql")
    job = root / "leaderboards_v1" / "job.yaml"
    job.write_text(job.read_text(encoding="utf-8").replace("- arena-score\n", ""), encoding="utf-8")
    with pytest.raises(JobSpecError, match="checked_arena_scores reads the topic arena-score; list it in `reads`"):
        load_job("leaderboards_v1", root)


def test_table_template_and_reader_have_one_list_of_columns() -> None:
    columns = [one.name for one in job_ledger.columns]
    [table] = [one for one in statements(JOBS["leaderboards_v1"]) if "CREATE TEMPORARY TABLE ledger_table" in one]
    listed = table.partition("(")[2].partition(", PRIMARY KEY")[0]
    assert [one.split()[0] for one in listed.split(", ")] == [name for name in columns if name != "topic"]
    assert "topic" not in inserts(JOBS["leaderboards_v1"])[-1]
    assert columns == ["job", "topic", "partition_id", "minute_millis", *COUNTS]


def test_the_part_of_a_long_topic_is_not_cut_off() -> None:
    first, second = (ledger_part("x" * 100 + end) for end in "ab")
    assert len(first) == len(second) == 63
    assert first != second
    assert ledger_part("match-results") == "job_ledger_match_results"
    assert is_system_table(first)


def test_a_record_of_the_former_layout_runs_again_as_it_ran(tmp_path: Path) -> None:
    """It holds the files of then, sinks.sql among them: nothing of the folder is needed."""
    settings = Settings.model_validate({"home": tmp_path, "postgres_password": CANARY})
    spec = JOBS["leaderboards_v1"]
    ran = json.loads(json.dumps(what_ran(target_for(settings, spec))))
    former = spec.sinks.text.replace("top-teams", "of-then").replace("'job_ledger_user_score'", "'job_ledger'")
    ran["files"][-1] = {"path": "leaderboards_v1/sinks.sql", "text": former}
    ran["writes"] = {"boards": ["top_teams"], "tables": ["job_ledger"], "topics": []}
    del ran["id_key"], ran["ledgers"]
    again = target_as_deployed(settings, spec, record(job=spec.name, spec=ran))
    assert "'topic' = 'of-then'" in " ".join(again.rendered.definitions)
    assert "'table-name' = 'job_ledger_user_score'" in " ".join(again.rendered.definitions), "the table of then is gone"
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
