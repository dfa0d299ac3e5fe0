"""The registry client over recorded answers of a Confluent-compatible API."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from gamestream_dagster.clients import registry as registry_module
from gamestream_dagster.clients.errors import (
    AlreadyExistsError,
    NotFoundError,
    ServiceError,
    TerminalServiceError,
    TransientServiceError,
)
from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.connections import RegistryConnection

SCHEMA = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}
CANARY = "canary-password"


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry_module, "_PAUSE_SECONDS", 0)


def client(answer: Callable[[httpx.Request], httpx.Response]) -> Registry:
    url = f"http://user:{CANARY}@registry.test/api/"
    return Registry(RegistryConnection.at(url), transport=httpx.MockTransport(answer))


def test_latest_is_parsed_and_the_subject_is_quoted():
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"subject": "a/b", "version": 3, "id": 7, "schema": json.dumps(SCHEMA)})

    found = client(answer).latest("a/b")
    assert found is not None
    assert (found.version, found.schema_id, found.schema) == (3, 7, SCHEMA)
    assert seen[0].url.raw_path == b"/api/subjects/a%2Fb/versions/latest"
    assert seen[0].headers["authorization"].startswith("Basic ")


def test_absent_subject_is_none_and_has_no_versions():
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(404, json={"error_code": 40401, "message": "Subject not found"})

    assert client(answer).latest("x") is None
    assert client(answer).versions("x") == []
    assert client(answer).is_compatible("x", SCHEMA) is True


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (409, AlreadyExistsError),
        (404, NotFoundError),
        (401, TerminalServiceError),
        (422, TerminalServiceError),
        (503, TransientServiceError),
        (429, TransientServiceError),
    ],
)
def test_statuses_become_typed_errors_without_the_password(status: int, error: type[ServiceError]):
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json={"message": "said so"})

    with pytest.raises(error) as caught:
        client(answer).register("x", SCHEMA)
    assert type(caught.value) is error
    assert CANARY not in str(caught.value)
    assert "said so" in str(caught.value)


def test_silence_is_tried_three_times_then_transient():
    tried: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        tried.append(1)
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(TransientServiceError) as caught:
        client(answer).subjects()
    assert len(tried) == 3
    assert "nothing listens at http://registry.test/api" in str(caught.value)
    assert CANARY not in str(caught.value)


def test_refusal_is_not_repeated():
    tried: list[int] = []

    def answer(_: httpx.Request) -> httpx.Response:
        tried.append(1)
        return httpx.Response(422, text="<html>")

    with pytest.raises(TerminalServiceError):
        client(answer).subjects()
    assert len(tried) == 1


def test_page_that_is_not_a_registry_is_said_so():
    with pytest.raises(TerminalServiceError, match="does not answer in JSON"):
        client(lambda _: httpx.Response(200, text="<html>")).subjects()


def test_delete_goes_through_where_there_is_no_soft_deletion():
    def answer(request: httpx.Request) -> httpx.Response:
        if "permanent" in str(request.url):
            return httpx.Response(404, json={"message": "gone"})
        return httpx.Response(200, json=[2, 1])

    assert client(answer).delete("x") == [1, 2]
