"""Facts about causes from a job's deployments: expiring state, and restores from an older state than the best."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from gamestream_dagster.flink_jobs.record.deployment import Deployment
from gamestream_dagster.flink_jobs.record.deployment_store import PostgresDeploymentStore

_TTL = re.compile(r"^(\d+)\s*(ms|s|min|h|d)$")
_KEEPS_IDS = "deduplicateState"
"""State that expires by design: what is then counted again is a `DUPLICATE`."""
_UNIT_MS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True)
class OldRestore:
    """A deployment that restored a state although a newer one existed."""

    generation: int
    submitted_at: datetime
    restored: str
    newer: str
    """The newer state, or the deployment that had continued from there."""


@dataclass(frozen=True)
class JobFacts:
    """Facts about one job."""

    job: str
    ttls_millis: tuple[int, ...] = ()
    """Time to live of state without a change."""
    old_restores: tuple[OldRestore, ...] = ()


def read_facts(engine: Engine, job: str) -> JobFacts:
    """The facts of the job's stored deployments."""
    deployments = PostgresDeploymentStore(engine).history(job)
    if not deployments:
        return JobFacts(job)
    return JobFacts(job, expiries(deployments[0]), old_restores(deployments))


def expiries(deployment: Deployment) -> tuple[int, ...]:
    """Times to live of the deployment's state, milliseconds, from its compiled plan or its options."""
    options: dict[str, Any] = deployment.spec.get("options") or {}
    texts = [str(options.get("table.exec.state.ttl", ""))]
    plan: dict[str, Any] = json.loads(deployment.compiled_plan or "{}")
    for node in plan.get("nodes", ()):
        texts += [state.get("ttl", "") for state in node.get("state") or () if state.get("name") != _KEEPS_IDS]
    found = [_TTL.match(text) for text in texts]
    return tuple(sorted({int(match[1]) * _UNIT_MS[match[2]] for match in found if match} - {0}))


def old_restores(newest_first: Sequence[Deployment]) -> tuple[OldRestore, ...]:
    """Deployments that restored a state after which the job had already run on."""
    found: list[OldRestore] = []
    deployments = sorted(newest_first, key=lambda one: one.generation)
    for place, one in enumerate(deployments):
        if one.restore_path is None or one.submitted_at is None:
            continue
        before = deployments[:place]
        makers = [other.generation for other in before if _made(other, one.restore_path)]
        later = [other for other in before if makers and other.generation > max(makers) and other.running_at]
        own = [other for other in before if makers and other.generation == max(makers)]
        if later:
            newer = later[-1].savepoint_path or f"the state of generation {later[-1].generation}"
            found.append(OldRestore(one.generation, one.submitted_at, one.restore_path, newer))
        elif own and own[0].savepoint_path not in (None, one.restore_path):
            found.append(OldRestore(one.generation, one.submitted_at, one.restore_path, str(own[0].savepoint_path)))
    return tuple(found)


def _made(deployment: Deployment, path: str) -> bool:
    """Whether a deployment made the state at `path`; a checkpoint's folder contains the job's id in Flink."""
    return deployment.savepoint_path == path or (
        bool(deployment.flink_job_id) and f"/{deployment.flink_job_id}/" in path
    )
