"""The sensor and the check of the rate of dead letters."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from gamestream_dagster.components.dead_letter_rate import rate_check, tick
from gamestream_dagster.dead_letters.rate import Rate
from tests.support.fakes.dagster_facades import FakeDeadLetters

GOOD, BAD = Rate(1000, 10, 0.05), Rate(1000, 90, 0.05)


def look(found: Rate | None, cursor: str | None) -> dg.SensorResult:
    fake: Any = FakeDeadLetters(found)
    return tick(fake, cursor)


def test_the_check_is_reported_when_it_changes() -> None:
    cursor, reported = None, list[list[bool]]()
    for found in (GOOD, GOOD, BAD, BAD, GOOD):
        result = look(found, cursor)
        reported.append([event.passed for event in result.asset_events])
        cursor = result.cursor
    assert reported == [[True], [], [False], [], [True]]


def test_a_silent_server_changes_nothing() -> None:
    for cursor in (None, "failed"):
        result = look(None, cursor)
        assert (result.asset_events, result.cursor) == ([], cursor)
        assert "Could not count the dead letters: Kafka: no answer" in (result.skip_reason.skip_message or "")


@pytest.mark.parametrize(("found", "passed"), [(GOOD, True), (BAD, False)])
def test_the_check(found: Rate, passed: bool) -> None:
    result: Any = rate_check()(FakeDeadLetters(found))
    assert result.passed is passed
    assert f"{found.dead} of 1,000" in result.description
    with pytest.raises((dg.Failure, dg.RetryRequested)):
        rate_check()(FakeDeadLetters(None))
