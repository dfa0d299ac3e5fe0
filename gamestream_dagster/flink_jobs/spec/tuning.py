"""The settings of `stream_profile` in a job's folder, applied over its base settings."""

from __future__ import annotations

import re

from gamestream_dagster.flink_jobs.errors import JobSpecError
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec, SqlFile
from gamestream_dagster.settings import StreamProfile


def tuned(spec: JobSpec, profile: StreamProfile) -> JobSpec:
    """The job under a profile: more Flink options and other sink options. The queries do not change.

    Raises:
        JobSpecError: `low_latency` replaces a value that no sink has.
    """
    if profile is StreamProfile.DEFAULT or spec.low_latency is None:
        return spec
    text = spec.sinks.text
    for option, values in spec.low_latency.sinks.items():
        for old, new in values.items():
            pair = re.compile(rf"('{re.escape(option)}'\s*=\s*)'{re.escape(old)}'")
            text, count = pair.subn(lambda found, new=new: f"{found[1]}'{new}'", text)
            if not count:
                raise JobSpecError(
                    f"{spec.name}/job.yaml: `low_latency` changes '{option}' = '{old}', which {spec.sinks.path} "
                    "does not have; write the value that stands there"
                )
    sinks = SqlFile(path=spec.sinks.path, text=text)
    return spec.model_copy(update={"sinks": sinks, "flink": {**spec.flink, **spec.low_latency.options}})
