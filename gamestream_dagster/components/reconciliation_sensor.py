"""The alarm sensor of the reconciliation: reads finished runs, whoever started them, and raises alarms.

Two alarms: an unexplained row, at once; and two consecutive reconciliations that could not run. Each is a row
of the table `alerts` and a failed asset check until a later run is fine, and each requests one run of the job
`reconciliation_alarm`, which fails with the alarm's message: people are notified of a failed run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import orjson

from gamestream_dagster.alerts.store import Severity
from gamestream_dagster.components.keys import RECONCILIATION
from gamestream_dagster.reconciliation.results.proofs import FinishedRun
from gamestream_dagster.resources.verdicts import Verdicts

SENSOR = "reconciliation_alarms"
ALARM_OP = "alarm"
UNEXPLAINED_ALERT = "reconciliation/unexplained"
COULD_NOT_RUN_ALERT = "reconciliation/could_not_run"
NO_UNEXPLAINED = "no_unexplained"
LOOKED = "could_look"
IN_A_ROW = 2
# A tick reads the runs since the last one; further runs wait for the next tick.
MOST_RUNS = 100
AT_FIRST = 2
# Runs may be stored in another order than they finished: a tick reads this far back again.
OVERLAP = timedelta(minutes=2)


@dataclass(frozen=True)
class Standing:
    """The sensor's knowledge after a tick; its cursor."""

    at: datetime | None = None
    """When the newest known run finished."""
    seen: Mapping[str, datetime] = field(default_factory=dict[str, datetime])
    """Known runs that would be read again."""
    unexplained: frozenset[str] = frozenset()
    """Boards with an unexplained row."""
    failures: int = 0
    """How many consecutive runs could not run."""


@dataclass(frozen=True)
class Change:
    """The beginning (`raised`) or end of an alarm."""

    alert: str
    check: str
    raised: bool
    run: FinishedRun
    summary: str
    severity: Severity = Severity.HIGH


def follow(standing: Standing, runs: Sequence[FinishedRun]) -> tuple[Standing, list[Change]]:
    """Changes of the alarms by the runs, oldest first. Pure."""
    changes: list[Change] = []
    for run in runs:
        if run.run_id in standing.seen:
            continue
        standing, found = _step(standing, run)
        changes += found
        newest = max(run.finished_at, standing.at or run.finished_at)
        standing = replace(standing, at=newest, seen={**standing.seen, run.run_id: run.finished_at})
    if standing.at is not None:
        again = standing.at - OVERLAP
        standing = replace(standing, seen={name: at for name, at in standing.seen.items() if at >= again})
    return standing, changes


def _step(standing: Standing, run: FinishedRun) -> tuple[Standing, list[Change]]:
    if not run.looked:
        failures = standing.failures + 1
        if failures < IN_A_ROW:
            return replace(standing, failures=failures), []
        summary = f"Reconciliation could not run {failures} times in a row: {run.reason}"
        raised = Change(COULD_NOT_RUN_ALERT, LOOKED, True, run, summary, Severity.HIGH)
        return replace(standing, failures=failures), [raised]
    changes: list[Change] = []
    if standing.failures >= IN_A_ROW:
        changes.append(Change(COULD_NOT_RUN_ALERT, LOOKED, False, run, f"Run {run.run_id} compared the boards again."))
    # only a run about a board can clear its alarm
    still = frozenset(board for board in standing.unexplained if not run.about(board))
    now = still | run.unexplained
    if run.unexplained:
        summary = f"UNEXPLAINED rows on {', '.join(sorted(now))}: no cause found. Do not repair; read the report."
        changes.append(Change(UNEXPLAINED_ALERT, NO_UNEXPLAINED, True, run, summary, Severity.CRITICAL))
    elif standing.unexplained and not now:
        summary = f"Run {run.run_id} found no UNEXPLAINED row any more."
        changes.append(Change(UNEXPLAINED_ALERT, NO_UNEXPLAINED, False, run, summary))
    return replace(standing, unexplained=now, failures=0), changes


def is_new(before: Standing, change: Change) -> bool:
    """Whether a change begins a new alarm: on a board of its own, or at the second failure."""
    if not change.raised:
        return False
    if change.alert == COULD_NOT_RUN_ALERT:
        return before.failures < IN_A_ROW
    return not change.run.unexplained <= before.unexplained


