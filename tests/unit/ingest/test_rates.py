"""Limits by key, by address and on requests at once; whose address counts behind a proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from gamestream_dagster.errors import SettingsError
from gamestream_dagster.http_server.errors import RequestRefusedError
from gamestream_dagster.http_server.rates import Bodies, Rates, site_of
from gamestream_dagster.ingest.server import limits_of
from gamestream_dagster.settings import load_settings
from gamestream_dagster.settings.ingest import IngestSettings
from tests.support.fakes.ingest import Api, event

PROXY = ("10.0.0.5", 1234)


@pytest.fixture
def made() -> Iterator[Any]:
    apis: list[Api] = []

    def make(**options: Any) -> Api:
        apis.append(Api(**options))
        return apis[-1]

    yield make
    for each in apis:
        each.close()


def statuses(api: Api, times: int, **options: Any) -> list[int]:
    return [api.post([event(n)], **options).status_code for n in range(times)]


def test_a_key_over_its_limit_is_429_and_another_is_not(made: Any) -> None:
    api = made(ingest_rate_per_key="3/hour")
    other = api.store.add("other").token
    assert statuses(api, 5) == [200, 200, 200, 429, 429]
    answer = api.post([event()])
    assert answer.json()["code"] == "RATE_LIMITED"
    assert 1 <= int(answer.headers["Retry-After"]) <= 3600
    assert statuses(api, 3, token=other) == [200, 200, 200]


def test_events_are_limited_too_and_a_refused_batch_does_not_count(made: Any) -> None:
    api = made(ingest_events_per_key="10/hour")
    assert api.post([event(n) for n in range(6)]).status_code == 200
    assert api.post([event(n) for n in range(5)]).status_code == 429
    assert api.post([event(n) for n in range(4)]).status_code == 200
    assert api.kafka.produced == 6, "the second was refused whole, the third is the first's again"


def test_a_batch_over_the_limit_of_events_passes_when_it_is_alone(made: Any) -> None:
    api = made(ingest_events_per_key="10/hour")
    assert api.post([event(n) for n in range(20)]).status_code == 200
    assert api.post([event(1)]).status_code == 429


def test_an_address_is_limited_before_the_key_is_looked_up(made: Any) -> None:
    api = made(ingest_rate_per_address="2/hour")
    assert [api.post([event()], token="x").status_code for _ in range(4)] == [401, 401, 429, 429]
    assert api.post([event()], client=("198.51.100.8", 1)).status_code == 200
    assert api.request("GET", "/v1/time").status_code == 429
    assert api.request("GET", "/healthz").status_code == 200


@pytest.mark.parametrize("forged", ["203.0.113.1", "203.0.113.1, 10.0.0.5", "x", "", "127.0.0.1", "::1", "a" * 5000])
def test_a_forged_x_forwarded_for_changes_nothing(made: Any, forged: str) -> None:
    api = made(ingest_rate_per_address="2/hour")
    found = [
        api.post([event()], {"X-Forwarded-For": forged.replace("1", str(n)), "X-Real-IP": forged}).status_code
        for n in range(3)
    ]
    assert found == [200, 200, 429]


def test_a_known_proxy_tells_the_address_that_it_saw(made: Any) -> None:
    api = made(proxies=("10.0.0.0/8",), ingest_rate_per_address="2/hour")

    def through_proxy(header: str) -> int:
        return api.post([event()], {"X-Forwarded-For": header}, client=PROXY).status_code

    assert [through_proxy("203.0.113.1"), through_proxy("203.0.113.1")] == [200, 200]
    assert through_proxy("203.0.113.1") == 429
    # what the sender wrote itself stands to the left of what the proxy saw
    assert through_proxy("198.51.100.99, 203.0.113.1") == 429
    assert through_proxy("203.0.113.1, 10.0.0.9") == 429
    assert through_proxy("203.0.113.2") == 200


def test_a_client_that_is_no_proxy_is_not_believed(made: Any) -> None:
    api = made(proxies=("10.0.0.0/8",), ingest_rate_per_address="2/hour")
    assert [api.post([event()], {"X-Forwarded-For": f"203.0.113.{n}"}).status_code for n in range(3)] == [200, 200, 429]


def test_garbage_from_a_proxy_counts_as_one_sender(made: Any) -> None:
    api = made(proxies=("10.0.0.5",), ingest_rate_per_address="2/hour")
    found = [api.post([event()], {"X-Forwarded-For": f"{'z' * n}"}, client=PROXY).status_code for n in range(1, 4)]
    assert found == [200, 200, 429]


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", "other"),
        ("'; DROP", "other"),
    ],
)
def test_what_counts_as_one_address(address: str, site: str) -> None:
    assert site_of(address) == site


def test_slow_senders_with_one_key_leave_places_for_others() -> None:
    bodies = Bodies(most=3, most_of_a_key=2)
    with bodies.one_of("a"), bodies.one_of("a"):
        with pytest.raises(RequestRefusedError) as refused, bodies.one_of("a"):
            pass
        assert refused.value.status == 429
        with bodies.one_of("b"):
            with pytest.raises(RequestRefusedError) as busy, bodies.one_of("c"):
                pass
            assert busy.value.status == 503
        assert bodies.held == 2
    assert bodies.held == 0


def test_a_shared_storage_that_does_not_answer_limits_nothing(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from limits.errors import StorageError

    api = made(ingest_rate_per_key="1/hour")

    async def broken(*_: Any, **__: Any) -> bool:
        raise StorageError(OSError("away"))

    monkeypatch.setattr(api.parts.rates._limiter, "hit", broken)
    assert statuses(api, 3) == [200, 200, 200]


@pytest.mark.parametrize(
    ("setting", "value", "hint"),
    [
        ("ingest_rate_per_key", "many", "NUMBER/second"),
        ("ingest_rate_per_key", "0/second", "NUMBER/second"),
        ("ingest_rate_per_key", "5/fortnight", "NUMBER/second"),
        ("ingest_trusted_proxies", "10.0.0.0/33", "such as 127.0.0.1"),
        ("ingest_trusted_proxies", "*", "such as 127.0.0.1"),
        ("ingest_host", "localhost", "IP address"),
        ("ingest_body_seconds", "0", "greater than 0"),
        ("ingest_limits_storage", "memory://", "match pattern"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, hint: str
) -> None:
    monkeypatch.setenv(f"GAMESTREAM_{setting.upper()}", value)
    with pytest.raises(SettingsError, match=f"'{setting}'") as refused:
        load_settings(home=tmp_path / "h")
    assert hint in str(refused.value)


def test_proxies_come_from_the_environment(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMESTREAM_INGEST_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8")
    assert load_settings(home=tmp_path / "h").ingest_trusted_proxies == ("127.0.0.1", "10.0.0.0/8")


@pytest.mark.parametrize("storage", ["async+nowhere://x", "async+memcached://127.0.0.1:1"])
def test_a_storage_that_cannot_be_used_is_a_sentence(storage: str) -> None:
    with pytest.raises(SettingsError, match="'ingest_limits_storage'"):
        Rates(limits_of(IngestSettings(ingest_limits_storage=storage)))


def test_limits_end_with_their_window() -> None:
    rates = Rates(limits_of(IngestSettings(ingest_rate_per_key="1/second")))

    async def run() -> None:
        await rates.request_with("k")
        with pytest.raises(RequestRefusedError):
            await rates.request_with("k")
        for _ in range(60):
            await asyncio.sleep(0.1)
            try:
                await rates.request_with("k")
            except RequestRefusedError:
                continue
            return
        pytest.fail("the limit did not end")

    asyncio.run(run())
