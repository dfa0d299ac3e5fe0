"""What every route of the serving API does first: limits, key, signature, query parameters; and its refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from fastapi import Depends, Request
from starlette.datastructures import Headers

from gamestream_dagster.http_server import body
from gamestream_dagster.http_server.errors import bad_request
from gamestream_dagster.http_server.keys import Scope, StoredKey
from gamestream_dagster.http_server.observed import FACTS
from gamestream_dagster.http_server.routes import Problem, address_of, bearer_of
from gamestream_dagster.serving_api.models import NotOnBoard

if TYPE_CHECKING:
    from gamestream_dagster.serving_api.app import Parts

_MEANINGS: Final = {
    304: "The answer is the one that `If-None-Match` names.",
    400: "The request cannot be understood.",
    401: "No valid key, or a wrong signature.",
    403: "The key lacks the scope that the path needs.",
    404: "There is no such board or season, or no row of this player or team.",
    408: "The body came too slowly.",
    410: "The cursor's list is no longer held: ask for the first page again.",
    413: "Over a limit on size.",
    415: "A media type, charset or content coding that is not understood.",
    429: "Over a limit on rate; `Retry-After` says when to come again.",
    503: "Postgres is away, or a table cannot be read; `Retry-After` says when to come again.",
}


def parts_in(request: Request) -> Parts:
    """What the routes work with."""
    return request.app.state.parts


async def admitted(
    request: Request, scope: Scope, form_of: Callable[[Headers], body.BodyForm] | None
) -> tuple[StoredKey, body.BodyForm | None, bytes]:
    """The key of a request, and its body as it was sent.

    Args:
        request: not read yet.
        scope: that its key must have.
        form_of: the form of the body, from the headers; None: the body is not read.

    Raises:
        RequestRefusedError: over a limit, no valid key with the scope, a wrong signature, a body that cannot be read.
    """
    parts = parts_in(request)
    await parts.rates.request_from(address_of(request))
    key = await parts.keys.check(bearer_of(request), scope)
    request.scope[FACTS]["app"] = key.app
    await parts.rates.request_with(key.key_id)
    signed = parts.signatures.announced(key, request.headers)
    form, sent = None, b""
    if form_of is not None:
        form = form_of(request.headers)
        sent = await body.read_body(request.stream(), form, parts.body_seconds)
    if signed is not None:
        parts.signatures.check(key, signed, sent)
    return key, form, sent


def only(*known: str) -> Any:
    """Refuses other query parameters: with a slip in `limit` the answer would be another one than was meant."""

    async def check(request: Request) -> None:
        given = [name for name, _ in request.query_params.multi_items()]
        if len(set(given)) < len(given) or not set(given) <= set(known):
            takes = f"the query parameters {', '.join(known)}, each once" if known else "no query parameters"
            raise bad_request("BAD_PARAMETER", f"This path takes {takes}.")

    return Depends(check)


def problems(
    *statuses: int, absent: bool = False, meanings: Mapping[int, str] | None = None
) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route, for its OpenAPI document.

    Args:
        statuses: with which it refuses.
        absent: whether its 404 says where a board stands.
        meanings: of a status, where it is not the usual one.
    """
    models: dict[int, Any] = {304: None, 404: NotOnBoard | Problem if absent else Problem}
    told = {**_MEANINGS, **(meanings or {})}
    return {one: {"model": models.get(one, Problem), "description": told[one]} for one in statuses}
