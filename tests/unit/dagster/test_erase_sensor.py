"""The sensor of erases that were requested over HTTP: one run at a time, each request at most once an hour."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from gamestream_dagster.components.erase_sensor import JOB, REQUEST_TAG, erase_sensor, tick
from gamestream_dagster.defs.privacy.jobs import privacy_erase
from gamestream_dagster.privacy.errors import ErasureError

NOW = datetime(2026, 11, 26, 12, 59, 40, tzinfo=UTC)


@dataclass
class FakePrivacy:
    """Open requests by number."""

    numbers: list[int] = field(default_factory=list)
    error: Exception | None = None

    def waiting(self) -> list[int]:
        if self.error:
            raise self.error
        return self.numbers


def key_of(found: dg.RunRequest | dg.SkipReason) -> str | None:
    assert isinstance(found, dg.RunRequest), found
    return found.run_key


def look(instance: dg.DagsterInstance, *numbers: int, error: Exception | None = None) -> Any:
    context = dg.build_sensor_context(instance=instance, resources={"privacy": FakePrivacy(list(numbers), error)})
    return erase_sensor(60)(context)


def run_of(instance: dg.DagsterInstance, number: int, status: dg.DagsterRunStatus) -> None:
    """A run that is on record."""
    config = {"ops": {"erase_player": {"config": {"request": number}}}}
    made = instance.create_run_for_job(privacy_erase, run_config=config, status=status, tags={REQUEST_TAG: str(number)})
    assert made.job_name == JOB


def test_the_oldest_request_gets_a_run_that_names_it_by_number_alone() -> None:
    found = tick([3, 5], set(), NOW)
    assert isinstance(found, dg.RunRequest)
    assert found.run_config == {"ops": {"erase_player": {"config": {"request": 3}}}}
    assert found.tags == {REQUEST_TAG: "3"}
    assert dg.validate_run_config(privacy_erase, found.run_config)


def test_two_ticks_of_a_moment_make_one_run_and_a_later_hour_another() -> None:
    keys = [key_of(tick([3], set(), at)) for at in (NOW, NOW, NOW + timedelta(hours=1))]
    assert keys == ["3:2026-11-26T12", "3:2026-11-26T12", "3:2026-11-26T13"]


def test_a_request_whose_run_failed_lets_the_next_one_pass() -> None:
    assert key_of(tick([3, 5], {"3", None}, NOW)) == "5:2026-11-26T12"


def test_reasons_to_wait_are_words() -> None:
    assert tick([], set(), NOW) == dg.SkipReason("No request to erase a player is open.")
    told = tick([3, 5], {"3", "5"}, NOW)
    assert isinstance(told, dg.SkipReason)
    assert "(3, 5) did not finish it" in (told.skip_message or "")


def test_the_sensor_waits_for_the_run_that_is_under_way() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert look(instance, 3).tags[REQUEST_TAG] == "3"
        run_of(instance, 3, dg.DagsterRunStatus.STARTED)
        assert "An erase is running" in look(instance, 3, 4).skip_message


def test_a_failed_run_is_not_repeated_within_the_hour() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run_of(instance, 3, dg.DagsterRunStatus.FAILURE)
        assert "did not finish it" in look(instance, 3).skip_message
        assert look(instance, 3, 4).tags[REQUEST_TAG] == "4"


def test_what_cannot_be_asked_is_a_reason() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        error = ErasureError("Postgres has no table of requests", "create it with `gamestream apply`")
        assert "gamestream apply" in look(instance, error=error).skip_message
        assert look(instance).skip_message == "No request to erase a player is open."


def test_it_runs_from_the_start_every_minute() -> None:
    sensor = erase_sensor(60)
    assert (sensor.default_status, sensor.minimum_interval_seconds) == (dg.DefaultSensorStatus.RUNNING, 60)
