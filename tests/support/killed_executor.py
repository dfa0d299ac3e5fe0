"""An executor in a process of its own that is killed at one of its steps.

`python -m tests.support.killed_executor HOME PORT_BASE ROOT JOB STEP`; an empty step: it is not killed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.flink_jobs.control import manager
from gamestream_dagster.flink_jobs.execute.submission import GatewaySubmitter
from gamestream_dagster.flink_jobs.record.deployment import DeploymentState
from gamestream_dagster.flink_jobs.record.deployment_store import PostgresDeploymentStore
from gamestream_dagster.settings import load_settings

Step = tuple[type, str, Callable[[dict[str, Any]], bool]]


def saves(state: DeploymentState) -> Step:
    return PostgresDeploymentStore, "save", lambda given: given.get("state") is state


ALWAYS: Callable[[dict[str, Any]], bool] = lambda given: True  # noqa: E731
STEPS: dict[str, Step] = {
    "the stop is recorded as begun": saves(DeploymentState.STOPPING),
    "Flink has stopped the job": (FlinkRest, "stop_with_savepoint", ALWAYS),
    "the savepoint is recorded": saves(DeploymentState.SUSPENDED),
    "the intent is stored": (PostgresDeploymentStore, "add", ALWAYS),
    "Flink has the new job": (GatewaySubmitter, "submit", ALWAYS),
    "the new job is recorded as running": saves(DeploymentState.RUNNING),
}


def die_after(step: Step) -> None:
    """Have this process killed, as by the kernel, right after the step."""
    owner, name, meant = step
    real = getattr(owner, name)

    def last_act(*given: Any, **named: Any) -> Any:
        answer = real(*given, **named)
        if meant(named):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(owner, name, last_act)


if __name__ == "__main__":
    home, ports, root, job, step = sys.argv[1:]
    if step:
        die_after(STEPS[step])
    settings = load_settings(home=Path(home), port_base=int(ports))
    manager.apply_job(settings, job, root=Path(root))
