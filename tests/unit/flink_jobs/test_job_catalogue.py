from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gamestream_dagster.catalogue.topics import Dedup
from gamestream_dagster.flink_jobs.errors import JobSpecError, UnknownJobError
from gamestream_dagster.flink_jobs.spec.catalogue import load_job, load_jobs
from gamestream_dagster.flink_jobs.spec.job_spec import UpgradeMode
from tests.support.fakes.job_specs import OUTPUT, QUERY, SOURCE

JOB = {
    "description": "Totals.",
    "owners": ["team:game-analytics"],
    "sources": ["user_score.sql"],
    "reads": ["user-score"],
    "flink": {"parallelism.default": 2, "pipeline.object-reuse": True},
}


def folder(
    root: Path, job: str = "totals_v1", query: str = QUERY, output: dict[str, object] | None = OUTPUT, **changes: object
) -> Path:
    for directory in (root / "_sources", root / job):
        directory.mkdir(parents=True, exist_ok=True)
    (root / "_sources" / "user_score.sql").write_text(SOURCE)
    content = {key: value for key, value in {**JOB, **changes}.items() if value is not None}
    (root / job / "job.yaml").write_text(yaml.safe_dump(content))
    (root / job / "query.sql").write_text(query)
    if output is not None:
        (root / job / "outputs" / "v").mkdir(parents=True, exist_ok=True)
        (root / job / "outputs" / "v" / "output.yaml").write_text(yaml.safe_dump(output))
    return root


def test_a_folder_is_read(tmp_path: Path) -> None:
    spec = load_jobs(folder(tmp_path))["totals_v1"]
    assert spec.upgrade_mode is UpgradeMode.SAVEPOINT
    assert spec.flink == {"parallelism.default": "2", "pipeline.object-reuse": "true"}
    assert [file.path for file in spec.files()] == [
        "_sources/user_score.sql",
        "totals_v1/query.sql",
        "totals_v1/sinks.sql (rendered)",
    ]


def test_the_jobs_of_the_project_can_be_read() -> None:
    for name, spec in load_jobs().items():
        assert name == spec.name
        assert spec.reads


SECRET = "CREATE TEMPORARY VIEW w AS SELECT * FROM s /*+ OPTIONS('a' = 'b') */ WHERE 'password' = 'hunter2'; " + QUERY


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"owners": None}, "owners"),
        ({"description": ""}, "description"),
        ({"owners": ["somebody"]}, "team:<name>"),
        ({"sources": ["nowhere.sql"]}, "_sources/nowhere.sql is missing"),
        ({"sources": ["../x.sql"]}, "must be a file name"),
        ({"sources": None}, "at least one file"),
        ({"reads": []}, "reads"),
        ({"colour": "blue"}, "colour"),
        ({"name": "other"}, "follows from the folder"),
        ({"upgrade_mode": "sometimes"}, "upgrade_mode"),
        ({"flink": {"pipeline.name": "x"}}, "pipeline.name is decided"),
        ({"flink": {"a": [1]}}, "needs a single value"),
        ({"query": "SELECT 1;"}, "only CREATE TEMPORARY VIEW"),
        ({"query": "ADD JAR 'x.jar';"}, "only CREATE TEMPORARY VIEW"),
        ({"query": ""}, "holds no statement"),
        ({"query": "CREATE TEMPORARY VIEW v AS SELECT 'open;"}, "never closed"),
        ({"query": SECRET}, "holds a secret"),
        ({"output": None}, "totals_v1 writes nothing: describe an output"),
        ({"output": {**OUTPUT, "order": ["user_id asc"]}}, "`order` needs a column with the role `rank`"),
        ({"output": {**OUTPUT, "columns": {}}}, "no column has the role `key`"),
        ({"output": {**OUTPUT, "sinks": {}}}, "name `kafka` or `postgres`"),
        ({"output": {**OUTPUT, "sinks": {"kafka": {"topic": "x' = 'y"}}}}, "sinks.kafka.topic"),
        ({"output": {**OUTPUT, "sinks": {"postgres": {"flush_interval": "1 s', 'x' = 'y"}}}}, "flush_interval"),
        ({"query": QUERY.replace("VIEW v", "VIEW w")}, "no view 'v': the view with an output's name feeds it"),
        ({"query": f"{QUERY} {QUERY}"}, "defines 'v', which totals_v1/query.sql defines already"),
        (
            {"query": QUERY + QUERY.replace("VIEW v", "VIEW v_table")},
            r"sinks\.sql \(rendered\) defines 'v_table', which totals_v1/query.sql defines already",
        ),
        ({"ledger": {"copy": False}}, "`ledger` can hold `copies: false` alone"),
    ],
)
def test_a_broken_folder_is_refused_with_file_and_mend(tmp_path: Path, changes: dict[str, object], named: str) -> None:
    with pytest.raises(JobSpecError, match=named) as raised:
        load_jobs(folder(tmp_path, **changes))  # type: ignore[arg-type]
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("former", ["sinks.sql", "boards"])
def test_what_the_former_layout_held_is_not_passed_over(tmp_path: Path, former: str) -> None:
    (folder(tmp_path) / "totals_v1" / former).mkdir()
    with pytest.raises(JobSpecError, match=f"totals_v1/{former} is not read: the sinks are rendered"):
        load_jobs(tmp_path)


