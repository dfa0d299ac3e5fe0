"""What the sources make of jobs, proofs and runs."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from gamestream_dagster.alerts.samples import Sample, written
from gamestream_dagster.flink_jobs.record.observed import Figures, JobState, ObservedJob
from gamestream_dagster.monitoring.flink_series import samples_of
from gamestream_dagster.monitoring.proof_series import of_board
from gamestream_dagster.reconciliation.results.proofs import FinishedRun
from gamestream_dagster.settings import Settings

NOW = 1_800_000_000.0


class FakeFlink:
    """Gives the page of a job."""

    def job_page(self, job_id: str) -> str:
        return f"http://flink/{job_id}"


def values(samples: list[Sample]) -> dict[str, float]:
    return {written(one.series, one.labels): one.value for one in samples}


def of_job(state: JobState, figures: Figures | None) -> list[Sample]:
    flink: Any = FakeFlink()
    return samples_of(ObservedJob(job="a", state=state, figures=figures), flink, NOW, {"user-score p0": 17})


def test_a_running_job_has_a_state_a_lag_and_the_age_of_its_checkpoint() -> None:
    figures = Figures(
        now_ms=100_000, flink_job_id="f", running_since_ms=10_000, checkpoint_at_ms=70_000, lag_records=20_000
    )
    samples = of_job(JobState.RUNNING, figures)
    found = values(samples)
    assert found['flink_job_state{flink_job="a",state="RUNNING"}'] == 1
    assert found['flink_job_state{flink_job="a",state="FAILED"}'] == 0
    assert found['kafka_consumer_lag{flink_job="a"}'] == 20_000
    assert found['flink_job_is_fresh{flink_job="a"}'] == 0
    assert found['flink_job_checkpoint_age_seconds{flink_job="a"}'] == 30
    (lag,) = (one for one in samples if one.series == "kafka_consumer_lag")
    assert lag.evidence == {"page": "http://flink/f", "read_up_to": {"user-score p0": 17}}


def test_a_job_without_figures_has_a_state_and_no_reading_of_the_others() -> None:
    found = values(of_job(JobState.ABSENT, None))
    assert found['flink_job_state{flink_job="a",state="ABSENT"}'] == 1
    assert found['flink_job_is_fresh{flink_job="a"}'] == 0
    for series in ("kafka_consumer_lag", "flink_job_failures", "flink_job_checkpoint_age_seconds"):
        assert math.isnan(found[f'{series}{{flink_job="a"}}']), series


def test_a_job_whose_lag_flink_does_not_know_yet_is_neither_fresh_nor_not() -> None:
    found = values(of_job(JobState.RUNNING, Figures(now_ms=100_000, flink_job_id="f")))
    for series in ("kafka_consumer_lag", "flink_job_is_fresh", "flink_job_checkpoint_age_seconds"):
        assert math.isnan(found[f'{series}{{flink_job="a"}}']), series
    assert found['flink_job_failures{flink_job="a"}'] == 0


def test_a_proof_that_could_not_run_says_nothing_about_the_board() -> None:
    at = datetime.fromtimestamp(NOW - 60, UTC)
    for verdict, correct in (("MATCH", 1.0), ("EXPLAINED", 1.0), ("DIFFERENT", 0.0), ("COULD_NOT_RUN", math.nan)):
        run = FinishedRun("r", at, verdict, "", 10, None, None)
        found = values(of_board("top", run, Settings(), NOW))
        assert found['board_is_correct{board="top"}'] == pytest.approx(correct, nan_ok=True)
        assert found[f'reconciliation_verdict{{board="top",verdict="{verdict}"}}'] == 1
        assert found['reconciliation_age_seconds{board="top"}'] == 60
