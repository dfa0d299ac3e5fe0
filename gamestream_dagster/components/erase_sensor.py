"""The sensor that starts the erases that were requested over HTTP, one after the other."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from gamestream_dagster.components.active_runs import has_active_run
from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.resources.privacy import Privacy

SENSOR = "erase_requests"
JOB = "privacy_erase"
OP = "erase_player"
REQUEST_TAG = "gamestream/request"
PAUSE = timedelta(hours=1)
"""Between two runs of one request: what made the first fail may need somebody."""


def erase_sensor(interval_seconds: int) -> dg.SensorDefinition:
    """The sensor. It waits for runs that were started by hand, too."""

    @dg.sensor(
        name=SENSOR,
        job_name=JOB,
        minimum_interval_seconds=interval_seconds,
        description="Starts the erases that were requested over HTTP. Those of the command line run there.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def erase_requests(
        context: dg.SensorEvaluationContext, privacy: dg.ResourceParam[Privacy]
    ) -> dg.RunRequest | dg.SkipReason:
        now = datetime.now(UTC)
        if has_active_run(context.instance, JOB):
            return dg.SkipReason("An erase is running; the next one starts after it.")
        try:
            waiting = privacy.waiting()
        except GamestreamError as error:
            return dg.SkipReason(f"Could not look for requests: {error}")
        recent = context.instance.get_runs(dg.RunsFilter(job_name=JOB, created_after=now - PAUSE)) if waiting else ()
        return tick(waiting, {run.tags.get(REQUEST_TAG) for run in recent}, now)

    return erase_requests


def tick(waiting: Sequence[int], tried: Collection[str | None], now: datetime) -> dg.RunRequest | dg.SkipReason:
    """Request a run of the oldest request that had none within the hour. Pure.

    Args:
        waiting: numbers of the open requests, oldest first.
        tried: numbers of the requests that had a run within the hour.
        now: the time of the tick.
    """
    if not waiting:
        return dg.SkipReason("No request to erase a player is open.")
    number = next((one for one in waiting if str(one) not in tried), None)
    if number is None:
        told = ", ".join(str(one) for one in waiting)
        return dg.SkipReason(f"The last run of each open request ({told}) did not finish it; each runs again hourly.")
    return dg.RunRequest(
        run_key=f"{number}:{now:%Y-%m-%dT%H}",  # one key for two ticks that overlap, and another one for a later run
        run_config={"ops": {OP: {"config": {"request": number}}}},
        tags={REQUEST_TAG: str(number)},
    )
