"""The check of the rate of dead letters, and the sensor that reports it. The alert is the rule `high_dlq_rate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.components.keys import topic_key
from gamestream_dagster.resources.dead_letters import DeadLetters
from gamestream_dagster.resources.failures import explained

if TYPE_CHECKING:
    from gamestream_dagster.dead_letters.rate import Rate

CHECK = "share_of_dead_letters"
SENSOR = "dead_letter_rate"
DLQ = topic_key("game-events-dlq")
_PASSED, _FAILED = "passed", "failed"


def rate_check() -> dg.AssetChecksDefinition:
    """The check on the dead-letter topic; it reads Kafka and changes nothing."""

    @dg.asset_check(
        asset=DLQ,
        name=CHECK,
        description="The share of game events of the last hour that were refused is within `ingest_dead_letter_share`.",
    )
    def share_of_dead_letters(dead_letters: dg.ResourceParam[DeadLetters]) -> dg.AssetCheckResult:
        with explained("count the dead letters"):
            rate = dead_letters.rate()
        return dg.AssetCheckResult(
            passed=rate.passed,
            severity=dg.AssetCheckSeverity.WARN,
            description=rate.sentence,
            metadata=_metadata(rate),
        )

    return share_of_dead_letters


def rate_sensor(interval_seconds: int) -> dg.SensorDefinition:
    """The sensor: reports the check when it changes."""

    @dg.sensor(
        name=SENSOR,
        description="Reports when more game events are refused than `ingest_dead_letter_share` allows.",
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        asset_selection=[DLQ],
    )
    def dead_letter_rate(
        context: dg.SensorEvaluationContext, dead_letters: dg.ResourceParam[DeadLetters]
    ) -> dg.SensorResult:
        return tick(dead_letters, context.cursor)

    return dead_letter_rate


def tick(dead_letters: DeadLetters, cursor: str | None) -> dg.SensorResult:
    """One look. A server that does not answer does not change the check."""
    try:
        rate = dead_letters.rate()
    except ServiceError as error:
        return dg.SensorResult(skip_reason=f"Could not count the dead letters: {error}", cursor=cursor)
    now = _PASSED if rate.passed else _FAILED
    return dg.SensorResult(
        skip_reason=rate.sentence, asset_events=[] if cursor == now else [_evaluation(rate)], cursor=now
    )


def _evaluation(rate: Rate) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=DLQ,
        check_name=CHECK,
        passed=rate.passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=rate.sentence,
        metadata=_metadata(rate),
    )


def _metadata(rate: Rate) -> dict[str, Any]:
    return {"records": rate.records, "dead_letters": rate.dead, "share": rate.share, "limit": rate.limit}
