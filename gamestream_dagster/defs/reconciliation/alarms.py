"""The alarms of the reconciliation: people are notified of a failed run."""

import dagster as dg

from gamestream_dagster.components.reconciliation_sensor import ALARM_OP, alarm_sensor

INTERVAL_SECONDS = 30


class Alarm(dg.Config):
    """The message of the alarm."""

    summary: str
    report: str = ""


@dg.op(name=ALARM_OP, description="Fails with the words of the alarm; there is nothing to be done here.")
def alarm(config: Alarm) -> None:
    """Fail once, without a retry."""
    metadata = {"report": dg.MetadataValue.url(config.report)} if config.report else {}
    raise dg.Failure(description=config.summary, metadata=metadata, allow_retries=False)


@dg.job(description="An alarm of the reconciliation. It fails by design: its failure is the notification.")
def reconciliation_alarm() -> None:
    """One op that fails."""
    alarm()


reconciliation_alarms = alarm_sensor(reconciliation_alarm, INTERVAL_SECONDS)
