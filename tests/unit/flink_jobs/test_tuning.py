"""The profile for low latency changes options, and nothing that state hangs on."""

from __future__ import annotations

import json

import pytest

from gamestream_dagster.flink_jobs.errors import JobSpecError
from gamestream_dagster.flink_jobs.execute.submission import compare_plans
from gamestream_dagster.flink_jobs.plan.model import Compatibility
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec, LowLatency
from gamestream_dagster.flink_jobs.spec.tuning import tuned
from gamestream_dagster.flink_jobs.target.targets import target_for
from gamestream_dagster.flink_jobs.target.transactions import transaction_timeout
from gamestream_dagster.settings import Season, StreamProfile, load_settings

JOBS = load_jobs(season=Season.DAILY)


OF_BOARDS = [spec for spec in JOBS.values() if any(output.ranked for output in spec.outputs)]


@pytest.mark.parametrize("spec", OF_BOARDS, ids=lambda spec: spec.name)
def test_every_job_with_boards_has_the_profile_and_keeps_its_queries(spec: JobSpec, tmp_path) -> None:
    settings = load_settings(home=tmp_path, postgres_password="canary")
    quick = settings.model_copy(update={"stream_profile": StreamProfile.LOW_LATENCY})
    usual, low = target_for(settings, spec), target_for(quick, spec)
    # the ticks of hot streaks bound them, whatever its buffers do
    waits = None if spec.name == "hot_streaks_v1" else "5 ms"
    assert low.options.get("execution.buffer-timeout.interval") == waits
    assert low.options != usual.options
    assert low.spec.query == usual.spec.query
    assert low.rendered.definitions != usual.rendered.definitions
    assert "'500 ms'" not in low.spec.sinks.text
    assert low.fingerprint != usual.fingerprint
    assert low.code_version == usual.code_version == spec.code_version
    # nothing is open in Kafka then, so the age of a checkpoint is no danger
    assert transaction_timeout([low.spec.sinks.text]) is None
    assert transaction_timeout([usual.spec.sinks.text]) == 900


def test_the_default_profile_leaves_the_job_as_it_is() -> None:
    spec = JOBS["leaderboards_v1"]
    assert tuned(spec, StreamProfile.DEFAULT) is spec


def test_a_value_that_no_sink_has_is_refused() -> None:
    spec = JOBS["leaderboards_v1"].model_copy(
        update={"low_latency": LowLatency(sinks={"sink.parallelism": {"7": "1"}})}
    )
    with pytest.raises(JobSpecError, match=r"'sink\.parallelism' = '7'"):
        tuned(spec, StreamProfile.LOW_LATENCY)


def test_the_length_of_a_batch_is_no_state() -> None:
    def plan(milliseconds: int) -> str:
        assigner = {
            "id": 7,
            "type": "stream-exec-mini-batch-assigner_1",
            "miniBatchInterval": {"interval": milliseconds, "mode": "ProcTime"},
            "description": f"MiniBatchAssigner(interval=[{milliseconds}ms], mode=[ProcTime])",
        }
        return json.dumps({"nodes": [assigner], "edges": []})

    assert compare_plans(plan(500), plan(20)) is Compatibility.COMPATIBLE
