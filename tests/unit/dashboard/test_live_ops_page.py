"""The page Live ops: the pulse by offsets, the live tables, and what is said while one of them is not there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gamestream_dagster.alerts.overview import Line, Overview
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.clients.errors import NotFoundError
from gamestream_dagster.dashboard.markup import panels as drawn
from gamestream_dagster.dashboard.pages.live_ops.abuse import AbuseRows
from gamestream_dagster.dashboard.pages.live_ops.minutes import REGIONS, TABLES, Moment
from gamestream_dagster.dashboard.pages.live_ops.stream import DLQ_TOPIC, LATE_TOPIC, MINUTE_MS, Pulse, StreamWatch
from gamestream_dagster.dashboard.pages.live_ops.view import panels, tiles
from gamestream_dagster.dashboard.parts import Chart, Note, Panel, Table, Tone
from gamestream_dagster.dashboard.reading import Problem

JOBS = {
    "game_metrics_v1": ("regions", "types", "revenue", "features", "arms"),
    "player_activity_v1": ("online", "refunds"),
}
NOW = datetime(2026, 11, 26, 12, 0, 30, tzinfo=UTC)
AWAY = Problem("Kafka does not answer", "Nothing listens.", "gamestream status")


class Log:
    """Topics of two partitions whose records have times; the odd ones are in partition 1."""

    def __init__(self, **records: list[float]) -> None:
        self.records = {name.replace("_", "-"): times for name, times in records.items()}
        self.asked = 0

    def parts(self, topic: str) -> tuple[list[float], list[float]]:
        times = sorted(self.records[topic])
        return times[::2], times[1::2]

    def ranges(self) -> dict[str, dict[int, tuple[int, int] | None]]:
        return {
            topic: {part: (0, len(times)) for part, times in enumerate(self.parts(topic))} for topic in self.records
        }

    def offsets_at(self, topic: str, millis: int) -> dict[int, int]:
        self.asked += 1
        found = {}
        for part, times in enumerate(self.parts(topic)):
            after = [place for place, at in enumerate(times) if at * 1000 >= millis]
            if after:
                found[part] = after[0]
        return found


def log(**more: list[float]) -> Log:
    now = NOW.timestamp()
    raw = [now - age for age in (5, 20, 59, 61, 200, 3000, 90_000)]
    topics = {"game_events_raw": raw, "game_events_dlq": [now - 100], "game_events_late": [now - 700]}
    return Log(**{**topics, **more})


def pulse(source: Log) -> Pulse:
    return StreamWatch(source, clock=NOW.timestamp).look()


def test_counts_are_those_of_the_records_times() -> None:
    seen = pulse(log())
    assert (seen.last_minute, seen.last_day) == (3, 6)
    # from the whole minute ten minutes ago
    assert (seen.recent, seen.dead, seen.late) == (5, 1, 0)
    assert seen.dead_share == pytest.approx(0.2)
    assert len(seen.minutes) == 30
    assert seen.minutes[-1] == (int(NOW.timestamp() * 1000) - 30_000 - MINUTE_MS, 2)
    assert sum(records for _, records in seen.minutes) == 3


def test_past_minutes_are_asked_once() -> None:
    source = log()
    watch = StreamWatch(source, clock=NOW.timestamp)
    first = watch.look()
    asked = source.asked
    assert watch.look() == first
    assert source.asked == asked + 1  # the last sixty seconds alone
    later = StreamWatch(source, clock=lambda: NOW.timestamp() + 60)
    assert later.look().minutes[:-1] == first.minutes[1:]


def test_a_topic_that_was_made_anew_counts_nothing_negative() -> None:
    source = log()
    watch = StreamWatch(source, clock=NOW.timestamp)
    watch.look()
    source.records["game-events-raw"] = []
    seen = watch.look()
    assert (seen.last_day, seen.recent, min(records for _, records in seen.minutes)) == (0, 0, 0)


def test_topics_that_are_not_there() -> None:
    with pytest.raises(NotFoundError, match="gamestream apply"):
        pulse(Log(user_score=[1.0]))
    alone = pulse(Log(game_events_raw=[]))
    assert (alone.last_day, alone.dead, alone.late, alone.dead_share) == (0, 0, 0, None)
    assert {RAW_TOPIC, DLQ_TOPIC, LATE_TOPIC} == set(log().ranges())


def minute(back: int, region: str, events: int) -> dict[str, Any]:
    at = NOW.replace(second=0) - timedelta(minutes=back)
    return {"minute": at, "region": region, "events": events, "as_of": NOW, "final": back > 10}


def moment(**values: Any) -> Moment:
    regions = [minute(back, region, 10 * place) for back in range(3) for place, region in enumerate(("EU", "NA"), 1)]
    recent = {
        one.name: [{**dict.fromkeys(one.dimensions, "<b>x</b>"), **dict.fromkeys(one.measures, 7)}] for one in TABLES
    }
    overview = Overview((), NOW.timestamp(), {})
    return replace(Moment(NOW, recent=recent, regions=regions, as_of=NOW, alerts=overview), **values)


def page(a_moment: Moment | Problem, a_pulse: Pulse | Problem | None = None) -> dict[str, Panel]:
    return {one.name: one for one in panels(a_pulse or pulse(log()), a_moment)}


def tile(label: str, a_moment: Moment | Problem, a_pulse: Pulse | Problem | None = None) -> tuple[str, Tone]:
    found = next(one for one in tiles(a_pulse or pulse(log()), a_moment) if one.label == label)
    return found.value, found.tone


def test_regions_are_bars_by_minute() -> None:
    [chart] = page(moment())["regions"].parts
    assert isinstance(chart, Chart)
    assert (list(chart.series), len(chart.bars)) == (["NA", "EU"], 3)
    assert chart.bars[0].hint == "11:58 UTC: 20 NA, 10 EU"


def test_more_regions_than_colours_are_told_as_others() -> None:
    regions = [minute(0, f"r{number}", 10 - number) for number in range(8)]
    [chart] = page(moment(regions=regions))["regions"].parts
    assert isinstance(chart, Chart)
    assert list(chart.series) == ["r0", "r1", "r2", "r3", "others"]
    assert "18 others" in chart.bars[0].hint


def only_note(panel: Panel) -> Note:
    [note] = panel.parts
    assert isinstance(note, Note)
    return note


def test_a_table_that_does_not_exist_yet_is_told_in_its_panel() -> None:
    shown = page(moment(missing=frozenset({REGIONS.name, "revenue_1min"}), recent={}, regions=[]))
    for name in ("regions", "revenue"):
        assert "does not exist yet" in only_note(shown[name]).text
        assert only_note(shown[name]).command == "gamestream jobs apply game_metrics_v1"
    unlike = page(moment(unlike=frozenset({"revenue_1min"})))["revenue"]
    assert only_note(unlike).command == "gamestream plan"


@pytest.mark.parametrize(
    ("state", "command"),
    [
        (None, "gamestream jobs apply {job}"),
        ("SUSPENDED", "gamestream jobs show {job}"),
        ("RUNNING", "gamestream simulate --via http --rate 200"),
    ],
)
def test_no_rows_are_a_fact_only_while_the_job_runs(state: str | None, command: str) -> None:
    shown = page(moment(recent={}, regions=[], job_states=dict.fromkeys(JOBS, state) if state else {}))
    for job, names in JOBS.items():
        assert {only_note(shown[name]).command for name in names} == {command.format(job=job)}


def test_players_and_sessions_stand_side_by_side_by_region() -> None:
    recent = {
        "online_players_by_region": [{"region": "EU", "players": 3}, {"region": "<b>", "players": 9}],
        "open_sessions_by_region": [{"region": "EU", "sessions": 4}, {"region": "NA", "sessions": 1}],
    }
    running = moment(recent=recent, job_states={"player_activity_v1": "RUNNING"})
    [table] = page(running)["online"].parts
    assert isinstance(table, Table)
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["<b>", "9", "0"],
        ["EU", "3", "4"],
        ["NA", "0", "1"],
    ]
    assert tile("Players online", running) == ("12", Tone.LIVE)
    assert tile("Players online", moment(recent=recent)) == ("–", Tone.PLAIN)
    assert tile("Players online", AWAY) == ("?", Tone.WARN)


def test_names_of_events_are_hostile_input() -> None:
    html = drawn("auto", tiles(pulse(log()), moment()), list(page(moment()).values()))
    assert "<b>x" not in html
    [table] = page(moment())["revenue"].parts
    assert isinstance(table, Table)
    assert [cell.text for cell in table.rows[0]] == ["<b>x</b>", "7", "0.00"]


@pytest.mark.parametrize(("a_pulse", "a_moment"), [(AWAY, moment()), (pulse(log()), AWAY), (AWAY, AWAY)])
def test_without_kafka_or_postgres_the_rest_stands(a_pulse: Pulse | Problem, a_moment: Moment | Problem) -> None:
    html = drawn("auto", tiles(a_pulse, a_moment), panels(a_pulse, a_moment))
    assert "Kafka does not answer" in html
    assert ("Events by region in" in html) == (a_moment is not AWAY)


def test_tiles_turn_red_with_their_alerts() -> None:
    now = NOW.timestamp()
    many = pulse(log(game_events_dlq=[now - 100 - each for each in range(20)]))
    assert tile("Dead letters", moment(), many)[1] is Tone.BAD
    assert tile("Dead letters", moment())[1] is Tone.GOOD  # one letter among few is no rate
    positions = [{"job": "j", "topic": RAW_TOPIC, "partition_id": 0, "last_offset": 0}]
    assert tile("Lag", moment(positions=positions)) == ("6", Tone.GOOD)
    line = Line("a", "high_dlq_rate", "firing", "warning", now, 1.0, "m", "", "docs/runbooks/high_dlq_rate.md")
    firing = moment(alerts=Overview((line,), now, {}))
    assert tile("Alerts", firing) == ("1", Tone.BAD)


def abuse_row(subject: str) -> dict[str, Any]:
    return {
        "words": "refunds in a day",
        "subject": subject,
        "number": 1234,
        "begins": NOW - timedelta(hours=3),
        "as_of": NOW - timedelta(seconds=40),
        "events": "2026-11-26T11:59:50.000Z e1",
    }


def test_abuse_is_a_table_of_the_newest_rows_with_its_events() -> None:
    panel = page(moment(abuse=AbuseRows([abuse_row("<i>ann</i>")]), job_states={"game_alerts_v1": "SUSPENDED"}))[
        "abuse"
    ]
    [table] = panel.parts
    assert isinstance(table, Table)
    assert [cell.text for cell in table.rows[0]][:3] == ["refunds in a day", "<i>ann</i>", "1,234"]
    assert "e1" in table.rows[0][1].hint
    assert "<i>ann" not in drawn("auto", [], [panel])


@pytest.mark.parametrize(
    ("abuse", "state", "command"),
    [
        (AbuseRows(missing=True), None, "gamestream jobs apply game_alerts_v1"),
        (AbuseRows(), None, "gamestream jobs apply game_alerts_v1"),
        (AbuseRows(unlike=True), "RUNNING", "gamestream plan"),
        (AbuseRows(), "SUSPENDED", "gamestream jobs show game_alerts_v1"),
        (AbuseRows(), "RUNNING", "gamestream simulate --abuse"),
    ],
)
def test_no_abuse_is_a_fact_only_while_its_job_runs(abuse: AbuseRows, state: str | None, command: str) -> None:
    assert (
        only_note(page(moment(abuse=abuse, job_states={"game_alerts_v1": state} if state else {}))["abuse"]).command
        == command
    )
