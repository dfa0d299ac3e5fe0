"""Boards, pages, rows, neighbours and friends: what they answer at every edge, and of which moment they are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gamestream_dagster.catalogue.seasons import SeasonSpan
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.serving_api import held, reading
from tests.support.fakes.serving import BOARDS, DAY, ServingApi, players, run

BOARD = "/v1/boards/top_players"
WINDOW = 2


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["rows"]]


def test_boards_are_listed_with_order_and_seasons(api: ServingApi) -> None:
    found = {one["name"]: one for one in api.get("/v1/boards").json()["boards"]}
    assert set(found) == set(BOARDS)
    assert found["top_players"]["seasons"] is None
    assert found["season_players"]["seasons"] == ["1970-01-02"]
    assert found["top_players"]["tie_rule"].startswith("total_score descending, then user_id ascending")
    assert found["team_mvps"]["columns"]["contrib_ratio"]["role"] == "ratio"
    assert found["hot_streaks"]["id_columns"] == ["user_id"]


def test_a_board_says_what_it_is_of_and_what_verified_it(api: ServingApi) -> None:
    api.show("top_players", players(30, 20))
    api.reader.differing = {2: ("SINK_LAG",)}
    found = api.get(BOARD).json()
    assert found["as_of"] == {
        "topic": "user-score", "topic_id": None, "low": {"0": 5}, "high": {"0": 7}, "unknown": None,
    }  # fmt: skip
    assert found["verified_by"]["verdict"] == "MATCH"
    assert found["verified_by"]["run"] == "run-1"
    assert found["settled_until"] is None
    assert found["faults"] == []
    assert found["rows"][0] == {
        "rank": 1, "id": "p1", "value": 30, "differing": [],
        "columns": {"rnk": 1, "user_id": "p1", "team_name": "blue", "total_score": 30},
    }  # fmt: skip
    assert found["rows"][1]["differing"] == ["SINK_LAG"]
    assert (found["rows_total"], found["next"]) == (2, None)


def test_a_board_that_nothing_verified_says_so(api: ServingApi) -> None:
    api.reader.proof = None
    assert api.get(BOARD).json()["verified_by"] is None
    api.reader.proof = run("COULD_NOT_RUN")
    api.now += 100
    assert api.get(BOARD).json()["verified_by"]["verdict"] == "COULD_NOT_RUN"


@pytest.mark.parametrize("count", [0, 1, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW, 2 * WINDOW + 1, 9])
@pytest.mark.parametrize("equal", [False, True])
def test_every_edge_of_rows_neighbours_and_pages(api: ServingApi, count: int, equal: bool) -> None:
    totals = [5] * count if equal else list(range(count, 0, -1))
    api.show("top_players", players(*totals))
    names = [f"p{number}" for number in range(1, count + 1)]
    for place, name in enumerate(names):
        found = api.get(f"{BOARD}/players/{name}").json()
        assert (found["row"]["rank"], found["row"]["id"], found["rows_total"]) == (place + 1, name, count)
        ahead = {"rank": place, "id": names[place - 1], "ahead_by": 0 if equal else 1} if place else None
        assert found["next"] == ahead
        around = ids(api.get(f"{BOARD}/around/{name}?window={WINDOW}"))
        assert around == names[max(0, place - WINDOW) : place + WINDOW + 1]
    for absent in ("nobody", f"p{count + 1}"):
        assert api.get(f"{BOARD}/players/{absent}").status_code == 404
        assert api.get(f"{BOARD}/around/{absent}?window={WINDOW}").status_code == 404
    for limit in range(1, count + 2):
        assert pages(api, limit) == names
    assert ids(api.get(f"{BOARD}?limit=1000")) == names


def pages(api: ServingApi, limit: int) -> list[str]:
    """The ids on all pages, the board being changed after each."""
    found: list[str] = []
    path = f"{BOARD}?limit={limit}"
    shown = api.reader.rows.get("top_players", ())
    while True:
        page = api.get(path).json()
        assert len(page["rows"]) <= limit
        found += [row["id"] for row in page["rows"]]
        api.reader.rows["top_players"] = players(*range(100, 90, -1), first=50)
        api.now += 10
        if page["next"] is None:
            break
        path = f"{BOARD}?limit={limit}&cursor={page['next']}"
    api.show("top_players", shown)
    return found


def test_pages_are_of_one_moment_and_other_answers_are_not(api: ServingApi) -> None:
    api.show("top_players", players(30, 20, 10))
    first = api.get(f"{BOARD}?limit=2").json()
    api.reader.offset = 9
    api.show("top_players", players(99, 98, 97, first=4))
    second = api.get(f"{BOARD}?limit=2&cursor={first['next']}").json()
    assert [row["id"] for row in first["rows"] + second["rows"]] == ["p1", "p2", "p3"]
    assert second["as_of"] == first["as_of"]
    assert second["read_at"] == first["read_at"]
    assert api.get(BOARD).json()["as_of"]["low"] == {"0": 9}


def test_a_cursor_is_good_for_five_minutes_after_its_last_use(api: ServingApi) -> None:
    api.show("top_players", players(30, 20, 10))
    cursor = api.get(f"{BOARD}?limit=1").json()["next"]
    for _ in range(3):
        api.now += held.PIN_SECONDS - 1
        assert ids(api.get(f"{BOARD}?limit=1&cursor={cursor}")) == ["p2"]
    api.now += held.PIN_SECONDS + 1
    answer = api.get(f"{BOARD}?limit=1&cursor={cursor}")
    assert (answer.status_code, answer.json()["code"]) == (410, "CURSOR_EXPIRED")


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "e30", "WzEsICJhIiwgLTFd", "WzIsICJhIiwgMV0", "%00", "é", "a" * 5000, "W1tdLDEsMl0", "WzEsImEiLHRydWVd"],
)
def test_a_cursor_that_is_none_is_400(api: ServingApi, cursor: str) -> None:
    answer = api.get(f"{BOARD}?cursor={cursor}")
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_CURSOR")


def test_a_cursor_of_another_board_is_400(api: ServingApi) -> None:
    api.show("top_players", players(30, 20, 10))
    cursor = api.get(f"{BOARD}?limit=1").json()["next"]
    assert api.get(f"/v1/boards/top_teams?cursor={cursor}").json()["code"] == "BAD_CURSOR"


def test_the_memory_of_pinned_views_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "MOST_PINNED_ROWS", 50)
    api = ServingApi()
    first = ""
    for number in range(12):
        api.reader.offset = number
        api.show("top_players", players(*range(10, 0, -1)))
        cursor = api.get(f"{BOARD}?limit=1").json()["next"]
        first = first or cursor
        assert api.views.pinned_rows <= 50
    assert api.get(f"{BOARD}?cursor={cursor}").status_code == 200
    assert api.get(f"{BOARD}?cursor={first}").status_code == 410, "the oldest made room"
    api.close()


def test_friends_come_by_rank_and_the_absent_are_named(api: ServingApi) -> None:
    api.show("top_players", players(30, 20, 10))
    found = api.post(f"{BOARD}/among", {"ids": ["p3", "x", "p1", "p3", "y/z", ""]}).json()
    assert [row["id"] for row in found["rows"]] == ["p1", "p3"]
    assert found["absent"] == ["x", "y/z", ""]
    assert found["tie_rule"]
    assert api.post(f"{BOARD}/among", {"ids": []}).json()["rows"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        *({}, [], {"ids": "p1"}, {"ids": [1]}, {"ids": [None]}, {"ids": [], "more": 1}, "p1", 5),
        *({"ids": ["a"] * 501}, {"ids": ["a" * 1001]}),
    ],
)
def test_a_list_that_is_none_is_400(api: ServingApi, wrong: Any) -> None:
    answer = api.post(f"{BOARD}/among", wrong)
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_BODY")


@pytest.mark.parametrize(
    "name", ["a/b", "a b", "ü", "a,b", "player:p1", "..%2Fx", "a?b", "%", "\u0000", "x" * 3000, "why"]
)
def test_any_text_is_an_id(api: ServingApi, name: str) -> None:
    from urllib.parse import quote

    api.show("top_players", ({"rnk": 1, "user_id": name, "team_name": "t", "total_score": 1},))
    quoted = quote(name, safe="")
    assert api.get(f"{BOARD}/players/{quoted}").json()["row"]["id"] == name
    assert ids(api.get(f"{BOARD}/around/{quoted}")) == [name]
    assert api.get(f"/v1/players/{quoted}/why?board=top_players").status_code == 200
    assert api.asked == [("top_players", name, 5)]


def test_an_absent_player_is_told_with_the_cut(api: ServingApi) -> None:
    api.show("top_players", players(3))
    answer = api.get(f"{BOARD}/players/nobody")
    assert answer.status_code == 404
    assert answer.json()["code"] == "NOT_ON_BOARD"
    assert answer.json()["as_of"]["low"] == {"0": 5}
    assert "why?board=top_players" in answer.json()["message"]


def test_beyond_53_bits_every_digit_is_kept(api: ServingApi) -> None:
    api.show("top_players", players(2**63 - 1, 2**53 + 1, 2**53))
    found = api.get(BOARD).json()
    assert [row["value"] for row in found["rows"]] == [2**63 - 1, 2**53 + 1, 2**53]
    assert api.get(f"{BOARD}/players/p3").json()["next"]["ahead_by"] == 1


def test_ratios_are_apart_by_their_integers(api: ServingApi) -> None:
    row = {"team_name": "t", "user_id": "u", "contrib_ratio": 0.5}
    api.show("team_mvps", (
        {"rnk": 1, "team_id": "t1", "player_total": 3, "team_total": 4, **row},
        {"rnk": 2, "team_id": "t2", "player_total": 1, "team_total": 2, **row},
    ))  # fmt: skip
    assert api.get("/v1/boards/team_mvps/players/t2").json()["next"] == {"rank": 1, "id": "t1", "ahead_by": 0.25}


def test_a_board_with_a_window_is_settled_until_its_end(api: ServingApi) -> None:
    end = datetime(2026, 11, 21, 12, 0, 5, tzinfo=UTC)
    row = dict.fromkeys(BOARDS["hot_streaks"].columns, 1) | {"as_of": end, "rnk": 1, "user_id": "p1"}
    api.show("hot_streaks", (row,))
    found = api.get("/v1/boards/hot_streaks").json()
    assert found["settled_until"] == "2026-11-21T12:00:05.000Z"
    assert found["rows"][0]["columns"]["as_of"] == "2026-11-21T12:00:05.000Z"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ((*players(3), {**players(3)[0], "rnk": 2}), "p1 stands on it 2 times"),
        (players(1, 2), "the ranks 1 and 2 are not in the board's order"),
        (players(3, 2, 1)[1:], "the ranks are 2, 3, not 1 to 2"),
        (({**players(1)[0], "total_score": None},), "rank 1: total_score is empty"),
        (({**players(1)[0], "rnk": 0},), "the ranks are 0, not 1 to 1"),
    ],
)  # fmt: skip
def test_a_board_that_contradicts_itself_is_served_with_its_faults(api: ServingApi, rows: Any, told: str) -> None:
    api.show("top_players", rows)
    found = api.get(BOARD).json()
    assert told in found["faults"]
    assert len(found["rows"]) == len(rows)
    assert api.get(f"{BOARD}/players/p1").status_code in (200, 404)


def test_not_a_number_is_null_and_a_fault(api: ServingApi) -> None:
    row = {"rnk": 1, "team_id": "t", "team_name": "t", "user_id": "u", "player_total": 1, "team_total": 0}
    api.show("team_mvps", ({**row, "contrib_ratio": float("nan")},))
    found = api.get("/v1/boards/team_mvps").json()
    assert found["faults"] == ["rank 1: contrib_ratio is nan"]
    assert found["rows"][0]["value"] is None


def of_season(rows: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple({"season_id": datetime(2026, 11, 21, tzinfo=UTC), **row} for row in rows)


def test_seasons_are_by_their_start(api: ServingApi) -> None:
    api.show("season_players", of_season(players(3)))
    path = "/v1/boards/season_players"
    assert api.get(f"{path}?season=2026-11-21").json()["season"] == "2026-11-21"
    assert api.get(f"{BOARD}?season=2026-11-21").json()["code"] == "NO_SEASONS"
    for wrong in ("x", "2026-13-01", "2026-11-21T01:00:00Z", ""):
        assert api.get(f"{path}?season={wrong}").status_code == 400
    api.reader.error = reading.NoSuchSeasonError("season_players has no rows of the season 2020-01-01", "see")
    assert api.get(f"{path}?season=2020-01-01").json()["code"] == "NO_SUCH_SEASON"


def test_a_cursor_keeps_its_season(api: ServingApi) -> None:
    api.show("season_players", of_season(players(3, 2)))
    path = "/v1/boards/season_players"
    cursor = api.get(f"{path}?season=2026-11-21&limit=1").json()["next"]
    assert api.get(f"{path}?cursor={cursor}").json()["season"] == "2026-11-21"
    assert api.get(f"{path}?cursor={cursor}&season=2026-11-20").json()["code"] == "BAD_CURSOR"


def test_an_unknown_board_is_404_and_names_the_boards(api: ServingApi) -> None:
    for path in ("/v1/boards/nothing", "/v1/boards/nothing/players/p1", "/v1/players/p1/why?board=nothing"):
        answer = api.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "NO_SUCH_BOARD")
        assert "top_players" in answer.json()["message"]


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=-1", "limit=1001", "limit=x", "limit=", "limit=1.5", "limit=1&limit=2", "lmit=3"),
        "season=" + "1" * 41,
    ],
)
def test_a_parameter_that_cannot_be_used_is_a_sentence(api: ServingApi, query: str) -> None:
    answer = api.get(f"{BOARD}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_PARAMETER")
    assert answer.json()["message"].endswith(".")


def test_a_table_that_is_not_there_is_503_with_what_to_do(api: ServingApi) -> None:
    error = CouldNotLookError("the table top_players does not exist", "make it with `gamestream apply`")
    api.reader.error = reading.BoardUnreadableError(error.reason, error.instruction)
    answer = api.get(BOARD)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert "gamestream apply" in answer.json()["message"]
    assert {api.get(BOARD).status_code for _ in range(5)} == {503}
    assert api.reader.reads == 1, "it is left alone for a second"
    api.reader.error = None
    api.now += held.PAUSE_SECONDS
    assert api.get(BOARD).status_code == 200


def test_a_table_that_was_changed_is_not_covered_up_by_what_was_read_before(api: ServingApi) -> None:
    api.show("top_players", players(3))
    assert api.get(BOARD).status_code == 200
    api.reader.error = reading.BoardUnreadableError("the table top_players does not exist", "make it")
    api.now += held.STALE_SECONDS
    assert [api.get(BOARD).status_code for _ in range(2)] == [503, 503]


def test_season_view_is_not_the_newest_one(api: ServingApi) -> None:
    """Views are held by board and season."""
    api.show("season_players", of_season(players(3)))
    api.get("/v1/boards/season_players?season=2026-11-21")
    assert api.get("/v1/boards/season_players").json()["season"] is None
    assert SeasonSpan(DAY, 2 * DAY).label == "1970-01-02"
