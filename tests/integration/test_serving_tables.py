"""The serving API on a Postgres of its own, without Kafka: pages while ranks move, edited and missing tables, seasons,
Postgres away, SIGTERM."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.platform import layout
from gamestream_dagster.platform.service import ServiceState
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.platform.supervisor import Supervisor
from gamestream_dagster.provisioning import manager
from gamestream_dagster.provisioning.model import ResourceKind
from gamestream_dagster.settings import Settings, load_settings
from tests.support.cli import gamestream

LIMIT_SECONDS = 90
BOARD = "/v1/boards/top_players"
SEASONS = "/v1/boards/season_players"
NAMES = [f"p{number}" for number in range(1, 11)]
VIEW_SECONDS = 3.1
"""What was read before is older than a view may be."""


@dataclass
class Server:
    """The API of a stack, and a key for it."""

    settings: Settings
    key: str = ""
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60, trust_env=False))

    def get(self, path: str, **headers: str) -> httpx.Response:
        given = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return self.http.get(self.settings.api_url + path, headers={**given, **headers})

    def pid(self, service: str = "api") -> int:
        return Supervisor(self.settings).states()[service]["pid"]

    @contextmanager
    def database(self) -> Iterator[sa.Connection]:
        with open_engine(self.settings) as engine, engine.begin() as link:
            yield link


@pytest.fixture(scope="module")
def server(free_port_base: Callable[[], int]) -> Iterator[Server]:
    """Postgres and the API, first without tables."""
    folder = Path(tempfile.mkdtemp(prefix="gamestream-"))
    home = folder / "home"
    home.mkdir()
    (home / "profile.yaml").write_text("season: daily\n", encoding="utf-8")
    settings = load_settings(home=home, port_base=free_port_base())
    try:
        Stack(settings).up(("api",))
        made = Server(settings)
        assert made.get("/readyz").status_code == 200, "a stack without tables is up"
        assert made.get("/v1/boards").status_code == 401
        manager.apply(settings, manager.plan(settings, (ResourceKind.MIGRATION, ResourceKind.TABLE)))
        ended = gamestream(settings, "keys", "create", "--app", "game", "--scope", "read", "--json")
        assert ended.returncode == 0, ended.words
        made.key = json.loads(ended.stdout)["key"]
        fill(made)
        until(lambda: made.get(BOARD).json().get("rows_total") == len(NAMES), "the rows are served")
        yield made
    finally:
        Stack(settings).down(purge=True)
        shutil.rmtree(folder, ignore_errors=True)


def fill(server: Server) -> None:
    """Ten players, and two days of two players."""
    rows = [(rank, name, "blue", 10 * (11 - rank)) for rank, name in enumerate(NAMES, 1)]
    days = [
        (f"2026-11-{day} 00:00:00+00", rank, f"d{day}-{rank}", "blue", 5 - rank) for day in (20, 21) for rank in (1, 2)
    ]
    with server.database() as link:
        for table, values in (("top_players", rows), ("season_players", days)):
            marks = ", ".join(["%s"] * len(values[0]))
            for one in values:
                link.exec_driver_sql(f"INSERT INTO {table} VALUES ({marks})", one)


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not within {LIMIT_SECONDS} s: {what}"
        time.sleep(0.1)


def test_without_kafka_a_board_is_served_and_says_that_its_cut_is_unknown(server: Server) -> None:
    found = server.get(BOARD).json()
    assert [row["id"] for row in found["rows"]] == NAMES
    assert (found["as_of"]["low"], found["as_of"]["high"]) == (None, None)
    assert found["as_of"]["unknown"].startswith("Kafka: ")
    assert (found["verified_by"], found["faults"]) == (None, [])
    assert server.get(f"{BOARD}/players/p3").json()["next"] == {"rank": 2, "id": "p2", "ahead_by": 10}
    assert server.get("/v1/boards/team_mvps").json()["rows"] == []


def test_pages_hold_each_player_once_while_ranks_move(server: Server) -> None:
    """Another writer turns the board's names round for as long as pages are read."""
    stop = threading.Event()
    turning = threading.Thread(target=turn, args=(server, stop))
    turning.start()
    try:
        seen: set[tuple[str, ...]] = set()
        deadline = time.monotonic() + LIMIT_SECONDS
        while len(seen) < 3:
            assert time.monotonic() < deadline, f"the ranks did not move: {seen}"
            listed = pages(server)
            assert sorted(listed) == sorted(NAMES)
            seen.add(tuple(listed))
    finally:
        stop.set()
        turning.join()


def turn(server: Server, stop: threading.Event) -> None:
    names = list(NAMES)
    with open_engine(server.settings) as engine:
        while not stop.is_set() or names != NAMES:
            names = [*names[1:], names[0]]
            with engine.begin() as link:
                for rank, name in enumerate(names, 1):
                    link.exec_driver_sql("UPDATE top_players SET user_id = %s WHERE rnk = %s", (name, rank))
            time.sleep(0.05)


def pages(server: Server) -> list[str]:
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = server.get(f"{BOARD}?limit=3{cursor and f'&cursor={cursor}'}").json()
        found += [row["id"] for row in page["rows"]]
        cursor = page["next"]
    return found


