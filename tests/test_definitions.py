"""The asset graph as a whole: it loads, it can be shown, it has no loose end, and a rename shows up in review."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path

import dagster as dg
import pytest
import yaml

from gamestream_dagster.settings import PROJECT_ROOT

SNAPSHOT = Path(__file__).with_name("asset_keys.yaml")
# Weighs seconds, and only runs need it: the code location must load without.
HEAVY = ("great_expectations", "duckdb", "pyarrow", "pandas", "confluent_kafka", "pyflink", "streamlit", "alembic")


@cache
def loaded() -> dg.Definitions:
    from gamestream_dagster.definitions import defs

    return defs()


@cache
def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in loaded().resolve_all_asset_specs()}


def test_asset_keys_checks_jobs_and_automation_are_as_in_the_snapshot() -> None:
    definitions = loaded()
    graph = definitions.resolve_asset_graph()
    checks = defaultdict(list)
    for key in graph.asset_check_keys:
        checks[key.asset_key.to_user_string()].append(key.name)
    repository = definitions.get_repository_def()
    found = {
        "assets": {name: sorted(checks[name]) for name in sorted(specs())},
        "jobs": sorted(job.name for job in repository.get_all_jobs() if not job.name.startswith("__")),
        "schedules": sorted(schedule.name for schedule in repository.schedule_defs),
        "sensors": sorted(sensor.name for sensor in repository.sensor_defs),
    }
    assert found == yaml.safe_load(SNAPSHOT.read_text(encoding="utf-8")), (
        f"the asset graph changed; if that is meant, write this into {SNAPSHOT.name}:\n{yaml.safe_dump(found)}"
    )


def test_definitions_can_be_sent_to_the_webserver() -> None:
    from dagster._core.remote_representation.external_data import RepositorySnap
    from dagster._serdes import serialize_value

    # A value that cannot be serialised fails only here, not when the definitions are loaded.
    assert serialize_value(RepositorySnap.from_def(loaded().get_repository_def()))


@pytest.mark.parametrize("name", sorted(specs()))
def test_every_asset_says_who_what_and_where(name: str) -> None:
    spec = specs()[name]
    assert spec.owners, "an owner answers for every asset"
    assert spec.kinds
    assert spec.group_name in {
        "training",
        "provisioning",
        "streaming",
        "archive",
        "metrics",
        "reconciliation",
        "serving",
    }
    assert spec.description
    assert len(spec.description) > 15
    assert {tag for tag in spec.tags if not tag.startswith("dagster/")}


def test_lineage_has_no_loose_end() -> None:
    """Walk the graph: what is provisioned is used, what is used exists, and all of it flows to what people look at."""
    known = specs()
    users: dict[str, set[str]] = defaultdict(set)
    for name, spec in known.items():
        for dep in spec.deps:
            upstream = dep.asset_key.to_user_string()
            assert upstream in known, f"{name} depends on {upstream}, which nothing defines"
            users[upstream].add(name)
    graph = loaded().resolve_asset_graph()
    stubs = [key.to_user_string() for key in graph.get_all_asset_keys() if not graph.get(key).is_materializable]
    # the page reads Postgres whenever somebody opens it, the APIs work whenever a game asks, a sensor evaluates the
    # alerts: nothing to materialise
    assert sorted(stubs) == [
        "serving/alerts", "serving/ingest_api", "serving/leaderboards_page", "serving/serving_api",
    ]  # fmt: skip
    # written only where seasons are kept, and there by an asset of its own
    ends = {name for name in known if not users[name]} - {"table/closed_seasons_table", "table/erase_requests_table"}
    ends -= {"reconciliation/intake"}  # people look at its checks
    ends -= {"archive/transactions_raw_archive"}  # kept to read the originals of what was re-keyed
    ends = {name for name in ends if not name.startswith("metric/")}  # analysts read the tables
    ends -= {"model/difficulty_model"}  # designers ask it with `gamestream models predict`
    ends -= {"topic/game_events_replays_topic"}  # only `gamestream dlq` reads and writes it
    assert {name.split("/")[0] for name in ends} == {"serving"}, f"nothing uses {sorted(ends)}"
    roots = {name.split("/")[0] for name, spec in known.items() if not list(spec.deps)}
    assert roots == {"topic", "subject", "table", "enrichment"}


def test_each_board_flows_from_topic_to_page() -> None:
    from gamestream_dagster.catalogue.boards import load_boards
    from gamestream_dagster.catalogue.sources import load_sources, source_of_board

    upstream = {name: {dep.asset_key.to_user_string() for dep in spec.deps} for name, spec in specs().items()}

    def ancestors(name: str) -> set[str]:
        return upstream[name].union(*(ancestors(one) for one in upstream[name]))

    for board in load_boards().values():
        if not board.proven:
            continue
        expected = {
            f"topic/{source_of_board(board, load_sources()).topic.replace('-', '_')}_topic",
            f"job/{board.job}",
            f"table/{board.name}_table",
            f"topic/{board.topic.replace('-', '_')}_topic",
        }
        assert expected <= ancestors(f"board/{board.name}")
        assert f"board/{board.name}" in ancestors("reconciliation/leaderboards")
        assert f"board/{board.name}" in ancestors("serving/leaderboards_page")


def test_workspace_and_project_name_one_location() -> None:
    workspace = yaml.safe_load((PROJECT_ROOT / "workspace.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["dg"]["project"]
    [entry] = workspace["load_from"]
    assert entry["python_module"]["location_name"] == project["code_location_name"] == "gamestream"
    assert entry["python_module"]["module_name"] == f"{project['root_module']}.definitions"
    assert not (PROJECT_ROOT / "src").exists(), "with a folder `src`, dg looks only there"


def test_no_folder_mixes_a_component_with_python_files() -> None:
    # dg ignores the Python files beside a defs.yaml without a word
    for path in (PROJECT_ROOT / "gamestream_dagster" / "defs").rglob("defs.yaml"):
        assert list(path.parent.glob("*.py")) == []


def test_location_loads_without_the_heavy_libraries() -> None:
    program = (
        "import sys, gamestream_dagster.definitions as d; d.defs().get_repository_def();"
        f"print(','.join(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=PROJECT_ROOT,
        env={**os.environ, "DAGSTER_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_reconciliation_runs_every_15_minutes_and_jobs_are_watched_from_the_start() -> None:
    repository = loaded().get_repository_def()
    schedule = repository.get_schedule_def("reconcile_every_15_minutes")
    assert schedule.cron_schedule == "*/15 * * * *"
    assert schedule.job_name == "reconcile"
    for name in ("examine_every_4_hours", "prune_daily", "reconcile_every_15_minutes"):
        assert repository.get_schedule_def(name).default_status is dg.DefaultScheduleStatus.RUNNING
    for name in ("job_health", "drift", "reconciliation_alarms", "alert_rules"):
        assert repository.get_sensor_def(name).default_status is dg.DefaultSensorStatus.RUNNING


def test_a_job_on_request_is_deployed_by_its_own_asset_alone() -> None:
    repository = loaded().get_repository_def()
    for name in ("deploy", "everything"):
        executed = {key.to_user_string() for key in repository.get_job(name).asset_layer.executable_asset_keys}
        assert "job/leaderboards_v1" in executed
        assert not {"job/game_metrics_v1", "job/player_activity_v1"} & executed


def test_the_quarter_hourly_proof_is_the_archive_the_comparison_and_their_checks() -> None:
    layer = loaded().get_repository_def().get_job("reconcile").asset_layer
    executed = {key.to_user_string() for key in layer.executable_asset_keys}
    archives = {"archive/game_events_raw_archive", "archive/game_events_enriched_archive", "archive/user_score_archive"}
    archives |= {"archive/transactions_keyed_archive", "archive/transactions_raw_archive"}
    assert executed == archives | {"reconciliation/leaderboards"}
    checks = {key.name for key in layer.asset_graph.asset_check_keys}
    own = {"verdict", "no_unexplained", "ledger_balances", "could_look"}
    assert checks == own | {"matches_recompute", "expectations"}


def test_every_check_runs_as_often_as_its_asset_is_materialised() -> None:
    """Dagster shows a check as not evaluated when its asset was materialised after the check ran."""
    repository = loaded().get_repository_def()
    for schedule in repository.schedule_defs:
        layer = repository.get_job(schedule.job_name).asset_layer
        materialised = set(layer.executable_asset_keys)
        run = set(layer.asset_graph.asset_check_keys)
        for key in loaded().resolve_asset_graph().asset_check_keys:
            assert key.asset_key not in materialised or key in run, f"{schedule.name} leaves out {key}"


def test_no_two_nodes_of_the_lineage_have_one_name() -> None:
    names = [name.rsplit("/", 1)[-1] for name in specs()]
    assert sorted(names) == sorted(set(names))


def test_closed_seasons_exist_on_a_stack_that_keeps_seasons() -> None:
    from gamestream_dagster.defs.serving.seasons import season_definitions
    from gamestream_dagster.settings import Season

    assert not season_definitions(Season.NONE).assets
    for season, cron in {Season.HOURLY: "20 * * * *", Season.DAILY: "0 2 * * *", Season.WEEKLY: "0 2 * * *"}.items():
        [schedule] = season_definitions(season).schedules or ()
        assert (schedule.cron_schedule, schedule.job_name) == (cron, "close_seasons")
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def test_no_op_has_a_retry_policy() -> None:
    """With one Dagster also tries again what a person cancelled; `explained` asks for retries itself."""
    jobs = loaded().resolve_all_job_defs()
    ops = [op for job in jobs for op in job.all_node_defs if isinstance(op, dg.OpDefinition)]
    assert ops
    assert {op.name for op in ops if op.retry_policy is not None} == set()
