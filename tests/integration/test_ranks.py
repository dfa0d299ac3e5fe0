"""The ranks of all players on a real Valkey: every edge against a plain sort, totals from 2^53 on, a kill of Valkey."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import valkey

from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.clients.valkey import async_client, client
from gamestream_dagster.platform.service import ServiceState
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.platform.supervisor import Supervisor
from gamestream_dagster.serving_api.ranks.reader import RankedPlayer, RankReader
from gamestream_dagster.serving_api.ranks.store import RankStore, SetChangedError, SetKeys, SetState
from gamestream_dagster.settings import Settings, load_settings

LIMIT_SECONDS = 60
WINDOW = 3
WHOLE = SetState({0: 1}, complete=True, topic="user-score", low={0: 1}, high={0: 1})


@dataclass
class Server:
    settings: Settings
    plain: valkey.Valkey

    def store(self, topic_id: str) -> RankStore:
        return RankStore(self.plain, SetKeys(TopicId(topic_id)), self.settings.valkey)

    def around(self, topic_id: str, player: str, window: int = WINDOW) -> tuple[RankedPlayer, ...]:
        async def ask() -> tuple[RankedPlayer, ...]:
            async with async_client(self.settings, 5) as opened:
                return (await RankReader(opened, "here").around(TopicId(topic_id), player, window)).rows

        return asyncio.run(ask())

    def among(self, topic_id: str, players: list[str]) -> tuple[RankedPlayer, ...]:
        async def ask() -> tuple[RankedPlayer, ...]:
            async with async_client(self.settings, 5) as opened:
                return (await RankReader(opened, "here").among(TopicId(topic_id), players)).rows

        return asyncio.run(ask())


@pytest.fixture(scope="module")
def server(free_port_base: Callable[[], int]) -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="gamestream-"))
    (folder / "home").mkdir()
    (folder / "home" / "profile.yaml").write_text("ranks: all\n", encoding="utf-8")
    settings = load_settings(home=folder / "home", port_base=free_port_base())
    try:
        Stack(settings).up(("valkey",))
        with client(settings) as plain:
            yield Server(settings, plain)
    finally:
        Stack(settings).down(purge=True)
        shutil.rmtree(folder, ignore_errors=True)


def ranked(totals: dict[str, int]) -> list[RankedPlayer]:
    """The order of the boards, by a plain sort."""
    order = sorted(totals.items(), key=lambda one: (-one[1], one[0].encode()))
    return [RankedPlayer(rank, player, total) for rank, (player, total) in enumerate(order, 1)]


SETS = {
    "empty": {},
    "one": {"a": 0},
    "window - 1": {f"p{n}": n for n in range(WINDOW - 1)},
    "window": {f"p{n}": n for n in range(WINDOW)},
    "window + 1": {f"p{n}": n for n in range(WINDOW + 1)},
    "all equal": dict.fromkeys(("b", "a", "é", "～", "Z", "aa", "", "😀", "a b", "ａ"), 7),
    "zeros": {f"p{n}": 0 for n in range(9)},
    "beyond": {
        "a": 2**53,
        "b": 2**53 + 1,
        "c": 2**53 - 1,
        "d": 2**63 - 1,
        "e": 2**63 - 2,
        "f": 5,
        "g": 2**53 + 1,
        "h": 5,
    },
    "all beyond": {f"p{n}": 2**62 + n % 3 for n in range(9)},
    "many": {f"p{n}": random.Random(n).choice((1, 2, 3, 2**53 - 1, 2**53, 2**60 + 1)) for n in range(200)},
}


@pytest.mark.parametrize("name", sorted(SETS))
def test_every_edge_is_that_of_a_plain_sort(server: Server, name: str) -> None:
    totals = SETS[name]
    server.store(name).apply(totals, SetState(), WHOLE)
    expected = ranked(totals)
    for place, row in enumerate(expected):
        assert server.around(name, row.player) == tuple(expected[max(0, place - WINDOW) : place + WINDOW + 1])
        assert server.around(name, row.player, 0) == (row,)
    assert server.around(name, "nobody") == ()
    assert server.among(name, ["nobody", *reversed(totals)]) == tuple(expected)


def test_totals_change_and_players_go_in_any_order(server: Server) -> None:
    store, totals, chance = server.store("changing"), {}, random.Random(4)
    for step in range(60):
        change = {
            f"p{chance.randrange(20)}": chance.choice((None, 3, 2**53 - 1, 2**53, 2**53 + 1, 2**61)) for _ in range(5)
        }
        store.apply(change, store.state(), SetState({0: step + 1}, complete=True))
        totals.update(change)
        there = {player: total for player, total in totals.items() if total is not None}
        assert server.among("changing", sorted(totals)) == tuple(ranked(there))
    assert store.state().position == {0: 60}


def test_a_set_that_is_not_whole_gives_no_ranks(server: Server) -> None:
    server.store("loading").apply({"a": 1}, SetState(), SetState({0: 1}))
    with pytest.raises(ServiceError, match="being loaded"):
        server.around("loading", "a")
    with pytest.raises(ServiceError, match="being loaded"):
        server.around("nothing at all", "a")


def test_a_part_that_is_gone_means_that_the_set_is_loaded_anew(server: Server) -> None:
    store, keys = server.store("spoilt"), SetKeys(TopicId("spoilt"))
    store.apply({"a": 1}, SetState(), WHOLE)
    assert store.state() == WHOLE
    server.plain.delete(keys.ranks)
    assert store.state() == SetState()
    server.plain.set(keys.state, b"spoilt")
    assert store.state() == SetState()
    store.clear()
    assert not server.plain.exists(*keys.all)


def test_the_server_wants_its_password_and_listens_here_alone(server: Server) -> None:
    port = server.settings.port("valkey")
    with pytest.raises(valkey.exceptions.AuthenticationError):
        valkey.Valkey(port=port).ping()
    status = {one.name: one for one in Stack(server.settings).status()}
    assert (status["valkey"].state, status["valkey"].port) == (ServiceState.HEALTHY, port)
    config = (server.settings.home / "valkey" / "valkey.conf").stat().st_mode & 0o777
    assert config == 0o600


def test_a_killed_valkey_comes_back_empty(server: Server) -> None:
    store = server.store("killed")
    store.apply({"a": 1}, SetState(), WHOLE)
    before = Supervisor(server.settings).states()["valkey"]["pid"]
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        assert time.monotonic() < deadline
        try:
            assert store.state() == SetState(), "so that the loader begins anew"
            with pytest.raises(SetChangedError):
                store.apply({"b": 1}, WHOLE, WHOLE)
            assert not server.plain.exists(SetKeys(TopicId("killed")).ranks)
            break
        except ServiceError:
            time.sleep(0.1)
