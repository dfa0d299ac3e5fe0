"""What the applications of the HTTP servers have in common: how errors and headers are answered, keys in OpenAPI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

import orjson
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from gamestream_dagster.http_server.errors import RequestRefusedError
from gamestream_dagster.http_server.metrics import RequestMetrics
from gamestream_dagster.http_server.observed import Observed
from gamestream_dagster.http_server.rates import Rates
from gamestream_dagster.http_server.routes import common

HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_WORDS: Final = {404: "NO_SUCH_PATH", 405: "METHOD_NOT_ALLOWED"}
_SENTENCES: Final = {
    404: "There is nothing at this path; GET /docs lists what there is.",
    405: "The path has no such method; the header Allow lists those that it has.",
}


class Parts(Protocol):
    """What the common routes of a server work with; its own routes find more in it."""

    @property
    def rates(self) -> Rates:
        """Its limits."""
        ...

    @property
    def metrics(self) -> RequestMetrics:
        """Its metrics."""
        ...


def routed(
    router: APIRouter,
    parts: Parts,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    *,
    title: str,
    description: str,
    fault: str,
) -> FastAPI:
    """A server's routes and the common ones, with their error handlers.

    Args:
        router: the server's own routes.
        parts: at `app.state.parts` for all of them.
        lifespan: what starts and ends with the server.
        title: of its page.
        description: of its page, a sentence.
        fault: what to do after a fault of ours, as a clause.
    """
    app = FastAPI(
        title=title,
        version="1",
        description=description,
        docs_url=None,  # its page loads scripts from other hosts; /docs is our own
        redoc_url=None,
        redirect_slashes=False,  # a redirected POST may lose its body
        lifespan=lifespan,
    )
    app.state.parts = parts
    plain = app.openapi
    app.openapi = lambda: _with_security(plain())
    app.include_router(router)
    app.include_router(common)

    async def failed(_: Request, __: Exception) -> Response:
        return problem(500, "FAULT", f"The server failed; {fault}.")

    app.add_exception_handler(RequestRefusedError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, failed)
    return app


def wrapped(app: FastAPI, metrics: RequestMetrics, trusted_proxies: tuple[str, ...] = ()) -> ASGIApp:
    """The whole application: every request is counted and logged.

    Args:
        app: the routes.
        metrics: count the requests.
        trusted_proxies: addresses or networks whose `X-Forwarded-For` is believed.
    """
    whole: ASGIApp = Observed(app, metrics)
    return ProxyHeadersMiddleware(whole, list(trusted_proxies)) if trusted_proxies else whole  # pyright: ignore[reportArgumentType, reportReturnType] - uvicorn's own types of ASGI


def problem(status: int, code: str, message: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """The answer to a request that is refused as a whole; `more` are further members of its body."""
    content = orjson.dumps({"code": code, "message": message, **more})
    return Response(content, status, {**HEADERS, **(headers or {})}, "application/json")


def _with_security(document: dict[str, Any]) -> dict[str, Any]:
    scheme = {"type": "http", "scheme": "bearer", "description": "A key of `gamestream keys create`."}
    document.setdefault("components", {}).setdefault("securitySchemes", {})["key"] = scheme
    for name in ("HTTPValidationError", "ValidationError"):  # ours is a `Problem` with the status 400
        document["components"].get("schemas", {}).pop(name, None)
    for methods in document["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("422", None)
    return document


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefusedError)  # noqa: S101 - registered for it alone
    return problem(error.status, error.code, error.message, error.headers)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it alone
    first = error.errors()[0]
    where, name = first["loc"][0], first["loc"][-1]
    return problem(400, "BAD_PARAMETER", f"The {where} parameter {name} cannot be used: {first['msg']}.")


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    status = error.status_code
    message = _SENTENCES.get(status, "The request cannot be answered; see GET /docs.")
    return problem(status, _WORDS.get(status, "HTTP_ERROR"), message, error.headers)
