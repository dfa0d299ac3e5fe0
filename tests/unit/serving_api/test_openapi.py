"""The serving API keeps to its own OpenAPI document: no 5xx, and no answer outside its schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gamestream_dagster.http_server.keys import Scope
from gamestream_dagster.privacy.certificate import Erased, certify
from gamestream_dagster.privacy.requests import State
from gamestream_dagster.privacy.stores.model import Found
from tests.support.fakes.serving import ServingApi, players

OPERATIONS = {
    ("GET", "/v1/boards"),
    ("GET", "/v1/boards/{board}"),
    ("GET", "/v1/boards/{board}/players/{player}"),
    ("GET", "/v1/boards/{board}/around/{player}"),
    ("POST", "/v1/boards/{board}/among"),
    ("GET", "/v1/metrics/{metric}"),
    ("GET", "/v1/players/{player}/why"),
    ("POST", "/v1/players/{player}/erase"),
    ("GET", "/v1/erasures/{number}"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
}
CHECKS = [
    not_a_server_error, content_type_conformance, response_headers_conformance, response_schema_conformance,
    status_code_conformance,
]  # fmt: skip
EXAMPLES = 30


@pytest.fixture(scope="module")
def running() -> Iterator[ServingApi]:
    made = ServingApi(api_rate_per_address="1000000/second", api_rate_per_key="1000000/second")
    made.key = made.store.add(scopes=frozenset(Scope))
    made.show("top_players", players(30, 20, 10))
    finished(made)
    yield made
    made.close()


def finished(api: ServingApi) -> None:
    """Finish the first request to erase, with a certificate."""
    request = api.requests.write("s", "p1", None, State.OPEN)
    erased = Erased(request.number, "s", request.requested_at, request.requested_at, [])
    made = certify(erased, [("postgres", Found("table x", 2, 1_800_000_000_000, "retention"))])
    api.requests.change(request.number, state="FINISHED", certificate=made.model_dump(mode="json"), player=None)


@pytest.mark.parametrize(("method", "path"), sorted(OPERATIONS))
def test_no_answer_is_outside_its_schema(running: ServingApi, method: str, path: str) -> None:
    document = running.request("GET", "/openapi.json").json()
    operation = schemathesis.openapi.from_dict(document)[path][method]
    few = "{" not in path

    @settings(max_examples=3 if few else EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy() | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def run(case: Case) -> None:
        if "number" in case.path_parameters:
            case.validate_response(call(running, case), checks=CHECKS)
            case.path_parameters["number"] = 1
        for board in {"top_players", case.path_parameters.get("board", "top_players")}:
            if "board" in case.path_parameters:
                case.path_parameters["board"] = board
            case.validate_response(call(running, case), checks=CHECKS)

    run()


def call(api: ServingApi, case: Case) -> Response:
    """Send a generated case to the application, with a valid key."""
    made = case.as_transport_kwargs(base_url="http://api")
    headers = {name: value for name, value in made["headers"].items() if str(value).isascii()}
    headers["Authorization"] = f"Bearer {api.key.token}"  # a generated one is 401 before anything else is looked at
    content = made.get("data", b"")
    if "json" in made:
        content, headers["Content-Type"] = json.dumps(made["json"]), "application/json"
    content = content if isinstance(content, bytes | str) else b""
    answer = api.request(case.method, case.formatted_path, params=made.get("params"), headers=headers, content=content)
    answer.elapsed = timedelta(0)
    return Response.from_httpx(answer, verify=False)


def test_the_document_has_every_route_and_no_422(running: ServingApi) -> None:
    document = running.request("GET", "/openapi.json").json()
    found = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert found == OPERATIONS
    assert "422" not in json.dumps(document)
    assert "HTTPValidationError" not in json.dumps(document)
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert ("security" in operation) == path.startswith("/v1/")


def test_the_page_shows_the_document_and_loads_nothing(running: ServingApi) -> None:
    page = running.request("GET", "/docs")
    assert page.status_code == 200
    assert "GET /v1/boards/{board}/around/{player}" in page.text
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
