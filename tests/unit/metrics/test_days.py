"""When a day is complete, which days are due, and what late events make stale. No server."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from gamestream_dagster.archive.manifest import ArchivedFile, Chapter, Manifest
from gamestream_dagster.catalogue.metrics import load_metrics, with_upstream
from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.components.metrics_sensor import tick, yesterday
from gamestream_dagster.metrics.completeness import Completeness, day_completeness, judged
from gamestream_dagster.metrics.due import Why, due_days
from gamestream_dagster.metrics.errors import DayNotCompleteError
from gamestream_dagster.metrics.model import Reason, Settled
from gamestream_dagster.metrics.source import ArchivedUpto
from gamestream_dagster.metrics.watching import LateDays, Scanned, followed
from gamestream_dagster.settings import load_settings
from tests.support.fakes.streams import GAME_EVENTS

METRICS = with_upstream(("level_metrics", "revenue_daily", "active_users"), load_metrics())
DAY = date(2026, 3, 1)
ONE = timedelta(days=1)
END = datetime(2026, 3, 2, 0, 10, tzinfo=UTC)
HERE = TopicId("here")


def archived(upto: dict[int, int], *, topic_id: TopicId = HERE) -> Manifest:
    files = [
        ArchivedFile(
            path=f"{partition}.parquet", sha256="", partition=partition, from_offset=0, first_offset=0,
            last_offset=at - 1, next_offset=at, records=at, rows=at, gaps=(),
        )
        for partition, at in upto.items()
    ]  # fmt: skip
    return Manifest(topic="t").opened(Chapter(topic_id_then=topic_id)).extended(*files)


class Kafka:
    """Ends of partitions, and the offsets of their first records after the day."""

    def __init__(self, ends: dict[int, int], after: dict[int, int]) -> None:
        self.ends, self.after = ends, after
        self.asked_for = 0

    def end_offsets(self, topic: str) -> dict[int, int]:
        return self.ends

    def offsets_at(self, topic: str, millis: int) -> dict[int, int]:
        self.asked_for = millis
        return self.after

    def topic_id(self, topic: str) -> TopicId:
        return HERE


def complete(tmp_path, kafka: Kafka, clock: datetime) -> Completeness:
    settings = load_settings(home=tmp_path)
    millis = int(clock.timestamp() * 1000)
    return day_completeness(settings, GAME_EVENTS, DAY, admin=kafka, clock=lambda: millis)  # type: ignore[arg-type]


def test_a_day_is_not_over_until_ten_minutes_after_its_end_by_the_brokers_clock(tmp_path) -> None:
    kafka = Kafka({0: 0}, {})
    found = complete(tmp_path, kafka, END - timedelta(milliseconds=1))
    assert not found.complete
    assert "2026-03-01 is not over: by Kafka's clock it is 2026-03-02 00:09:59 UTC" in found.reason
    with pytest.raises(DayNotCompleteError, match="settle it after 2026-03-02 00:10 UTC"):
        found.check()
    assert complete(tmp_path, kafka, END).complete
    assert kafka.asked_for == int(END.timestamp() * 1000)


def test_the_partition_that_holds_a_day_up_is_named() -> None:
    needed = {0: 10, 1: 20, 2: 0}
    assert judged(DAY, "t", needed, archived({0: 10, 1: 25}), HERE).complete
    behind = judged(DAY, "t", needed, archived({0: 10, 1: 19}), HERE)
    assert behind.reason == "2026-03-01 waits for the archive of t: p1 at 19 of 20"
    nothing = judged(DAY, "t", needed, Manifest(topic="t"), HERE)
    assert nothing.reason.endswith("p0 at 0 of 10, p1 at 0 of 20")
    other = judged(DAY, "t", needed, archived({0: 99, 1: 99}, topic_id=TopicId("before")), HERE)
    assert "was deleted and created again" in other.reason


def test_a_quiet_partition_is_bounded_by_its_end_and_a_busy_one_by_its_first_later_record(tmp_path) -> None:
    found = complete(tmp_path, Kafka({0: 7, 1: 50}, {1: 30}), END)
    assert found.needed == {0: 7, 1: 30}
    assert "p0 at 0 of 7, p1 at 0 of 30" in found.reason


def settled(metric: str, day: date, version: int = 1, inputs=None, upto: ArchivedUpto | None = None, **more) -> Settled:
    values = {"fingerprint": METRICS[metric].fingerprint, "settled_at": END, "reason": Reason.FIRST} | more
    return Settled(
        metric=metric, day=day, version=version, rows=1, digest="", file="", file_sha256="", upto=upto,
        inputs=inputs or {}, late_events=0, failed_checks=(), **values,
    )  # fmt: skip


def all_settled(first: date, last: date) -> list[Settled]:
    found = []
    for place in range((last - first).days + 1):
        day = first + timedelta(days=place)
        for metric in METRICS.values():
            inputs = {name: dict.fromkeys(metric.days_of(name, day, first), 1) for name in metric.upstream}
            upto = ArchivedUpto(1, {0: 10}) if metric.reads_events else None
            found.append(settled(metric.name, day, inputs=inputs, upto=upto))
    return found


def test_days_that_were_never_settled_are_due_oldest_first() -> None:
    due = due_days(METRICS, [], DAY, DAY + ONE)
    assert [one.day for one in due] == [DAY, DAY + ONE]
    assert list(due[0].metrics) == list(METRICS)
    assert set(due[0].metrics.values()) == {Why.NOT_SETTLED}
    assert due_days(METRICS, all_settled(DAY, DAY + ONE), DAY, DAY + ONE) == []


def test_a_late_event_makes_its_day_due_and_nothing_else() -> None:
    due = due_days(METRICS, all_settled(DAY, DAY + 3 * ONE), DAY, DAY + 3 * ONE, late=[DAY + ONE])
    assert [one.day for one in due] == [DAY + ONE]
    assert due[0].metrics["events"] is Why.LATE_EVENTS
    assert set(due[0].metrics.values()) == {Why.LATE_EVENTS, Why.INPUTS}


def test_a_new_version_makes_exactly_the_days_due_that_read_it() -> None:
    known = all_settled(DAY, DAY + 3 * ONE)
    changed = [
        settled("user_daily_metrics", one.day, 2, inputs=one.inputs)
        if (one.metric, one.day) == ("user_daily_metrics", DAY + ONE)
        else one
        for one in known
    ]
    due = due_days(METRICS, changed, DAY, DAY + 3 * ONE)
    assert {(one.day, name) for one in due for name in one.metrics} == {
        (DAY + place * ONE, "active_users") for place in (1, 2, 3)
    }


def test_a_new_definition_makes_every_day_due_with_what_reads_it() -> None:
    known = [
        settled(one.metric, one.day, inputs=one.inputs, fingerprint="old") if one.metric == "level_metrics" else one
        for one in all_settled(DAY, DAY + ONE)
    ]
    due = due_days(METRICS, known, DAY, DAY + ONE)
    assert [dict(one.metrics) for one in due] == [{"level_metrics": Why.DEFINITION}] * 2


def test_a_look_finds_late_days_until_a_settlement_has_read_them() -> None:
    at_10, at_20 = ArchivedUpto(1, {0: 10}), ArchivedUpto(1, {0: 20})
    known = [settled("events", DAY, upto=at_10)]
    first = followed(None, at_10, {DAY: 5}, known)
    assert (first.first, first.late) == (DAY, {}), "the settlement has read it"
    second = followed(first, at_20, {DAY: 1, DAY + ONE: 3}, known)
    assert second.late == {DAY: at_20, DAY + ONE: at_20}
    assert followed(second, at_20, {}, known).late == second.late, "nothing new, and still not settled again"
    again = [settled("events", DAY, version=2, upto=at_20), settled("events", DAY + ONE, upto=at_10)]
    assert followed(second, at_20, {}, again).late == {DAY + ONE: at_20}, "a run that had begun before did not see it"
    anew = followed(first, ArchivedUpto(2, {0: 1}), {DAY: 1}, again)
    assert anew.late == {DAY: ArchivedUpto(2, {0: 1})}, "offsets of another chapter are others"
    assert followed(None, at_20, {DAY - ONE: 1}, known).first == DAY - ONE


class Facade:
    """The metrics of a stack, as a tick sees them."""

    def __init__(self, settled: list[Settled], scanned: Scanned, complete: Completeness) -> None:
        self._settled, self._scanned, self._complete = settled, scanned, complete

    def settled(self, metrics) -> list[Settled]:
        return self._settled

    def look(self, scanned: Scanned | None, settled: list[Settled]) -> LateDays:
        assert scanned in (None, self._scanned)
        return LateDays(self._scanned)

    def completeness(self, day: date) -> Completeness:
        return self._complete


NOW = datetime(2026, 3, 3, 2, 5, tzinfo=UTC)
SEEN = Scanned(ArchivedUpto(1, {0: 10}), DAY, {})


def ticked(facade: Facade, now: datetime = NOW, cursor: str | None = None, *, busy: bool = False) -> dg.SensorResult:
    return tick(facade, METRICS, cursor, now, busy=busy)  # type: ignore[arg-type]


def test_the_sensor_requests_the_oldest_day_from_two_in_the_morning_on() -> None:
    facade = Facade(all_settled(DAY, DAY), SEEN, Completeness(DAY, True, ""))
    early = ticked(facade, NOW - timedelta(seconds=1))
    assert not early.run_requests
    assert "Every day from 2026-03-01 to 2026-03-01 is settled" in str(early.skip_reason)
    result = ticked(facade, cursor=early.cursor)
    [request] = result.run_requests or []
    assert request.partition_key == "2026-03-02"
    assert {key.path[-1] for key in request.asset_selection or []} == set(METRICS)
    assert ticked(facade).run_requests[0].run_key == request.run_key, "asked once"
    assert ticked(facade, NOW + timedelta(hours=1)).run_requests[0].run_key != request.run_key, "and again if it failed"
    assert not ticked(facade, busy=True).run_requests


def test_the_sensor_says_which_partition_holds_a_day_up() -> None:
    waiting = judged(DAY, "t", {0: 10, 1: 5}, archived({0: 10}), HERE)
    result = ticked(Facade([], SEEN, waiting))
    assert not result.run_requests
    assert "2026-03-01 waits for the archive of t: p1 at 0 of 5; run `gamestream archive`" in str(result.skip_reason)


def test_the_schedule_requests_yesterday_unless_another_day_comes_first() -> None:
    waiting = judged(DAY, "t", {0: 10}, archived({0: 9}), HERE)
    complete_day = Completeness(DAY, True, "")

    def asked(settled: list[Settled], complete: Completeness, day: date) -> dg.RunRequest | dg.SkipReason:
        return yesterday(Facade(settled, SEEN, complete), METRICS, day)  # type: ignore[arg-type]

    request = asked(all_settled(DAY, DAY), complete_day, DAY + ONE)
    assert isinstance(request, dg.RunRequest)
    assert (request.partition_key, request.asset_selection) == ("2026-03-02", None)
    told = {
        asked([], complete_day, DAY + ONE).skip_message,  # type: ignore[union-attr]
        asked(all_settled(DAY, DAY), complete_day, DAY).skip_message,  # type: ignore[union-attr]
        asked([], waiting, DAY).skip_message,  # type: ignore[union-attr]
        asked([], complete_day, DAY - ONE).skip_message,  # type: ignore[union-attr]
    }
    assert told == {
        "2026-03-01 comes first; the sensor metrics_due settles one day after the other.",
        "2026-03-01 is settled.",
        "2026-03-01 waits for the archive of t: p0 at 9 of 10; the sensor metrics_due settles it when it is there.",
        "The archive has no game event of the day or before.",
    }


def test_the_sensor_without_events_waits() -> None:
    nothing = Scanned(ArchivedUpto(0, {}), None, {})
    assert "no game event" in str(ticked(Facade([], nothing, Completeness(DAY, True, ""))).skip_reason)
