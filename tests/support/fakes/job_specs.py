"""Job specs for tests that need one and do not care what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gamestream_dagster.flink_jobs.record.deployment import Deployment
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec, SqlFile
from gamestream_dagster.flink_jobs.target.render import RenderedJob
from gamestream_dagster.flink_jobs.target.targets import Target

SOURCE = "CREATE TEMPORARY TABLE user_score (user_id STRING) WITH ('connector' = 'kafka', 'x' = ${kafka_bootstrap});"
QUERY = "CREATE TEMPORARY VIEW v AS SELECT user_id FROM user_score;"
OUTPUT: dict[str, object] = {
    "title": "Totals",
    "description": "Totals.",
    "owner": "team:game-analytics",
    "columns": {"user_id": {"type": "string", "role": "key"}},
}
SINKS = "EXECUTE STATEMENT SET BEGIN INSERT INTO s SELECT * FROM v; END;"


def job_spec(**changes: Any) -> JobSpec:
    """A valid spec, with fields changed."""
    fields: dict[str, Any] = {
        "name": "totals_v1",
        "folder": Path("totals_v1"),
        "description": "Totals.",
        "owners": ("team:game-analytics",),
        "reads": ("user-score",),
        "sources": (SqlFile(path="_sources/user_score.sql", text=SOURCE),),
        "query": SqlFile(path="totals_v1/query.sql", text=QUERY),
        "sinks": SqlFile(path="totals_v1/sinks.sql (rendered)", text=SINKS),
    }
    return JobSpec(**{**fields, **changes})


def target(fingerprint: str = "f" * 64, **changes: Any) -> Target:
    """What is to be deployed; the fakes note its SQL and read nothing in it."""
    limits = {"steady_seconds": 0, **changes.pop("limits", {})}
    spec = job_spec(limits=limits, **changes)
    return Target(spec, fingerprint, RenderedJob((), spec.sinks.text), {"parallelism.default": "1"}, "file:/sp")


def target_as_recorded(deployment: Deployment) -> Target:
    """What a deployment of a fake world ran."""
    sinks = SqlFile(**deployment.spec["files"][-1])
    return target(deployment.fingerprint, sinks=sinks)
