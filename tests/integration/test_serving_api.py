"""The serving API beside the deployed boards: rows, cuts, verdict and the events behind a row are the boards' own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.kafka_admin import KafkaAdmin
from gamestream_dagster.flink_jobs.observe.caught_up import records_of
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

    def fresh(self, path: str) -> dict[str, Any]:
        """The answer read after this call; a view may be served for a while after it was read."""
        asked = datetime.now(UTC)
        for _ in range(LIMIT_SECONDS * 10):
            found = self.get(path).json()
            if datetime.fromisoformat(found["read_at"]) > asked:
                return found
            time.sleep(0.1)
        raise AssertionError(f"{path}: still as of {found['read_at']}")

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


def test_every_board_is_served_as_it_stands_between_its_cuts(server: Server, boards: Boards) -> None:
    boards.drain()
    ends = KafkaAdmin(boards.settings.kafka).end_offsets("user-score")
    for name, board in ((name, board) for name, board in load_boards().items() if board.ranked):
        found = server.fresh(f"/v1/boards/{name}")
        rows = boards.rows(name)
        assert [row["rank"] for row in found["rows"]] == [row[board.rank_column] for row in rows]
        for served, row in zip(found["rows"], rows, strict=True):
            texts = {name: value for name, value in row.items() if board.columns[name].type.value != "timestamp"}
            assert {column: served["columns"][column] for column in texts} == texts
        assert found["faults"] == []
        assert found["as_of"]["unknown"] is None
        low, high = ({int(part): at for part, at in found["as_of"][cut].items()} for cut in ("low", "high"))
        assert high == ends
        # a topic may end with the marker of a transaction, which no job reads
        assert not records_of(boards.settings.kafka)("user-score", low, high)
        assert found["as_of"]["topic_id"] == KafkaAdmin(boards.settings.kafka).topic_id("user-score")


def test_a_reconciliation_is_what_verified_a_board(server: Server, boards: Boards) -> None:
    run = reconcile(boards.settings)
    found = server.fresh(BOARD)
    assert (found["verified_by"]["run"], found["verified_by"]["verdict"]) == (run.run_id, run.verdict.value)


def test_row_neighbours_friends_and_why_agree(server: Server, boards: Boards) -> None:
    rows = boards.rows("top_players")
    first, second = rows[0], rows[1]
    answer = server.fresh(f"{BOARD}/players/{second['user_id']}")
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