def test_the_second_answer_is_304_as_long_as_nothing_changes(server: Server) -> None:
    tag = server.get(SEASONS).headers["ETag"]
    time.sleep(VIEW_SECONDS)
    assert server.get(SEASONS, **{"If-None-Match": tag}).status_code == 304
    with server.database() as link:
        link.exec_driver_sql("UPDATE season_players SET total_score = total_score + 1")
    until(lambda: server.get(SEASONS, **{"If-None-Match": tag}).status_code == 200, "the change is an answer")


def test_seasons_are_served_newest_first_and_by_name(server: Server) -> None:
    assert server.get(SEASONS).json()["season"] == "2026-11-21"
    found = server.get(f"{SEASONS}?season=2026-11-20").json()
    assert ([row["id"] for row in found["rows"]], found["closed_at"]) == (["d20-1", "d20-2"], None)
    assert server.get(f"{SEASONS}?season=2026-11-19").json()["code"] == "NO_SUCH_SEASON"
    listed = {one["name"]: one["seasons"] for one in server.get("/v1/boards").json()["boards"]}
    assert listed["season_players"] == ["2026-11-21", "2026-11-20"]
    with server.database() as link:
        link.exec_driver_sql(
            "INSERT INTO closed_seasons VALUES ('season_players', '2026-11-20 00:00:00+00', '2026-11-20', now(), "
            "'[]', '{}')"
        )
    until(lambda: server.get(f"{SEASONS}?season=2026-11-20").json()["closed_at"] is not None, "it is closed")
    assert server.get(f"{SEASONS}?season=2026-11-20").json()["settled_until"] == "2026-11-21T00:00:00.000Z"


@pytest.mark.parametrize(
    ("edit", "undo", "told"),
    [
        ("ALTER TABLE top_teams RENAME TO gone", "ALTER TABLE gone RENAME TO top_teams", "gamestream apply"),
        (
            "ALTER TABLE top_teams RENAME COLUMN team_name TO name",
            "ALTER TABLE top_teams RENAME COLUMN name TO team_name",
            "somebody changed the table",
        ),
    ],
)
def test_a_table_that_cannot_be_read_is_told_and_comes_back(server: Server, edit: str, undo: str, told: str) -> None:
    path = "/v1/boards/top_teams"
    with server.database() as link:
        link.exec_driver_sql(edit)
    until(lambda: server.get(path).status_code == 503, "the table cannot be read")
    assert told in server.get(path).json()["message"]
    assert server.get(BOARD).status_code == 200
    with server.database() as link:
        link.exec_driver_sql(undo)
    until(lambda: server.get(path).status_code == 200, "the table can be read again")


@pytest.mark.parametrize(
    ("edit", "undo", "told"),
    [
        ("UPDATE top_players SET user_id = 'p1' WHERE rnk = 5", "UPDATE top_players SET user_id = 'p5' WHERE rnk = 5",
         "p1 stands on it 2 times"),
        ("UPDATE top_players SET total_score = NULL WHERE rnk = 5",
         "UPDATE top_players SET total_score = 60 WHERE rnk = 5", "rank 5: total_score is empty"),
    ],
)  # fmt: skip
def test_an_edited_row_is_a_fault_that_is_told(server: Server, edit: str, undo: str, told: str) -> None:
    with server.database() as link:
        link.exec_driver_sql(edit)
    until(lambda: server.get(BOARD).json()["faults"] == [told], told)
    assert server.get(f"{BOARD}/players/p2").json()["faults"] == [told]
    with server.database() as link:
        link.exec_driver_sql(undo)
    until(lambda: server.get(BOARD).json()["faults"] == [], "the row is right again")


def test_postgres_away_and_back(server: Server) -> None:
    server.get(BOARD)
    postgres = server.pid("postgres")
    os.kill(postgres, signal.SIGSTOP)
    try:
        time.sleep(VIEW_SECONDS)
        found = server.get(BOARD)
        assert (found.status_code, [row["id"] for row in found.json()["rows"]]) == (200, NAMES), "the last one"
    finally:
        os.kill(postgres, signal.SIGCONT)
    until(lambda: server.get("/readyz").status_code == 200, "Postgres is back")


def test_status_and_the_end(server: Server) -> None:
    status = {one.name: one for one in Stack(server.settings).status()}["api"]
    assert (status.state, status.port) == (ServiceState.HEALTHY, server.settings.port("api"))
    before = server.pid()
    with ThreadPoolExecutor(4) as pool:
        stop = threading.Event()
        asking = [pool.submit(ask, server, stop) for _ in range(4)]
        time.sleep(0.5)
        os.kill(before, signal.SIGTERM)
        until(lambda: server.pid() not in (before, 0), "the supervisor starts it again")
        stop.set()
        codes = set().union(*(one.result() for one in asking))
    assert codes == {200}, "what is under way is answered"
    until(lambda: answers(server), "it answers")
    log = layout.log_file(server.settings, "api").read_text(encoding="utf-8")
    assert server.key not in log
    assert "p1" not in log
    assert "Traceback" not in log


def ask(server: Server, stop: threading.Event) -> set[int]:
    """Status codes of answers; a refused or reset connection is no answer."""
    codes: set[int] = set()
    with httpx.Client(timeout=60, trust_env=False) as http:
        while not stop.is_set():
            try:
                found: Any = http.get(
                    f"{server.settings.api_url}{BOARD}/players/p1", headers={"Authorization": f"Bearer {server.key}"}
                )
                codes.add(found.status_code)
            except httpx.TransportError:
                time.sleep(0.05)
    return codes


def answers(server: Server) -> bool:
    try:
        return server.get(BOARD).status_code == 200
    except httpx.TransportError:
        return False