def test_a_folder_without_a_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobSpecError, match="_v<number>"):
        load_jobs(folder(tmp_path, job="totals"))


def test_an_unknown_job_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownJobError, match="totals_v1"):
        load_job("nothing_v1", folder(tmp_path))
    with pytest.raises(UnknownJobError):
        load_job("../totals_v1", tmp_path)


COUNTED = "CREATE TEMPORARY VIEW counted_scores AS SELECT 1 AS x;"
IDS = {"user-score": Dedup(key=("user_id", "event_id"), horizon="12m")}  # type: ignore[arg-type] - read as a duration


def with_variants(root: Path, **changes: object) -> Path:
    folder(root, sources=["user_score.sql", "counted_scores.sql"], **changes)
    (root / "_sources" / "counted_scores.sql").write_text(COUNTED)
    (root / "_sources" / "counted_scores.without_ids.sql").write_text(COUNTED.replace("1 AS", "2 AS"))
    return root


def test_a_topic_without_event_ids_has_its_own_variant_and_fingerprint(tmp_path: Path) -> None:
    root = with_variants(tmp_path)
    with_ids, without = load_job("totals_v1", root, dedup=IDS), load_job("totals_v1", root, dedup={})
    assert with_ids.sources[1].path == "_sources/counted_scores.sql"
    assert without.sources[1].path == "_sources/counted_scores.without_ids.sql"
    assert (with_ids.id_horizon_ms, without.id_horizon_ms) == (720_000, None)
    hour = IDS["user-score"].model_copy(update={"horizon": 3_600_000})
    longer = load_job("totals_v1", root, dedup={"user-score": hour})
    assert len({with_ids.code_version, without.code_version, longer.code_version}) == 3


def test_a_job_that_drops_no_copies_does_not_change_with_the_horizon(tmp_path: Path) -> None:
    root = folder(tmp_path)
    assert load_job("totals_v1", root, dedup=IDS) == load_job("totals_v1", root, dedup={})


def test_topics_that_differ_in_event_ids_are_not_read_by_one_job(tmp_path: Path) -> None:
    root = with_variants(tmp_path, reads=["user-score", "elsewhere"])
    with pytest.raises(JobSpecError, match="differ in `dedup`"):
        load_job("totals_v1", root, dedup=IDS)


def test_the_project_declares_ids_and_has_both_variants() -> None:
    jobs = load_jobs()
    assert jobs["leaderboards_v1"].id_horizon_ms == 720_000
    assert jobs["hot_streaks_v1"].id_horizon_ms == 720_000
    for name, spec in jobs.items():
        paths = {file.path for file in load_job(name, dedup={}).sources}
        # intake has dropped the copies of enriched events; a log line has no id
        carries_ids = spec.reads not in (("game-events-enriched",), ("logs",))
        assert len(paths - {file.path for file in spec.sources}) == carries_ids, name
