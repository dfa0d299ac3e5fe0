"""The sensor and the check of the rate of dead letters."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from gamestream_dagster.components.dead_letter_rate import ALERT, rate_check, tick
from gamestream_dagster.dead_letters.rate import Rate
from tests.support.fakes.dagster_facades import FakeDeadLetters

GOOD, BAD = Rate(1000, 10, 0.05), Rate(1000, 90, 0.05)


def look(found: Rate | None, cursor: str | None) -> tuple[dg.SensorResult, list[tuple[str, str]]]:
    fake: Any = FakeDeadLetters(found)
    return tick(fake, cursor), fake.alerts


def test_the_alert_is_raised_kept_and_cleared() -> None:
    first, alerts = look(GOOD, None)
    assert [event.passed for event in first.asset_events] == [True]
    assert alerts == [("cleared", ALERT)]
    quiet, alerts = look(GOOD, first.cursor)
    assert (quiet.asset_events, alerts) == ([], [])
    bad, alerts = look(BAD, quiet.cursor)
    assert [event.passed for event in bad.asset_events] == [False]
    assert alerts == [("raised", ALERT)]
    still, alerts = look(BAD, bad.cursor)
    assert (still.asset_events, alerts) == ([], [("raised", ALERT)])
    again, alerts = look(GOOD, still.cursor)
    assert ([event.passed for event in again.asset_events], alerts) == ([True], [("cleared", ALERT)])


def test_a_silent_server_changes_nothing() -> None:
    for cursor in (None, "failed"):
        result, alerts = look(None, cursor)
        assert (result.asset_events, alerts, result.cursor) == ([], [], cursor)
        assert "Could not count the dead letters: Kafka: no answer" in (result.skip_reason.skip_message or "")


@pytest.mark.parametrize(("found", "passed"), [(GOOD, True), (BAD, False)])
def test_the_check(found: Rate, passed: bool) -> None:
    result: Any = rate_check()(FakeDeadLetters(found))
    assert result.passed is passed
    assert f"{found.dead} of 1,000" in result.description
    with pytest.raises((dg.Failure, dg.RetryRequested)):
        rate_check()(FakeDeadLetters(None))
