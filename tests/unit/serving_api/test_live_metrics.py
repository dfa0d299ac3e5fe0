"""GET /v1/metrics/{metric}: rows by time, page by page, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.fakes.serving import LIVE, ServingApi

METRIC = "events_by_region_1min"


def ago(minutes: int) -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=minutes)


def row(minutes_ago: int, region: str, events: int) -> dict[str, Any]:
    minute = ago(minutes_ago)
    return {"minute": minute, "region": region, "events": events, "as_of": minute, "final": minutes_ago > 11}


def filled(api: ServingApi) -> list[dict[str, Any]]:
    rows = [row(minutes, region, minutes) for minutes in range(50, 0, -1) for region in ("EU", "NA", "Größe, 'x'")]
    api.live.rows[METRIC] = sorted(rows, key=lambda one: (one["minute"], one["region"]))
    return api.live.rows[METRIC]


def test_the_rows_of_the_last_hour_come_page_by_page(api: ServingApi) -> None:
    rows, found, cursor = filled(api), [], None
    for _ in range(20):
        query = {"limit": "13", **({} if cursor is None else {"cursor": cursor})}
        page = api.get(f"/v1/metrics/{METRIC}", params=query)
        assert page.status_code == 200, page.text
        found += page.json()["rows"]
        if (cursor := page.json()["next"]) is None:
            break
    assert [(one["minute"], one["region"]) for one in found] == [
        (one["minute"].isoformat(), one["region"]) for one in rows
    ]
    assert found[0]["final"] is True
    assert found[-1]["final"] is False
    assert page.json()["verified_by"]["verdict"] == "MATCH"
    assert page.json()["columns"]["events"] == {
        "type": "bigint", "role": "count", "meaning": "Events of the environment production.",
    }  # fmt: skip


def test_from_and_to_choose_the_minutes(api: ServingApi) -> None:
    rows = filled(api)
    span = {"from": rows[-27]["minute"].isoformat(), "to": rows[-21]["minute"].isoformat()}
    found = api.get(f"/v1/metrics/{METRIC}", params=span).json()["rows"]
    assert [one["events"] for one in found] == [9, 9, 9, 8, 8, 8]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"from": "2026-11-25T12:00:00"}, "BAD_PARAMETER"),
        ({"from": "2026-11-25T12:00:00Z", "to": "2026-11-25T11:00:00Z"}, "BAD_PARAMETER"),
        ({"from": "2026-11-20T12:00:00Z", "to": "2026-11-25T11:00:00Z"}, "BAD_PARAMETER"),
        ({"to": "0001-01-01T00:00:00Z"}, "BAD_PARAMETER"),
        ({"from": "9999-12-31T23:59:59Z"}, "BAD_PARAMETER"),
        ({"cursor": "x"}, "BAD_CURSOR"),
        ({"cursor": "WzIsIngiLCJFVSJd"}, "BAD_CURSOR"),
        ({"region": "EU"}, "BAD_PARAMETER"),
    ],
)
def test_what_cannot_be_understood_is_refused(api: ServingApi, query: dict[str, str], code: str) -> None:
    answer = api.get(f"/v1/metrics/{METRIC}", params=query)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_an_unknown_metric_names_the_known_ones(api: ServingApi) -> None:
    answer = api.get("/v1/metrics/top_players")
    assert (answer.status_code, answer.json()["code"]) == (404, "NO_SUCH_METRIC")
    assert all(name in answer.json()["message"] for name in LIVE)


def test_postgres_away_is_no_empty_answer(api: ServingApi) -> None:
    api.live.away = True
    answer = api.get(f"/v1/metrics/{METRIC}")
    assert (answer.status_code, answer.json()["code"]) == (503, "METRICS_UNAVAILABLE")
