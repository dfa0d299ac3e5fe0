"""A reconciliation in savepoint mode, in a process of its own, that is killed at one of its steps.

`python -m tests.support.killed_proof HOME PORT_BASE STEP`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.flink_jobs.record.deployment import DeploymentState
from gamestream_dagster.reconciliation.observe.boards import BoardObserver
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import load_settings
from tests.support.killed_executor import ALWAYS, die_after, saves

STEPS = {
    "the first stop is recorded as begun": saves(DeploymentState.STOPPING),
    "Flink has stopped the first job": (FlinkRest, "stop_with_savepoint", ALWAYS),
    "all jobs are stopped": (BoardObserver, "rows", ALWAYS),
}

if __name__ == "__main__":
    home, ports, step = sys.argv[1:]
    die_after(STEPS[step])
    reconcile(load_settings(home=Path(home), port_base=int(ports)), "savepoint")
