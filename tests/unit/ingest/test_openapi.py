"""The API keeps to its own OpenAPI document: Schemathesis finds no 5xx and no answer outside its schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)

from gamestream_dagster.fates.model import Trace
from gamestream_dagster.http_server.keys import Scope
from gamestream_dagster.ingest import fates
from tests.support.fakes.ingest import Api, event
from tests.support.fakes.traces import ENRICHED as RECORD

OPERATIONS = {
    ("POST", "/v1/events"), ("GET", "/v1/time"), ("GET", "/v1/schemas"), ("GET", "/healthz"), ("GET", "/readyz"),
    ("GET", "/metrics"), ("GET", "/v1/events/{event_id}"),
}  # fmt: skip
CHECKS = [
    not_a_server_error, content_type_conformance, response_headers_conformance, response_schema_conformance,
]  # fmt: skip
EXAMPLES = 100


@pytest.fixture(scope="module")
def running() -> Iterator[Api]:
    made = Api(ingest_rate_per_address="1000000/second", ingest_rate_per_key="1000000/second")
    made.key = made.store.add(scopes=frozenset(Scope))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fates, "trace_event", lambda _, event_id: Trace(event_id, (RECORD,), (), (), ("all",)))
        yield made
    made.close()


@pytest.mark.parametrize(("method", "path"), sorted(OPERATIONS))
def test_no_answer_is_outside_its_schema(running: Api, method: str, path: str) -> None:
    document = running.request("GET", "/openapi.json").json()
    operation = schemathesis.openapi.from_dict(document)[path][method]

    @settings(max_examples=EXAMPLES if method == "POST" else 5, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy() | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def run(case: Case) -> None:
        answer = call(running, case)
        seen.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    seen: set[int] = set()
    run()
    assert 200 in seen
    assert method == "GET" or 400 in seen


def call(api: Api, case: Case) -> Response:
    """Send a generated case to the application, with a valid key."""
    made = case.as_transport_kwargs(base_url="http://api")
    headers = {name: value for name, value in made["headers"].items() if str(value).isascii()}
    headers["Authorization"] = f"Bearer {api.key.token}"  # a generated one is 401 before anything else is looked at
    content = made.get("data", b"")
    if "json" in made:
        content, headers["Content-Type"] = json.dumps(with_a_good_event(made["json"])), "application/json"
    content = content if isinstance(content, bytes | str) else b""
    answer = api.request(case.method, case.formatted_path, params=made.get("params"), headers=headers, content=content)
    answer.elapsed = timedelta(0)
    return Response.from_httpx(answer, verify=False)


def with_a_good_event(body: Any) -> Any:
    """A generated batch, in which one event is accepted."""
    if isinstance(body, dict) and isinstance(body.get("events"), list):
        return {**body, "events": [*body["events"], event()]}
    return body


def test_the_document_has_every_route(running: Api) -> None:
    document = running.request("GET", "/openapi.json").json()
    found = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert found == OPERATIONS
    assert "key" in document["components"]["securitySchemes"]
    assert "429" in document["paths"]["/v1/events"]["post"]["responses"]


def test_the_page_shows_the_document_and_loads_nothing(running: Api) -> None:
    page = running.request("GET", "/docs")
    assert page.status_code == 200
    assert "POST /v1/events" in page.text
    assert "Retry-After" in page.text
    assert "//" not in page.text.replace("</", "").replace("http://", "")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "<script" not in page.text


def test_time_schemas_and_health_answer_without_a_key(running: Api) -> None:
    for path in ("/v1/time", "/v1/schemas", "/healthz", "/readyz", "/metrics"):
        assert running.request("GET", path).status_code == 200
    assert running.request("GET", "/v1/schemas").json()["event_types"]["score"]
    moment = running.request("GET", "/v1/time").json()
    assert moment["iso"].endswith("+00:00")
    assert moment["epoch_ms"] > 1_700_000_000_000


def test_ready_says_why_not(api: Api) -> None:
    api.kafka.away = True
    api.look()
    answer = api.request("GET", "/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "KAFKA_UNAVAILABLE")
    assert "gamestream_ingest_kafka_ready 0.0" in api.request("GET", "/metrics").text
    assert api.request("GET", "/healthz").status_code == 200


def test_labels_are_route_templates(api: Api) -> None:
    for number in range(50):
        api.request("GET", f"/v1/guess-{number}")
        api.request("FOO", "/v1/events")
    api.post([event()])
    text = api.request("GET", "/metrics").text
    assert 'route="unmatched"' in text
    assert "guess" not in text
    assert "FOO" not in text


def test_a_fault_of_ours_is_told_without_what_was_sent(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    def broken(value: bytes, _: int) -> Any:
        raise ValueError(f"canary {value!r}")

    api.parts.door._rule.judge = broken
    answer = api.post([event(1, note="canary")])
    assert (answer.status_code, answer.json()["code"]) == (500, "FAULT")
    assert "canary" not in answer.text
    assert "ValueError at" in caplog.text
    assert "canary" not in caplog.text
