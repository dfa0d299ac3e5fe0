"""When days are settled: at 02:00 UTC, once the archive is complete; and again where events came late."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import orjson

from gamestream_dagster.catalogue.metrics import Metric
from gamestream_dagster.components.active_runs import has_active_run
from gamestream_dagster.components.keys import Group, metric_key
from gamestream_dagster.resources.failures import explained
from gamestream_dagster.resources.metrics import Metrics

if TYPE_CHECKING:
    from gamestream_dagster.metrics.due import Due
    from gamestream_dagster.metrics.watching import Scanned

SETTLE_JOB = "settle_day"
SENSOR = "metrics_due"
SCHEDULE = "settle_yesterday_at_2"
SETTLED_FROM = timedelta(hours=2)
"""After the end of a day: late events have two hours to come before the first version."""

HEAD_START = timedelta(minutes=5)
"""That the schedule has before the sensor requests the same day."""

INTERVAL_SECONDS = 60
LOOKED_BACK = timedelta(days=62)
"""Days that a tick looks at: twice as far as an event can be late, so that the month's sums follow."""


def metrics_automation(metrics: Mapping[str, Metric], days: dg.PartitionsDefinition) -> dg.Definitions:
    """The job of a day, its schedule and its sensor, and the retention."""
    described = metrics
    job = dg.define_asset_job(
        SETTLE_JOB,
        selection=dg.AssetSelection.groups(Group.METRICS.value),
        partitions_def=days,
        description="Settle every metric of a day, in the order in which they read each other.",
        tags={"gamestream/part": "metrics"},
    )

    @dg.schedule(
        name=SCHEDULE,
        job=job,
        cron_schedule="0 2 * * *",
        execution_timezone="UTC",
        description="Settles the day before at 02:00 UTC; if the archive lacks some of it, the sensor does it later.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def settle_yesterday(
        context: dg.ScheduleEvaluationContext, metrics: dg.ResourceParam[Metrics]
    ) -> dg.RunRequest | dg.SkipReason:
        day = context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=1)
        return yesterday(metrics, described, day)

    @dg.sensor(
        name=SENSOR,
        job=job,
        minimum_interval_seconds=INTERVAL_SECONDS,
        description="Settles days that are complete and not settled, and settles again what late events changed.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def metrics_due(context: dg.SensorEvaluationContext, metrics: dg.ResourceParam[Metrics]) -> dg.SensorResult:
        busy = has_active_run(context.instance, SETTLE_JOB)
        return tick(metrics, described, context.cursor, datetime.now(UTC), busy=busy)

    return dg.Definitions(
        jobs=[job, _retention_job(metrics)],
        schedules=[settle_yesterday, _retention_schedule(metrics)],
        sensors=[metrics_due],
    )


def yesterday(metrics: Metrics, described: Mapping[str, Metric], day: date) -> dg.RunRequest | dg.SkipReason:
    """Request a day, unless it is not complete or an earlier day comes first.

    Raises:
        GamestreamError: Kafka, Postgres or the archive could not be asked; the sensor asks again.
    """
    from gamestream_dagster.metrics.due import due_days

    settled = metrics.settled(described)
    begins = metrics.look(None, settled).scanned.first
    if begins is None or begins > day:
        return dg.SkipReason("The archive has no game event of the day or before.")
    due = due_days(described, settled, begins, day, first=day - LOOKED_BACK)
    if not due:
        return dg.SkipReason(f"{day} is settled.")
    if due[0].day != day:
        return dg.SkipReason(f"{due[0].day} comes first; the sensor {SENSOR} settles one day after the other.")
    found = metrics.completeness(day)
    if not found.complete:
        return dg.SkipReason(f"{found.reason}; the sensor {SENSOR} settles it when it is there.")
    return dg.RunRequest(run_key=f"{day}", partition_key=day.isoformat())


def tick(
    metrics: Metrics, described: Mapping[str, Metric], cursor: str | None, now: datetime, *, busy: bool
) -> dg.SensorResult:
    """Request the oldest day that is due and complete, one run at a time: a later day reads the earlier ones.

    Raises:
        GamestreamError: Kafka, Postgres or the archive could not be asked; the next tick asks again.
    """
    from gamestream_dagster.metrics.due import due_days

    if busy:
        return dg.SensorResult(skip_reason="A day is being settled.")
    settled = metrics.settled(described)
    scanned = metrics.look(_read(cursor), settled).scanned
    written = _written(scanned)
    if scanned.first is None:
        return dg.SensorResult(skip_reason="The archive has no game event.", cursor=written)
    last = (now - SETTLED_FROM - HEAD_START).date() - timedelta(days=1)
    first = max(scanned.first, last - LOOKED_BACK)
    due = due_days(described, settled, scanned.first, last, late=scanned.late, first=first)
    if not due:
        return dg.SensorResult(skip_reason=f"Every day from {first} to {last} is settled.", cursor=written)
    complete = metrics.completeness(due[0].day)
    if not complete.complete:
        return dg.SensorResult(skip_reason=f"{complete.reason}; {complete.instruction}.", cursor=written)
    return dg.SensorResult(run_requests=[_request(due[0], now)], cursor=written)


def _request(due: "Due", now: datetime) -> dg.RunRequest:
    selected = [metric_key(name) for name in due.metrics]
    why = ", ".join(sorted({one.value for one in due.metrics.values()}))
    named = hashlib.sha256(",".join(due.metrics).encode()).hexdigest()[:12]
    return dg.RunRequest(
        run_key=f"{due.day}:{named}:{now:%Y-%m-%dT%H}",  # a run that failed is requested again in the next hour
        partition_key=due.day.isoformat(),
        asset_selection=selected,
        tags={"gamestream/why": why},
    )


def _retention_job(metrics: Mapping[str, Metric]) -> dg.JobDefinition:
    described = metrics

    @dg.op(description="Drops the days of metrics that are older than their `kept_days`.")
    def old_days(context: dg.OpExecutionContext, metrics: dg.ResourceParam[Metrics]) -> None:
        with explained("drop old days of the metrics"):
            dropped = metrics.drop_old(described, datetime.now(UTC).date())
        context.add_output_metadata({name: len(days) for name, days in dropped.items()})

    @dg.job(
        name="drop_old_days",
        description="Drops the days of metrics that are too old.",
        tags={"gamestream/part": "metrics"},
    )
    def drop_old_days() -> None:
        old_days()

    return drop_old_days


def _retention_schedule(metrics: Mapping[str, Metric]) -> dg.ScheduleDefinition:
    kept = ", ".join(f"{one.name} {one.kept_days} days" for one in metrics.values() if one.kept_days is not None)
    return dg.ScheduleDefinition(
        name="drop_old_days_daily",
        job_name="drop_old_days",
        cron_schedule="40 2 * * *",
        execution_timezone="UTC",
        description=f"Drops days that are too old, at 02:40 UTC: {kept or 'none'}.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )


def _read(cursor: str | None) -> "Scanned | None":
    from gamestream_dagster.metrics.watching import Scanned

    if not cursor:
        return None
    kept: dict[str, Any] = orjson.loads(cursor)
    first = kept["first"]
    return Scanned(
        _upto(kept["upto"]),
        None if first is None else date.fromisoformat(first),
        {date.fromisoformat(day): _upto(upto) for day, upto in kept["late"].items()},
    )


def _upto(kept: Mapping[str, Any]) -> Any:
    from gamestream_dagster.metrics.source import ArchivedUpto

    return ArchivedUpto(kept["chapter"], {int(partition): at for partition, at in kept["offsets"].items()})


def _written(scanned: "Scanned") -> str:
    def plain(upto: Any) -> dict[str, Any]:
        return {"chapter": upto.chapter, "offsets": {str(partition): at for partition, at in upto.offsets.items()}}

    kept = {
        "upto": plain(scanned.upto),
        "first": scanned.first,
        "late": {day.isoformat(): plain(upto) for day, upto in scanned.late.items()},
    }
    return orjson.dumps(kept).decode()
