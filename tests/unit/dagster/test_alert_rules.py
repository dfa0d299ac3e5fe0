"""The sensor of the alerts: it says what a round found, and a source that hangs does not hold the others."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest
from sqlalchemy.exc import ProgrammingError

from gamestream_dagster.alerts.errors import RuleError
from gamestream_dagster.alerts.samples import Sample
from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.components import alert_rules_sensor
from gamestream_dagster.components.alert_rules_sensor import limits, tick
from gamestream_dagster.monitoring.collect import collect


class FakeRules:
    """What the resource gives."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def watch(self, within: Callable[[Callable[[], Any]], Any]) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TransientServiceError("Postgres", "nothing listens", "start it"), "Postgres: nothing listens; start it."),
        (RuleError("alerts.yaml, a", "severity: bad", "correct it"), "alerts.yaml, a: severity: bad; correct it."),
        (ProgrammingError("SELECT", {}, Exception("no table")), "Postgres refused the request"),
    ],
)
def test_an_error_is_the_reason_of_the_tick(error: Exception, said: str) -> None:
    fake: Any = FakeRules(error)
    told = tick(fake).skip_message or ""
    assert told.startswith("Could not evaluate the alerts: ")
    assert said in told


def test_a_source_that_hangs_is_given_up_and_the_others_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_rules_sensor, "SOURCE_SECONDS", 0.2)
    released = Event()

    def hangs(*_: Any) -> list[Sample]:
        released.wait(30)
        return []

    def broken(*_: Any) -> list[Sample]:
        raise ValueError("a fault of ours")

    settings: Any = None
    began = time.monotonic()
    found = collect(
        settings,
        limits(),
        {"hangs": hangs, "broken": broken, "fine": lambda _, now: [Sample("x", (), now, 1.0)]},
    )
    released.set()
    assert time.monotonic() - began < 5
    assert set(found.failed) == {"hangs", "broken"}
    assert "no answer within the 0 s of a tick; see `gamestream status`" in found.failed["hangs"]
    up = {dict(one.labels)["source"]: one.value for one in found.samples if one.series == "alert_source_up"}
    assert up == {"hangs": 0, "broken": 0, "fine": 1}
    assert [one.value for one in found.samples if one.series == "x"] == [1]
