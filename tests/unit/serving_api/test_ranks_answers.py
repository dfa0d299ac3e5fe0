"""Answers from the ranks of all players: beside the board, in its place, and when they cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.errors import NotFoundError, ServiceError, TransientServiceError
from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.serving_api.ranks.answering import IDENTITY_SECONDS, PlayerRanks
from gamestream_dagster.serving_api.ranks.ranked import ranked_boards
from gamestream_dagster.serving_api.ranks.reader import RankedPlayer, Ranking
from gamestream_dagster.serving_api.ranks.store import SetProof, SetState
from gamestream_dagster.settings import Ranks, Season
from tests.support.fakes.serving import ServingApi, players

BOARD = "/v1/boards/top_players"
OUTPUTS = load_boards(season=Season.DAILY, ranks=Ranks.ALL)
STATE = SetState({0: 9}, True, "user-score", TopicId("one"), {0: 50}, {0: 60}, "", 1_795_000_000_000)
PROOF = SetProof("run-9", "MATCH", "", 1_795_000_000_000, 30)


@dataclass
class FakeRanks:
    """p1 to p30 with the totals 300, 290, ...; `away` as when Valkey does not answer."""

    away: bool = False
    proof: SetProof | None = PROOF
    topics: list[TopicId] = field(default_factory=list)

    def rows(self) -> list[RankedPlayer]:
        return [RankedPlayer(rank, f"p{rank}", 310 - 10 * rank) for rank in range(1, 31)]

    async def around(self, topic_id: TopicId, player: str, window: int) -> Ranking:
        self._check(topic_id)
        place = next((one.rank - 1 for one in self.rows() if one.player == player), None)
        rows = [] if place is None else self.rows()[max(0, place - window) : place + window + 1]
        return Ranking(STATE, self.proof, 30, tuple(rows))

    async def among(self, topic_id: TopicId, players: Sequence[str]) -> Ranking:
        self._check(topic_id)
        return Ranking(STATE, self.proof, 30, tuple(one for one in self.rows() if one.player in players))

    def _check(self, topic_id: TopicId) -> None:
        self.topics.append(topic_id)
        if self.away:
            raise TransientServiceError("Valkey", "no answer", "see `gamestream status`")


AWAY = TransientServiceError("Kafka", "no answer", "see `gamestream status`")


class World:
    def __init__(self) -> None:
        self.ranks = FakeRanks()
        self.topic_id = TopicId("totals-1")
        self.kafka_fails: ServiceError | None = None
        self.now = 0.0
        [ranked] = ranked_boards(OUTPUTS.values())
        self.api = ServingApi(ranks=PlayerRanks(ranked, self.ranks, self._ask, lambda: self.now))
        self.api.show("top_players", players(*range(300, 200, -10)))

    def _ask(self) -> TopicId:
        if self.kafka_fails:
            raise self.kafka_fails
        return self.topic_id


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.api.close()


def names(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["rows"]]


def test_the_output_that_extends_a_board_is_found_by_its_columns() -> None:
    [ranked] = ranked_boards(OUTPUTS.values())
    assert (ranked.board.name, ranked.output.name) == ("top_players", "player_totals")
    assert ranked_boards(load_boards(season=Season.DAILY).values()) == [], "off by default"


def test_everybody_has_a_rank_with_the_cut_of_the_set(world: World) -> None:
    found = world.api.get(f"{BOARD}/players/p25").json()
    assert (found["origin"], found["row"]["rank"], found["row"]["value"], found["rows_total"]) == ("ranks", 25, 60, 30)
    assert found["row"]["columns"] == {"rnk": 25, "user_id": "p25", "total_score": 60}
    assert found["next"] == {"rank": 24, "id": "p24", "ahead_by": 10}
    assert (found["as_of"]["low"], found["as_of"]["high"]) == ({"0": 50}, {"0": 60})
    assert found["verified_by"]["run"] == "run-9"
    assert world.api.get(f"{BOARD}/players/p1").json()["next"] is None
    world.ranks.proof = None
    assert world.api.get(f"{BOARD}/players/p25").json()["verified_by"] is None


def test_neighbours_and_friends_are_of_everybody(world: World) -> None:
    assert names(world.api.get(f"{BOARD}/around/p10?window=2")) == ["p8", "p9", "p10", "p11", "p12"]
    assert names(world.api.get(f"{BOARD}/around/p30?window=2")) == ["p28", "p29", "p30"]
    found = world.api.post(f"{BOARD}/among", {"ids": ["p30", "nobody", "p2"]}).json()
    assert ([row["id"] for row in found["rows"]], found["absent"]) == (["p2", "p30"], ["nobody"])


def test_the_list_of_a_board_and_other_boards_are_as_before(world: World) -> None:
    found = world.api.get(BOARD).json()
    assert (found["origin"], found["rows_total"]) == ("board", 10)
    assert world.api.get("/v1/boards/top_teams/players/p25").status_code == 404
    assert world.ranks.topics == []


def test_who_has_no_total_is_absent(world: World) -> None:
    answer = world.api.get(f"{BOARD}/players/nobody")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_ON_BOARD")
    assert "no total at all" in answer.json()["message"]


def test_without_valkey_the_board_answers_for_those_on_it_and_nobody_is_called_absent(world: World) -> None:
    world.ranks.away = True
    found = world.api.get(f"{BOARD}/players/p3").json()
    assert (found["origin"], found["row"]["rank"]) == ("board", 3)
    for path in ("players/p25", "around/p25", "players/nobody"):
        answer = world.api.get(f"{BOARD}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (503, "RANKS_UNAVAILABLE")
        assert answer.headers["Retry-After"]
    assert names(world.api.get(f"{BOARD}/around/p3?window=2")) == ["p1", "p2", "p3", "p4", "p5"]
    assert world.api.get(f"{BOARD}/around/p9?window=2").status_code == 503, "the eleventh is unknown"
    assert names(world.api.post(f"{BOARD}/among", {"ids": ["p2", "p1"]})) == ["p1", "p2"]
    assert world.api.post(f"{BOARD}/among", {"ids": ["p2", "p25"]}).status_code == 503


def test_the_set_is_that_of_the_topic_that_kafka_has(world: World) -> None:
    world.api.get(f"{BOARD}/players/p1")
    world.topic_id = TopicId("totals-2")
    world.now += IDENTITY_SECONDS
    for _ in range(50):
        world.api.get(f"{BOARD}/players/p1")
        if world.ranks.topics[-1] == "totals-2":
            break
    assert world.ranks.topics[-1] == "totals-2"
    world.kafka_fails = AWAY
    world.now += IDENTITY_SECONDS
    assert world.api.get(f"{BOARD}/players/p25").json()["row"]["rank"] == 25, "the id of before"


@pytest.mark.parametrize("why", [AWAY, NotFoundError("Kafka", "there is no topic", "run `gamestream apply`")])
def test_before_the_topic_is_known_there_are_no_ranks(world: World, why: ServiceError) -> None:
    world.kafka_fails = why
    for _ in range(2):
        answer = world.api.get(f"{BOARD}/players/p25")
        assert (answer.status_code, answer.json()["message"]) == (503, str(why))
    assert world.api.get(f"{BOARD}/players/p3").json()["origin"] == "board"
    world.kafka_fails = None
    world.now += IDENTITY_SECONDS
    assert world.api.get(f"{BOARD}/players/p25").json()["row"]["rank"] == 25
