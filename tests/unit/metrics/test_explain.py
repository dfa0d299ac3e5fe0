"""What each product says about the retention of one player."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from gamestream_dagster.metrics.explain import explained

LATER = datetime(2026, 6, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def said(times: list[str], *, day_n: int = 1, known: datetime = LATER, zone: str = "UTC") -> dict[str, bool | None]:
    found = explained("ann", [at(one) for one in times], known, ZoneInfo(zone))
    return {one.product: one.retained for one in found.answers if one.day_n == day_n}


def test_calendar_days_and_windows_of_24_hours_disagree() -> None:
    evening_then_morning = said(["2026-03-01T20:30:00Z", "2026-03-02T08:00:00Z"])
    assert evening_then_morning == {
        "gamestream": True, "Unity": True, "PlayFab": True, "Amplitude": False, "PostHog": True,
    }  # fmt: skip
    two_days_later = said(["2026-03-01T20:30:00Z", "2026-03-03T19:59:59.999Z"])
    assert two_days_later == {
        "gamestream": False, "Unity": False, "PlayFab": False, "Amplitude": True, "PostHog": False,
    }  # fmt: skip


def test_amplitude_rounds_down_to_the_hour() -> None:
    assert said(["2026-03-01T17:59:00Z", "2026-03-02T17:00:00Z"])["Amplitude"] is True
    assert said(["2026-03-01T17:59:00Z", "2026-03-02T16:59:59Z"])["Amplitude"] is False
    assert said(["2026-03-01T17:59:00Z", "2026-03-03T17:00:00Z"])["Amplitude"] is False


def test_posthog_counts_in_the_time_zone_of_the_project() -> None:
    late_in_utc = ["2026-03-01T23:30:00Z", "2026-03-02T12:00:00Z"]
    assert said(late_in_utc)["PostHog"] is True
    assert said(late_in_utc, zone="Europe/Stockholm")["PostHog"] is False, "there both are of 2 March"
    found = explained("ann", [at("2026-03-28T12:00:00Z")], LATER, ZoneInfo("Europe/Stockholm"))
    [day] = [one for one in found.answers if (one.product, one.day_n) == ("PostHog", 1)]
    assert (day.ends - day.begins).total_seconds() == 23 * 3600, "the day on which summer time begins"


def test_what_is_not_settled_is_not_known() -> None:
    times = ["2026-03-01T20:30:00Z"]
    known = datetime(2026, 3, 3, tzinfo=UTC)
    assert said(times, known=known) == {
        "gamestream": False, "Unity": False, "PlayFab": False, "Amplitude": None, "PostHog": False,
    }  # fmt: skip
    assert said(times, day_n=30, known=known)["gamestream"] is None
    found = explained("ann", [at(one) for one in times], known)
    assert [one.product for one in found.differing(1)] == ["Amplitude"]
