"""Groups of aggregates that expire: only those that the job names, and no state that has lost some is restored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.flink_jobs.errors import JobSpecError, SubmissionRejectedError
from gamestream_dagster.flink_jobs.execute.submission import with_expiry
from gamestream_dagster.flink_jobs.spec.catalogue import default_jobs, load_job, load_jobs
from gamestream_dagster.flink_jobs.spec.job_spec import Expiry
from gamestream_dagster.flink_jobs.target.render import bindings_for, render
from gamestream_dagster.flink_jobs.target.targets import target_for, what_ran
from gamestream_dagster.settings import load_settings

MINUTES = Expiry(by="minute", after="48h")  # pyright: ignore[reportArgumentType] - read from a text
JOB = "game_metrics_v1"


def aggregate(*columns: str, groups: int) -> dict[str, Any]:
    return {
        "id": 1,
        "type": "stream-exec-group-aggregate_1",
        "grouping": list(range(groups)),
        "outputType": f"ROW<{', '.join(f'`{name}` BIGINT' for name in columns)}>",
        "state": [{"index": 0, "ttl": "0 ms", "name": "groupAggregateState"}],
    }


def expiring(*nodes: dict[str, Any], expires: Expiry = MINUTES) -> list[str]:
    plan = json.loads(with_expiry(json.dumps({"nodes": nodes, "edges": []}), expires))
    return [node["state"][0]["ttl"] for node in plan["nodes"]]


def test_only_aggregates_that_group_by_the_column_forget() -> None:
    ledger = aggregate("job", "partition_id", "minute_millis", "records", groups=3)
    by_value = aggregate("region", "minute", groups=1)
    found = expiring(aggregate("minute", "region", "events", groups=2), ledger, by_value)
    assert found == ["172800000 ms", "0 ms", "0 ms"]


def test_over_windows_that_are_partitioned_by_the_column_forget() -> None:
    over = {
        "id": 2,
        "type": "stream-exec-over-aggregate_1",
        "overSpec": {"partition": {"fields": [1]}},
        "outputType": "ROW<`region` BIGINT, `minute` BIGINT>",
    }
    other = {**over, "overSpec": {"partition": {"fields": [0]}}}
    copies = {**over, "configuration": {"table.exec.state.ttl": "720000 ms"}}
    nodes = [aggregate("minute", "events", groups=1), over, other, copies]
    plan = json.loads(with_expiry(json.dumps({"nodes": nodes, "edges": []}), MINUTES))
    assert plan["nodes"][1]["configuration"] == {"table.exec.state.ttl": "172800000 ms"}
    assert "configuration" not in plan["nodes"][2]
    assert plan["nodes"][3]["configuration"] == copies["configuration"]  # ids of events have a horizon of their own


def test_over_windows_forget_by_each_of_several_columns() -> None:
    over = {
        "id": 2,
        "type": "stream-exec-over-aggregate_1",
        "overSpec": {"partition": {"fields": [0]}},
        "outputType": "ROW<`session_id` BIGINT, `minute` BIGINT>",
    }
    several = MINUTES.model_copy(update={"by": ("session_id", "minute")})
    nodes = [aggregate("minute", "events", groups=1), aggregate("session_id", groups=1), over]
    plan = json.loads(with_expiry(json.dumps({"nodes": nodes, "edges": []}), several))
    assert plan["nodes"][2]["configuration"] == {"table.exec.state.ttl": "172800000 ms"}


def test_groups_of_several_columns_forget() -> None:
    several = MINUTES.model_copy(update={"by": ("session_id", "minute")})
    by_session = aggregate("user_id", "session_id", "events", groups=2)
    of_player = aggregate("user_id", "seen", groups=1)
    assert expiring(aggregate("minute", "region", "events", groups=2), by_session, of_player, expires=several) == [
        "172800000 ms",
        "172800000 ms",
        "0 ms",
    ]
    with pytest.raises(SubmissionRejectedError, match="No aggregate of the plan groups by session_id"):
        expiring(aggregate("minute", "region", "events", groups=2), expires=several)


def test_a_column_that_no_aggregate_groups_by_is_refused() -> None:
    with pytest.raises(SubmissionRejectedError, match="No aggregate of the plan groups by minute"):
        expiring(aggregate("region", "events", groups=1))


def changed(folder: Path, **fields: Any) -> Path:
    """The job's folder with other fields in its job.yaml."""
    for name in (JOB, "_sources"):
        (folder / name).symlink_to(FLINK_SQL_DIR / name)
    (folder / JOB).unlink()
    (folder / JOB).mkdir()
    for part in (FLINK_SQL_DIR / JOB).iterdir():
        if part.name != "job.yaml":
            (folder / JOB / part.name).symlink_to(part)
    described = yaml.safe_load((FLINK_SQL_DIR / JOB / "job.yaml").read_text(encoding="utf-8"))
    (folder / JOB / "job.yaml").write_text(yaml.safe_dump({**described, **fields}), encoding="utf-8")
    return folder


def test_a_state_older_than_half_the_expiry_is_not_restored(tmp_path: Path) -> None:
    assert load_job(JOB).limits.restore_age_hours == 24
    shorter = changed(tmp_path, limits={"restore_age_hours": 5})
    assert load_job(JOB, shorter).limits.restore_age_hours == 5


def test_a_limit_beyond_half_the_expiry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobSpecError, match=r"restore_age_hours is 25, and `expires` allows at most 24"):
        load_job(JOB, changed(tmp_path, limits={"restore_age_hours": 25}))


def test_what_ran_keeps_its_expiry_and_a_change_of_it_is_another_version(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home")
    spec = load_job(JOB)
    assert what_ran(target_for(settings, spec))["expires"] == {"by": "minute", "after": 172_800_000}
    rendered = render(spec, bindings_for(settings, JOB))
    assert rendered.expires == spec.expires
    assert rendered.edits_the_plan
    other = tmp_path / "flink_sql"
    other.mkdir()
    longer = load_job(JOB, changed(other, expires={"by": "minute", "after": "96h"}))
    assert longer.code_version != spec.code_version


def test_a_job_on_request_is_none_of_the_default() -> None:
    jobs = load_jobs()
    assert JOB in jobs
    assert set(jobs) - set(default_jobs(jobs)) == {name for name, spec in jobs.items() if spec.on_request}
    assert JOB not in default_jobs(jobs)