def tick(verdicts: Verdicts, cursor: str | None, job: str) -> dg.SensorResult:
    """Read the runs since the last tick.

    Raises:
        ServiceError: Postgres did not answer; the tick fails, and the next one reads the same runs.
    """
    standing = _read(cursor)
    since = None if standing.at is None else standing.at - OVERLAP
    runs = verdicts.since(since, AT_FIRST if since is None else MOST_RUNS + len(standing.seen))
    fresh = sum(run.run_id not in standing.seen for run in runs)
    requests: list[dg.RunRequest] = []
    events: list[dg.AssetObservation | dg.AssetCheckEvaluation] = []
    for run in runs:
        before = standing
        standing, changes = follow(before, [run])
        for change in changes:
            details = _details(verdicts, change.run)
            _keep(verdicts, change, details)
            events += _events(change, details)
            if is_new(before, change):
                requests.append(_request(change, details, job))
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else f"{_fresh(fresh)}; {_summary(standing)}",
        asset_events=events,
        cursor=_written(standing),
    )


def alarm_sensor(job: dg.JobDefinition, interval_seconds: int) -> dg.SensorDefinition:
    """The sensor; `job` is the run that fails with the alarm's message."""

    @dg.sensor(
        name=SENSOR,
        description="An alarm when a row is UNEXPLAINED, and when two consecutive reconciliations could not run.",
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        job=job,
    )
    def reconciliation_alarms(
        context: dg.SensorEvaluationContext, verdicts: dg.ResourceParam[Verdicts]
    ) -> dg.SensorResult:
        return tick(verdicts, context.cursor, job.name)

    return reconciliation_alarms


def _keep(verdicts: Verdicts, change: Change, details: Mapping[str, Any]) -> None:
    if change.raised:
        verdicts.raise_alert(change.alert, change.severity, change.summary, details)
    else:
        verdicts.clear_alert(change.alert)


def _details(verdicts: Verdicts, run: FinishedRun) -> dict[str, Any]:
    report = verdicts.report_url(run.report_path) if run.report_path else ""
    return {"run_id": run.run_id, "verdict": run.verdict, "reason": run.reason, "report": report}


def _events(change: Change, details: Mapping[str, Any]) -> list[dg.AssetObservation | dg.AssetCheckEvaluation]:
    metadata: dict[str, Any] = {"alarm": change.summary, "reconciliation": change.run.run_id}
    if details["report"]:
        metadata["report"] = dg.MetadataValue.url(details["report"])
    check = dg.AssetCheckEvaluation(
        asset_key=RECONCILIATION,
        check_name=change.check,
        passed=not change.raised,
        severity=dg.AssetCheckSeverity.ERROR,
        description=change.summary,
        metadata=metadata,
    )
    return [dg.AssetObservation(asset_key=RECONCILIATION, metadata=metadata), check]


def _request(change: Change, details: Mapping[str, Any], job: str) -> dg.RunRequest:
    return dg.RunRequest(
        # Dagster never repeats a run key: the run that began the alarm makes it unique
        run_key=f"{change.alert}:{change.run.run_id}",
        job_name=job,
        run_config={"ops": {ALARM_OP: {"config": {"summary": change.summary, "report": details["report"]}}}},
        tags={"gamestream/alarm": change.alert, "gamestream/reconciliation": change.run.run_id},
    )


def _fresh(count: int) -> str:
    return "no new reconciliation" if not count else f"{count} new reconciliation{'' if count == 1 else 's'}"


def _summary(standing: Standing) -> str:
    alarms: list[str] = []
    if standing.unexplained:
        alarms.append(f"UNEXPLAINED rows on {', '.join(sorted(standing.unexplained))}")
    if standing.failures:
        alarms.append(f"{standing.failures} in a row could not look")
    return "; ".join(alarms) or "no active alarm"


def _read(cursor: str | None) -> Standing:
    if not cursor:
        return Standing()
    kept = orjson.loads(cursor)
    return Standing(
        at=datetime.fromisoformat(kept["at"]) if kept["at"] else None,
        seen={name: datetime.fromisoformat(at) for name, at in kept["seen"].items()},
        unexplained=frozenset(kept["unexplained"]),
        failures=kept["failures"],
    )


def _written(standing: Standing) -> str:
    kept = {
        "at": standing.at,
        "seen": dict(standing.seen),
        "unexplained": sorted(standing.unexplained),
        "failures": standing.failures,
    }
    return orjson.dumps(kept).decode()
