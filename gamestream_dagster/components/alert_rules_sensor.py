"""The sensor that evaluates `alerts.yaml` over our own series, and sends what follows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.components.deadline import Deadline, OutOfTimeError
from gamestream_dagster.errors import GamestreamError, sentence_of
from gamestream_dagster.resources.alerts import AlertRules

SENSOR = "alert_rules"
# Dagster ends a tick after 60 s: a source that hangs must leave time for the others, the evaluation and sending (15 s).
SOURCE_SECONDS = 8.0
COLLECT_SECONDS = 30.0


def limits(clock: Callable[[], float] = time.monotonic) -> Callable[[Callable[[], Any]], Any]:
    """Runs the request of one source, for at most 8 s, and 30 s for all of them."""
    until = clock() + COLLECT_SECONDS

    def within(ask: Callable[[], Any]) -> Any:
        try:
            return Deadline(min(SOURCE_SECONDS, max(0.0, until - clock())), clock).within(ask)
        except OutOfTimeError as error:
            raise TransientServiceError("The source", str(error), "see `gamestream status`") from error

    return within


def tick(alert_rules: AlertRules) -> dg.SkipReason:
    """One round. An error leaves states and messages as they are; the next tick goes on."""
    try:
        return dg.SkipReason(alert_rules.watch(limits()).sentence)
    except (GamestreamError, SQLAlchemyError) as error:
        return dg.SkipReason(f"Could not evaluate the alerts: {sentence_of(error)}")


def rules_sensor(interval_seconds: int) -> dg.SensorDefinition:
    """The sensor; it requests no runs."""

    @dg.sensor(
        name=SENSOR,
        description="Evaluates alerts.yaml over the stack's own series, keeps the states, and sends the messages.",
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def alert_rules(context: dg.SensorEvaluationContext, alert_rules: dg.ResourceParam[AlertRules]) -> Any:
        return tick(alert_rules)

    return alert_rules
