"""The page Player: boards, settled days, the events behind a score, the fate of an event."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from gamestream_dagster.catalogue.metrics import MetricType, load_metrics
from gamestream_dagster.dashboard.markup import panels as drawn
from gamestream_dagster.dashboard.pages.player.answers import Explained, SumLine
from gamestream_dagster.dashboard.pages.player.history import History, OnBoard, about_players
from gamestream_dagster.dashboard.pages.player.view import explained, panels, start, traced
from gamestream_dagster.dashboard.reading import Problem
from gamestream_dagster.fates.model import Evidence, Outcome, Place, Received, Trace, TracedRecord

HOSTILE = "<script>alert(1)</script>"
METRICS = about_players(load_metrics())
VALUES: dict[MetricType, Any] = {
    MetricType.BIGINT: 7,
    MetricType.DOUBLE: 0.5,
    MetricType.DECIMAL: Decimal("3.5"),
    MetricType.STRING: HOSTILE,
    MetricType.DATE: date(2026, 11, 25),
    MetricType.TIMESTAMP: datetime(2026, 11, 25, 8, 30, tzinfo=UTC),
    MetricType.BOOLEAN: True,
    MetricType.JSON: {},
}


def html(*shown: Any) -> str:
    return drawn("auto", [], list(shown))


def test_the_metrics_of_a_player_follow_from_the_catalogue() -> None:
    names = {one.name for one in METRICS}
    assert {"user_daily_metrics", "wallets", "churn_signals", "installs", "payers_daily"} <= names
    assert names.isdisjoint({"events", "friend_ties", "active_users", "level_metrics", "feature_users_daily"})


def test_before_anything_was_asked_the_page_says_what_to_type() -> None:
    assert "stay in this session" in html(start())


def test_a_player_that_nobody_knows() -> None:
    [panel] = panels(History(HOSTILE), METRICS)
    text = html(panel)
    assert "Nothing here is about exactly this player" in text
    assert HOSTILE not in text


def test_boards_and_days_of_a_player() -> None:
    row = {"rnk": 2, "user_id": "ada", "team_name": HOSTILE, "total_score": 1103}
    days = {one.name: [{name: VALUES[column.type] for name, column in one.columns.items()}] for one in METRICS}
    shown = panels(History("ada", [OnBoard("top_players", "Top players", row, 2, 10)], days), METRICS)
    assert shown[0].name == "boards"
    assert {one.name for one in shown[1:]} == {one.name for one in METRICS}
    assert [one.is_wide for one in shown] == sorted(one.is_wide for one in shown)
    text = html(*shown)
    assert "2 of 10" in text
    assert "total score 1,103" in text
    assert "$3.50" in text
    assert "25 Nov 08:30 UTC" in text
    assert "<script" not in text


def test_why_a_score_is_what_it_is() -> None:
    def event(number: int) -> dict[str, Any]:
        place = {"partition": 0, "offset": number, "kafka_timestamp": 1_790_000_000_000, "event_time_millis": None}
        return {**place, "event_id": HOSTILE, "score": 10, "total": 10 * number}

    sums = [SumLine("total_score", 300, 30, [event(1), event(2)], [event(30)])]
    shown = {"rnk": 1, "user_id": "ada", "total_score": 300}
    found = Explained("Top players", "The lines add up to the row shown.", True, shown, None, sums, {"NOT_JSON": 2})
    text = html(explained(found))
    for part in ("total score is 300, from 30 events", "+10", "27 more between", "2 NOT_JSON", "no row", "adds up"):
        assert part in text, part
    assert "<script" not in text
    away = html(explained(Problem("Kafka does not answer", "Nothing listens.", "gamestream status")))
    assert "Kafka does not answer" in away


def record(**values: Any) -> TracedRecord:
    raw = Place("game-events-raw", 1, 7, 1_790_000_000_000)
    common = {"raw": raw, "event_type": "score", "player": 1, "reason": None, "field": None, "late": False}
    return TracedRecord(**{**common, "current": True, "archive_file": None, **values})


def test_what_became_of_an_event() -> None:
    accepted = record(
        outcome=Outcome.ENRICHED,
        evidence=Evidence.OUTPUT,
        written=Place("game-events-enriched", 0, 3, 0),
        received=Received("k1", "my-game", None),
        boards=("top_players",),
    )
    refused = record(outcome=Outcome.DEAD, reason="MISSING_FIELD", field="user_id")
    found = Trace(HOSTILE, (accepted, refused), (), (), ("game-events-raw up to p0@9",), more=True)
    text = html(traced(found))
    for part in ("game-events-raw p1@7", "over HTTP by my-game", "game-events-enriched p0@3", "top_players"):
        assert part in text, part
    assert "MISSING_FIELD (user_id)" in text
    assert "more records under this id" in text
    assert HOSTILE not in text
    nothing = html(traced(Trace(HOSTILE, (), (), (), ())))
    assert "No record has this id" in nothing
    assert HOSTILE not in nothing
