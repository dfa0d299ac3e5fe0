"""The erase of players over HTTP: a request is written at once, and a Dagster run carries it out.

No answer, log line or label names a player.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final, Protocol, TypeVar
from urllib.parse import unquote_to_bytes

import orjson
from fastapi import APIRouter, Depends, Path, Request
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.responses import Response

from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.events.suppression import SuppressionError
from gamestream_dagster.http_server.app import HEADERS
from gamestream_dagster.http_server.body import BodyForm, Coding
from gamestream_dagster.http_server.errors import bad_request, not_found, unavailable
from gamestream_dagster.http_server.keys import Scope
from gamestream_dagster.privacy.errors import ErasureError, PrivacyError
from gamestream_dagster.privacy.requests import API, Requests, State, ask_erase, requests_of
from gamestream_dagster.privacy.requests import Request as ErasureRequest
from gamestream_dagster.serving_api.admitted import admitted, only, parts_in, problems
from gamestream_dagster.serving_api.answers import answer
from gamestream_dagster.serving_api.models import ErasureAnswer
from gamestream_dagster.settings import Settings

_MOST_NUMBER: Final = 2**31 - 1  # of an integer in Postgres
_ANY_BODY: Final = BodyForm(Coding.IDENTITY, beacon=True)
_ABSENT: Final = "There is no erasure of this number."
_BROKEN: Final = "The id has a line break, which a path cannot hold: use `gamestream player erase`."
_MEANINGS: Final = {
    404: _ABSENT,
    503: "Postgres is away, or cannot take the request; `Retry-After` says when to come again.",
}
T = TypeVar("T")

router = APIRouter()


class Erasures(Protocol):
    """The requests to erase players. Methods block, and raise `RequestRefusedError` where they cannot answer."""

    def ask(self, user_id: str, app: str) -> ErasureRequest:
        """Write the request of an app to erase a player; an open one is returned as it is."""
        ...

    def find(self, number: int) -> ErasureRequest | None:
        """The request of a number."""
        ...


class StackErasures:
    """The requests of a stack.

    Args:
        settings: the stack.
        opened: gives its table of requests; raises `ErasureError` where there is none.
    """

    def __init__(self, settings: Settings, opened: Callable[[], Requests]) -> None:
        self._settings = settings
        self._opened = opened

    def ask(self, user_id: str, app: str) -> ErasureRequest:
        """Write the request of an app to erase a player; an open one is returned as it is.

        Raises:
            RequestRefusedError: 400 where it is no id, 503 where the request cannot be written now.
        """
        return self._with(lambda requests: ask_erase(self._settings, requests, user_id, f"{API}{app}"))

    def find(self, number: int) -> ErasureRequest | None:
        """The request of a number.

        Raises:
            RequestRefusedError: 503 where it cannot be read now.
        """
        return self._with(lambda requests: requests.find(number))

    def _with(self, use: Callable[[Requests], T]) -> T:
        try:
            return use(self._opened())
        except (ServiceError, ErasureError) as error:
            raise unavailable("ERASURES_UNAVAILABLE", str(error)) from error
        except PrivacyError as error:
            raise bad_request("BAD_ID", str(error)) from error
        except (DBAPIError, PoolTimeoutError) as error:
            message = "Postgres does not carry the request out at the moment; send it again."
            raise unavailable("ERASURES_UNAVAILABLE", message) from error
        except (SuppressionError, OSError) as error:
            message = "The privacy key of the stack cannot be used; `gamestream player erase` says what is wrong."
            raise unavailable("ERASURES_UNAVAILABLE", message) from error


def erasures_of(settings: Settings, engine: Engine) -> StackErasures:
    """The requests of a stack in its Postgres."""

    return StackErasures(settings, lambda: requests_of(engine))


async def _erasing_app(request: Request) -> str:
    """Check limits, key and signature, and that there is no body; gives the app of the key."""
    key, _, sent = await admitted(request, Scope.ERASE, (lambda _: _ANY_BODY) if request.method == "POST" else None)
    if sent:
        raise bad_request("BODY_NOT_EMPTY", "This path takes no body; send the request without one.")
    return key.app


App = Annotated[str, Depends(_erasing_app)]
_KEY: Final = {"security": [{"key": []}]}
_LOCATION: Final = {
    "Location": {
        "description": "Path of the erasure, to ask how it stands.",
        "required": True,
        "schema": {"type": "string"},
    }
}
_WRITTEN: Final[dict[int | str, dict[str, Any]]] = {
    202: {"description": "The request is written, or was open already.", "headers": _LOCATION}
}


@router.post(
    "/v1/players/{player:path}/erase",
    status_code=202,
    summary="Erase a player",
    response_model=ErasureAnswer,
    responses={**_WRITTEN, **problems(400, 401, 403, 404, 408, 413, 429, 503, meanings=_MEANINGS | {404: _BROKEN})},
    openapi_extra=_KEY,
)
async def post_erasure(request: Request, player: str, app: App, _: Annotated[None, only()]) -> Response:
    """Writes the request, whether or not anything is known of the player. Dagster begins within about a minute; the
    path in `Location` says how it stands. The same player again gives the same request until it is finished."""
    _require_text(request)
    made = await asyncio.to_thread(partial(parts_in(request).erasures.ask, player, app))
    headers = {**HEADERS, "Location": f"/v1/erasures/{made.number}"}
    return Response(orjson.dumps(_described(made)), 202, headers, "application/json")


@router.get(
    "/v1/erasures/{number}",
    summary="How an erasure stands",
    response_model=ErasureAnswer,
    responses=problems(304, 400, 401, 403, 404, 429, 503, meanings=_MEANINGS),
    openapi_extra=_KEY,
)
async def get_erasure(
    request: Request,
    number: Annotated[int, Path(ge=1, description="Of the request.")],
    _: App,
    __: Annotated[None, only()],
) -> Response:
    """The state of a request, and its certificate once it is finished. Neither names the player."""
    found = None
    if number <= _MOST_NUMBER:
        found = await asyncio.to_thread(partial(parts_in(request).erasures.find, number))
    if found is None or found.state is State.EXPORT:
        raise not_found("NO_SUCH_ERASURE", f"{_ABSENT[:-1]}; `gamestream player requests` lists them.")
    return answer(request, _described(found))


def _require_text(request: Request) -> None:
    """Refuse a path that is no UTF-8: its decoded form has a replacement character, and would be another player."""
    try:
        unquote_to_bytes(request.scope["raw_path"]).decode()
    except UnicodeDecodeError as error:
        message = "The player's id is not in UTF-8; percent-encode the bytes of its UTF-8 form."
        raise bad_request("BAD_ID", message) from error


def _described(one: ErasureRequest) -> dict[str, Any]:
    return {
        "number": one.number,
        "state": one.state.value,
        "requested_at": one.requested_at.isoformat(),
        "suppressed_at": one.suppressed_at and one.suppressed_at.isoformat(),
        "finished_at": one.finished_at and one.finished_at.isoformat(),
        "certificate": one.certificate,
    }
