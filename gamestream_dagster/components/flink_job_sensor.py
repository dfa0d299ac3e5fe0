"""The sensor that watches the Flink SQL jobs. It observes and requests runs; the run plans and acts.

A parked job, which no run can heal, has a row in the table `alerts`.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import orjson

from gamestream_dagster.components.deadline import Deadline, OutOfTimeError
from gamestream_dagster.components.flink_job_health import HEALTHY, health_result, incident_metadata
from gamestream_dagster.components.keys import job_key
from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.flink_jobs.record.incidents import NOTHING_NOTED, Noted
from gamestream_dagster.flink_jobs.record.observed import Figures, JobState, last_movement
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec
from gamestream_dagster.resources.flink_jobs import FlinkJobs

SENSOR = "job_health"
INCIDENT_TAG = "gamestream/incident"
# the earlier figures, without which the run could not detect the stall that the sensor saw
FIGURES_TAG = "gamestream/figures"
# Dagster kills a tick after 60 s; the next tick starts with the jobs that are left.
TICK_SECONDS = 20.0
HEARTBEAT_SECONDS = 3600.0
BACKOFF_SECONDS = 30.0
_FIRST = "It was never deployed; materialise the job for the first time."
MAX_BACKOFF_SECONDS = 600.0


@dataclass(frozen=True)
class Finding:
    """One observation of one job. `incident` is set when a run could heal the job."""

    job: str
    reason: str
    incident: str | None
    check: dg.AssetCheckResult
    """The observation as a result of the check `healthy`."""
    figures: Figures | None = None
    previous: Figures | None = None
    """The figures of the previous observation."""
    noted: Noted = NOTHING_NOTED

    @property
    def metadata(self) -> Mapping[str, Any]:
        """State, health and the figures behind them; the newest incident; the difference from the folder, if any."""
        pending = {"pending": self.noted.pending} if self.noted.pending else {}
        return {**self.check.metadata, **pending, **incident_metadata(self.noted.incident)}

    @property
    def digest(self) -> str:
        """The facts that make an observation new. Figures that change every time are left out to limit the log."""
        state, health = (getattr(self.metadata[name], "value", "") for name in ("state", "health"))
        incident = self.noted.incident
        told = f"{incident.incident_id}/{len(incident.timeline)}" if incident else ""
        return f"{state}|{health}|{self.check.passed}|{self.incident or ''}|{self.noted.pending}|{told}"


@dataclass(frozen=True)
class Attempt:
    """One earlier run for an incident. `ended_at` is None while it runs; epoch seconds."""

    ended_at: float | None


def look(spec: JobSpec, jobs: FlinkJobs, previous: Figures | None = None) -> Finding:
    """Observe one job.

    Args:
        spec: the job.
        jobs: the job manager.
        previous: the figures of the previous observation.

    Raises:
        ServiceError, FlinkJobError: Postgres or the gateway did not answer, or the folder is invalid.
    """
    seen = jobs.look_and_plan(spec.name, previous)
    check, figures, plan = health_result(spec, seen.observed), seen.observed.figures, seen.plan
    if plan is None or seen.record is None:
        never = seen.record is None and seen.observed.state is not JobState.UNKNOWN
        reason = _FIRST if never and not check.passed else check.description or ""
        return Finding(spec.name, reason, None, check, figures, noted=seen.noted)
    # each deployment is an incident of its own: a second failure is healed like the first
    incident = seen.record.deployment_id if plan.decision.heals else None
    return Finding(spec.name, f"{plan.decision.value}: {plan.reason}", incident, check, figures, previous, seen.noted)


def decide(finding: Finding, attempts: Sequence[Attempt], now: float) -> dg.RunRequest | dg.SkipReason:
    """Request a run, or say why not. Pure.

    Args:
        finding: the observation.
        attempts: earlier runs for the same incident.
        now: epoch seconds.
    """
    if finding.incident is None:
        return dg.SkipReason(f"{finding.job}: {finding.reason}")
    if any(attempt.ended_at is None for attempt in attempts):
        return dg.SkipReason(f"{finding.job}: {finding.reason}. A run works on it.")
    if attempts:
        pause = min(BACKOFF_SECONDS * 2 ** (len(attempts) - 1), MAX_BACKOFF_SECONDS)
        waited = now - max(attempt.ended_at or 0.0 for attempt in attempts)
        if waited < pause:
            return dg.SkipReason(
                f"{finding.job}: {finding.reason}. Attempt {len(attempts)} failed; next in {pause:.0f} s."
            )
    return dg.RunRequest(
        # Dagster never repeats a run key, so each attempt has its own
        run_key=f"{finding.job}:{finding.incident}:{len(attempts) + 1}",
        asset_selection=[job_key(finding.job)],
        tags={INCIDENT_TAG: finding.incident, "gamestream/job": finding.job, **_figures_tag(finding.previous)},
    )


def _figures_tag(figures: Figures | None) -> dict[str, str]:
    return {} if figures is None else {FIGURES_TAG: orjson.dumps(kept_figures(figures)).decode()}


def kept_figures(figures: Figures) -> dict[str, Any]:
    """The figures by which two observations are compared."""
    names = (
        *("now_ms", "flink_job_id", "records_read", "lag_records"),
        *("watermark_ms", "watermark_since_ms", "read_at_watermark"),
    )
    return {name: getattr(figures, name) for name in names}


def figures_from(tags: Mapping[str, str]) -> Figures | None:
    """The figures that the sensor passed to the run; None for a run started by a person."""
    return Figures(**orjson.loads(tags[FIGURES_TAG])) if FIGURES_TAG in tags else None


def observations(
    findings: Iterable[Finding], seen: Mapping[str, Any], now: float
) -> tuple[list[dg.AssetObservation | dg.AssetCheckEvaluation], dict[str, Any]]:
    """Observations to emit, each with the check's result: on change, and hourly. Pure.

    Returns:
        the events, and the new `seen`: job -> {digest, at}.
    """
    events: list[dg.AssetObservation | dg.AssetCheckEvaluation] = []
    updated = dict(seen)
    for finding in findings:
        before = seen.get(finding.job, {})
        if before.get("digest") == finding.digest and now - before.get("at", 0.0) < HEARTBEAT_SECONDS:
            continue
        metadata = {**finding.metadata, "decision": finding.reason}
        events.append(dg.AssetObservation(asset_key=job_key(finding.job), metadata=metadata))
        events.append(
            dg.AssetCheckEvaluation(
                asset_key=job_key(finding.job),
                check_name=HEALTHY,
                passed=finding.check.passed,
                severity=finding.check.severity,
                description=finding.reason,
                metadata=finding.metadata,
            )
        )
        updated[finding.job] = {"digest": finding.digest, "at": now}
    return events, updated


def earlier_attempts(instance: dg.DagsterInstance, incident: str) -> list[Attempt]:
    """Runs requested for an incident."""
    records = instance.get_run_records(filters=dg.RunsFilter(tags={INCIDENT_TAG: incident}), limit=50)
    return [
        Attempt(ended_at=(record.end_time or 0.0) if record.dagster_run.is_finished else None) for record in records
    ]


def tick(
    specs: Mapping[str, JobSpec],
    jobs: FlinkJobs,
    attempts: Callable[[str], Sequence[Attempt]],
    cursor: str | None,
    clock: Callable[[], float] = time.time,
) -> dg.SensorResult:
    """Observe all jobs, starting with the one that the last tick did not reach."""
    state = orjson.loads(cursor) if cursor else {}
    deadline, findings, reasons = Deadline(TICK_SECONDS, clock), [], []
    requests: list[dg.RunRequest] = []
    following = ""
    figures = {name: Figures(**kept) for name, kept in state.get("figures", {}).items() if name in specs}
    for name in _from(list(specs), state.get("next", "")):
        if deadline.over:
            following = name
            break
        try:
            finding = deadline.within(lambda name=name: look(specs[name], jobs, figures.get(name)))
        except OutOfTimeError as error:
            reasons.append(f"{name}: could not look: {error}")
            following = _after(list(specs), name)  # the others go first
            break
        except GamestreamError as error:
            reasons.append(f"{name}: could not look: {error}")
            continue
        findings.append(finding)
        moved = last_movement(figures.get(name), finding.figures)
        if moved is not None:
            figures[name] = moved
        match decide(finding, attempts(finding.incident) if finding.incident else (), clock()):
            case dg.RunRequest() as request:
                requests.append(request)
            case dg.SkipReason() as skip:
                reasons.append(skip.skip_message or "")
    events, seen = observations(findings, state.get("seen", {}), clock())
    known = {name: value for name, value in seen.items() if name in specs}
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else "; ".join(reasons),
        asset_events=events,
        cursor=orjson.dumps(
            {"next": following, "seen": known, "figures": {name: kept_figures(one) for name, one in figures.items()}}
        ).decode(),
    )


def health_sensor(specs: Mapping[str, JobSpec], interval_seconds: int) -> dg.SensorDefinition:
    """The sensor over all jobs of the catalogue."""

    @dg.sensor(
        name=SENSOR,
        description="Observes every Flink SQL job and requests a run when one must be healed.",
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        asset_selection=[job_key(name) for name in specs],
    )
    def job_health(context: dg.SensorEvaluationContext, flink_jobs: dg.ResourceParam[FlinkJobs]) -> dg.SensorResult:
        return tick(specs, flink_jobs, lambda incident: earlier_attempts(context.instance, incident), context.cursor)

    return job_health


def _after(names: list[str], name: str) -> str:
    return names[(names.index(name) + 1) % len(names)]


def _from(names: list[str], first: str) -> list[str]:
    at = names.index(first) if first in names else 0
    return names[at:] + names[:at]
