"""Parallelism of a job whose folder does not set it: a share of the cluster's cores.

On two cores, two tasks of a job read fewer events per second than one: they compete with the other jobs, the broker
and the database for the same cores, and records cross network buffers. A savepoint or checkpoint restores at any
parallelism up to `max_parallelism`, so the share may change at any time.
"""

from __future__ import annotations

import os
from typing import Final

from gamestream_dagster.flink_jobs.spec.fixed import PARALLELISM
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec
from gamestream_dagster.settings import TASK_SLOTS, Settings

# Each job holds slots of its own: the boards' two, the job of the seasons, intake, and a recompute as a batch job.
_JOBS_AT_ONCE: Final = 5
_CORES_ELSEWHERE: Final = 2  # default for an external cluster


def parallelism_of(settings: Settings, spec: JobSpec) -> int:
    """The job's parallelism: what `job.yaml` says, else what `flink_options` says, else its share of the cores.

    A share is at least 1 and at most the job's `max_parallelism`; on the embedded cluster also at most a quarter of
    the task slots, so that all jobs fit.
    """
    if PARALLELISM in spec.flink:
        return int(spec.flink[PARALLELISM])  # the spec has checked it
    written = settings.flink_options.get(PARALLELISM, "")
    if written.isdigit() and int(written) > 0:
        return min(int(written), spec.max_parallelism)
    embedded = not settings.is_external("flink")
    cores = settings.flink_cores or ((os.cpu_count() or 1) if embedded else _CORES_ELSEWHERE)
    share = round(cores * settings.job_core_share, 6)
    most = TASK_SLOTS // _JOBS_AT_ONCE if embedded else spec.max_parallelism
    return max(1, min(int(share), most, spec.max_parallelism))
