"""The routes of the API."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from gamestream_dagster.http_server import body
from gamestream_dagster.http_server.errors import bad_request, unavailable
from gamestream_dagster.http_server.keys import Scope, StoredKey
from gamestream_dagster.http_server.observed import FACTS
from gamestream_dagster.http_server.routes import NO_STORE, Health, Problem, address_of, bearer_of
from gamestream_dagster.ingest.batch import MAX_EVENTS, split
from gamestream_dagster.ingest.door import RETRY_SECONDS, Sender
from gamestream_dagster.ingest.models import BatchAnswer, EventTrace, Schemas, ServerTime

if TYPE_CHECKING:
    from gamestream_dagster.ingest.app import Parts

router = APIRouter()

_MEANINGS: Final = {
    400: "The request cannot be understood.",
    401: "No valid key, or a wrong signature.",
    403: "The key lacks the scope.",
    404: "No record has the id.",
    408: "The body came too slowly.",
    413: "Over a limit on size.",
    415: "A media type, charset or content coding that is not understood.",
    429: "Over a limit on rate; `Retry-After` says when to come again.",
    503: "Kafka or Postgres is away; nothing was stored, `Retry-After` says when to come again.",
}
_BATCH: Final = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["events"],
                "additionalProperties": False,
                "properties": {
                    "events": {
                        "type": "array",
                        "maxItems": MAX_EVENTS,
                        "items": {"type": "object"},
                        "description": "Each is judged on its own; GET /v1/schemas has the schemas.",
                    }
                },
            }
        },
        "text/plain": {"schema": {"type": "string", "description": "The same JSON, for `navigator.sendBeacon`."}},
    },
}
_DRY_RUN: Final = {
    "name": "dry_run",
    "in": "query",
    "required": False,
    "schema": {"type": "boolean", "default": False},
    "description": "Answer with the verdicts and store nothing.",
}
_BEACON_KEY: Final = {
    "name": "key",
    "in": "query",
    "required": False,
    "schema": {"type": "string"},
    "description": "The key, for `text/plain` alone: `sendBeacon` cannot set headers.",
}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem, "description": _MEANINGS[status]} for status in statuses}


def _parts(request: Request) -> Parts:
    return request.app.state.parts


def _json(value: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), 200, {**NO_STORE, **(headers or {})}, "application/json")


@router.post(
    "/v1/events",
    summary="Send a batch of events",
    response_model=BatchAnswer,
    responses=_problems(400, 401, 403, 408, 413, 415, 429, 503),
    openapi_extra={"requestBody": _BATCH, "parameters": [_DRY_RUN, _BEACON_KEY], "security": [{"key": []}]},
)
async def post_events(request: Request) -> Response:
    """Every event gets a verdict, in order. `accepted` is given after Kafka has stored the event on all its replicas.

    Send again the events with the verdict `retry`, with their ids, after `Retry-After` seconds.
    """
    received_ms = time.time_ns() // 1_000_000
    parts = _parts(request)
    address = address_of(request)
    await parts.rates.request_from(address)
    key = await parts.keys.check(_token(request), Scope.INGEST)
    request.scope[FACTS]["app"] = key.app
    dry_run = _dry_run(request)
    form = body.form_of(request.headers)
    signed = parts.signatures.announced(key, request.headers)
    await parts.rates.request_with(key.key_id)
    if not dry_run:
        parts.outbox.require_ready()  # before the client sends a megabyte for nothing
    with parts.bodies.one_of(key.key_id):
        sent = await body.read_body(request.stream(), form, parts.body_seconds)
        if signed is not None:
            parts.signatures.check(key, signed, sent)
        return await _take(request, key, body.inflate(sent, form), address, received_ms, dry_run=dry_run)


async def _take(
    request: Request, key: StoredKey, content: bytes, address: str, received_ms: int, *, dry_run: bool
) -> Response:
    parts = _parts(request)
    events = split(content)
    await parts.rates.events_with(key.key_id, len(events))
    answer = await parts.door.take(events, Sender(key.app, key.key_id, address), received_ms, dry_run=dry_run)
    parts.metrics.answer(key.app, answer)
    counts = {verdict.value: count for verdict, count in answer.counts.items()}
    request.scope[FACTS].update(counts, **({"dry_run": True} if dry_run else {}))
    if answer.nothing_but_retry:
        raise unavailable("KAFKA_UNAVAILABLE", "Kafka confirmed none of the events in time; send the request again.")
    return _json(answer.body(), {"Retry-After": str(RETRY_SECONDS)} if counts.get("retry") else None)


@router.get(
    "/v1/events/{event_id:path}",
    summary="What became of an event",
    response_model=EventTrace,
    responses=_problems(400, 401, 403, 404, 429, 503),
    openapi_extra={"security": [{"key": []}]},
)
async def get_event(request: Request, event_id: str) -> Response:
    """Every record under the id: received, raw record, fate, score, boards. The key needs the scope `read`.

    The answer says nothing about the player, and holds no content. It takes from milliseconds to seconds.
    """
    parts = _parts(request)
    await parts.rates.request_from(request.client.host if request.client else "")
    key = await parts.keys.check(_token(request), Scope.READ)
    request.scope[FACTS]["app"] = key.app
    _check_names([name for name, _ in request.query_params.multi_items()], ())
    signed = parts.signatures.announced(key, request.headers)
    if signed is not None:
        parts.signatures.check(key, signed, b"")
    await parts.rates.request_with(key.key_id)
    return _json(await parts.fates.trace(event_id, key.app))


@router.get("/v1/time", summary="The server's time", response_model=ServerTime, responses=_problems(429))
async def get_time(request: Request) -> Response:
    """For the offset of a client's clock: no key is needed."""
    await _open_to_all(request)
    now = datetime.now(UTC)
    return _json({"epoch_ms": int(now.timestamp() * 1000), "iso": now.isoformat(timespec="milliseconds")})


@router.get("/v1/schemas", summary="JSON Schemas of the events", response_model=Schemas, responses=_problems(429))
async def get_schemas(request: Request) -> Response:
    """The schema of a whole event for each event type: no key is needed."""
    await _open_to_all(request)
    return _json(_parts(request).schemas())


@router.get("/readyz", summary="Whether events can be taken", response_model=Health, responses=_problems(503))
async def get_ready(request: Request) -> Response:
    """503 while Kafka does not answer, or the topic does not exist."""
    _parts(request).outbox.require_ready()
    return _json({"status": "ready"})


async def _open_to_all(request: Request) -> None:
    await _parts(request).rates.request_from(address_of(request))


def _token(request: Request) -> str | None:
    """The key of a request: of the header, or for a beacon of the query."""
    if "authorization" not in request.headers and body.is_beacon(request.headers):
        return request.query_params.get("key")
    return bearer_of(request)


def _dry_run(request: Request) -> bool:
    """Unknown parameters are refused: with a slip in `dry_run` events would be stored."""
    names = [name for name, _ in request.query_params.multi_items()]
    known = {"dry_run", "key"} if body.is_beacon(request.headers) else {"dry_run"}
    _check_names(names, known)
    match request.query_params.get("dry_run", "false"):
        case "true" | "1":
            return True
        case "false" | "0":
            return False
        case _:
            raise bad_request("BAD_PARAMETER", "`dry_run` is true or false.")


def _check_names(names: list[str], known: Collection[str]) -> None:
    if len(set(names)) < len(names) or not set(names) <= set(known):
        wanted = "The only query parameter is `dry_run`, given once." if known else "There are no query parameters."
        raise bad_request("BAD_PARAMETER", wanted)
