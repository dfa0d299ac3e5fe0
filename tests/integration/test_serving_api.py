"""The serving API on real Postgres and Kafka: rows equal the boards at a bracket that holds, pages while scores move,
servers away, SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.platform.service import ServiceState
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.platform.supervisor import Supervisor
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Settings
from tests.integration.conftest import Boards
from tests.support.cli import gamestream

LIMIT_SECONDS = 60
BOARD = "/v1/boards/top_players"


@dataclass
class Server:
    """The API beside the deployed boards, and a key for it."""

    settings: Settings
    key: str = ""
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=90, trust_env=False))

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.http.get(self.settings.api_url + path, headers={"Authorization": f"Bearer {self.key}", **headers})

    def post(self, path: str, content: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.http.post(self.settings.api_url + path, json=content, headers=headers)

    def pid(self) -> int:
        return Supervisor(self.settings).states()["api"]["pid"]


@pytest.fixture(scope="module")
def server(boards: Boards) -> Iterator[Server]:
    made = Server(boards.settings)
    stack = Stack(made.settings)
    stack.up(("api",))
    try:
        ended = gamestream(made.settings, "keys", "create", "--app", "game", "--scope", "read", "--json")
        assert ended.returncode == 0, ended.words
        made.key = json.loads(ended.stdout)["key"]
        yield made
    finally:
        made.http.close()
        stack.stop("api")


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not within {LIMIT_SECONDS} s: {what}"
        time.sleep(0.1)


def test_every_board_is_served_as_it_stands_between_its_cuts(server: Server, boards: Boards) -> None:
    boards.drain()
    time.sleep(1.1)  # what was read before is older than a view may be
    ends = KafkaAdmin(boards.settings.kafka).end_offsets("user-score")
    for name, board in load_boards().items():
        found = server.get(f"/v1/boards/{name}").json()
        rows = boards.rows(name)
        assert [row["rank"] for row in found["rows"]] == [row[board.rank_column] for row in rows]
        for served, row in zip(found["rows"], rows, strict=True):
            texts = {name: value for name, value in row.items() if board.columns[name].type.value != "timestamp"}
            assert {column: served["columns"][column] for column in texts} == texts
        assert found["faults"] == []
        assert found["as_of"]["unknown"] is None
        assert found["as_of"]["low"] == found["as_of"]["high"] == {str(part): end for part, end in ends.items()}
        assert found["as_of"]["topic_id"] == KafkaAdmin(boards.settings.kafka).topic_id("user-score")


def test_a_reconciliation_is_what_verified_a_board(server: Server, boards: Boards) -> None:
    run = reconcile(boards.settings)
    time.sleep(1.1)
    found = server.get(BOARD).json()
    assert (found["verified_by"]["run"], found["verified_by"]["verdict"]) == (run.run_id, run.verdict.value)


def test_row_neighbours_friends_and_why_agree(server: Server, boards: Boards) -> None:
    rows = boards.rows("top_players")
    first, second = rows[0], rows[1]
    answer = server.get(f"{BOARD}/players/{second['user_id']}").json()
    assert answer["next"] == {
        "rank": 1, "id": first["user_id"], "ahead_by": first["total_score"] - second["total_score"],
    }  # fmt: skip
    around = server.get(f"{BOARD}/around/{first['user_id']}?window=1").json()
    assert [row["id"] for row in around["rows"]] == [first["user_id"], second["user_id"]]
    among = server.post(f"{BOARD}/among", {"ids": ["nobody", second["user_id"], first["user_id"]]}).json()
    assert ([row["id"] for row in among["rows"]], among["absent"]) == (
        [first["user_id"], second["user_id"]], ["nobody"],
    )  # fmt: skip
    why = server.get(f"/v1/players/{first['user_id']}/why?board=top_players&limit=2").json()["why"]
    assert (why["standing"], why["adds_up"]) == ("AS_SHOWN", True)
    assert why["sums"][0]["total"] == first["total_score"]
    assert server.get("/v1/players/nobody/why?board=top_players").json()["code"] == "UNKNOWN_ID"


def test_pages_hold_each_player_once_while_ranks_move(server: Server, boards: Boards) -> None:
    """Another writer swaps two rows of the table for as long as pages are read."""
    stop = threading.Event()
    names = [row["user_id"] for row in boards.rows("top_players")]
    swapping = threading.Thread(target=swap, args=(boards.settings, stop))
    swapping.start()
    try:
        seen: set[tuple[str, ...]] = set()
        deadline = time.monotonic() + LIMIT_SECONDS
        while len(seen) < 2:
            assert time.monotonic() < deadline, "the ranks did not move"
            listed = pages(server)
            assert sorted(listed) == sorted(names)
            seen.add(tuple(listed))
    finally:
        stop.set()
        swapping.join()
    assert [row["user_id"] for row in boards.rows("top_players")] == names


def swap(settings: Settings, stop: threading.Event) -> None:
    """Swap the first two rows, an even number of times; each time in one transaction."""
    table = sa.table("top_players", *map(sa.column, ("rnk", "user_id", "team_name", "total_score")))
    with open_engine(settings) as engine:
        times = 0
        while not stop.is_set() or times % 2:
            with engine.begin() as link:
                rows = link.execute(sa.select(table).where(table.c.rnk <= 2).order_by(table.c.rnk)).mappings().all()
                for rank, row in ((1, rows[1]), (2, rows[0])):
                    values = {name: row[name] for name in ("user_id", "team_name")}
                    link.execute(sa.update(table).where(table.c.rnk == rank).values(values))
            times += 1
            time.sleep(0.3)


def pages(server: Server) -> list[str]:
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = server.get(f"{BOARD}?limit=1{cursor and f'&cursor={cursor}'}").json()
        found += [row["id"] for row in page["rows"]]
        cursor = page["next"]
    return found


def test_the_second_answer_is_304_as_long_as_nothing_changes(server: Server) -> None:
    tag = server.get("/v1/boards/top_teams").headers["ETag"]
    time.sleep(1.2)
    server.get("/v1/boards/top_teams")
    assert server.get("/v1/boards/top_teams", **{"If-None-Match": tag}).status_code == 304


def test_a_table_that_was_changed_is_told_and_comes_back(server: Server, boards: Boards) -> None:
    with open_engine(boards.settings) as engine:
        with engine.begin() as link:
            link.exec_driver_sql("ALTER TABLE top_teams RENAME COLUMN team_name TO name")
        try:
            until(lambda: server.get("/v1/boards/top_teams").status_code == 503, "the table cannot be read")
            assert "somebody changed the table" in server.get("/v1/boards/top_teams").json()["message"]
            assert server.get(BOARD).status_code == 200
        finally:
            with engine.begin() as link:
                link.exec_driver_sql("ALTER TABLE top_teams RENAME COLUMN name TO team_name")
    until(lambda: server.get("/v1/boards/top_teams").status_code == 200, "the table can be read again")


def test_status_knows_the_server_and_a_kill_is_healed(server: Server) -> None:
    status = {one.name: one for one in Stack(server.settings).status()}["api"]
    assert (status.state, status.port) == (ServiceState.HEALTHY, server.settings.port("api"))
    before = server.pid()
    os.kill(before, signal.SIGKILL)
    until(lambda: server.pid() not in (before, 0), "the supervisor starts it again")
    until(lambda: answers(server), "it answers")


def answers(server: Server) -> bool:
    try:
        return server.get(BOARD).status_code == 200
    except httpx.TransportError:
        return False
