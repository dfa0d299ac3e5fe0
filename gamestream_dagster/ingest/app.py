"""The application: what its routes share, and how errors and headers are answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from gamestream_dagster.ingest import routes
from gamestream_dagster.ingest.counting import Counting
from gamestream_dagster.ingest.door import Door
from gamestream_dagster.ingest.errors import RequestRefusedError
from gamestream_dagster.ingest.fates import Fates
from gamestream_dagster.ingest.key_ring import KeyRing
from gamestream_dagster.ingest.metrics import Metrics
from gamestream_dagster.ingest.observed import Observed
from gamestream_dagster.ingest.outbox import Outbox
from gamestream_dagster.ingest.rates import Bodies, Rates
from gamestream_dagster.ingest.signing import Signatures

CLOSE_SECONDS: Final = 10.0
"""Longest wait at the end for records that were handed to Kafka's client."""
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_WORDS: Final = {404: "NO_SUCH_PATH", 405: "METHOD_NOT_ALLOWED"}
_SENTENCES: Final = {
    404: "There is nothing at this path; GET /docs lists what there is.",
    405: "The path has no such method; the header Allow lists those that it has.",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What the routes work with."""

    door: Door
    outbox: Outbox
    keys: KeyRing
    rates: Rates
    bodies: Bodies
    signatures: Signatures
    metrics: Metrics
    body_seconds: float
    schemas: Callable[[], Mapping[str, Any]]
    """The body of `GET /v1/schemas`."""
    fates: Fates
    counting: Counting


def build(parts: Parts, trusted_proxies: tuple[str, ...] = ()) -> ASGIApp:
    """The whole application.

    Args:
        parts: what it works with.
        trusted_proxies: addresses or networks whose `X-Forwarded-For` is believed.
    """
    app: ASGIApp = Observed(routed(parts), parts.metrics)
    return ProxyHeadersMiddleware(app, list(trusted_proxies)) if trusted_proxies else app  # pyright: ignore[reportArgumentType, reportReturnType] - uvicorn's own types of ASGI


def routed(parts: Parts) -> FastAPI:
    """The routes with their error handlers."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(parts.outbox.watch()), asyncio.create_task(parts.counting.run())]
        yield
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        parts.fates.close()
        left = await asyncio.to_thread(parts.outbox.close, CLOSE_SECONDS)
        await asyncio.to_thread(parts.counting.close)
        log.info("stopped; %d records without a delivery report, none of which was acknowledged", left)

    app = FastAPI(
        title="gamestream intake",
        version="1",
        description="Events from a game's backend or clients, with a verdict for each.",
        docs_url=None,  # its page loads scripts from other hosts; /docs is our own
        redoc_url=None,
        redirect_slashes=False,  # a redirected POST may lose its body
        lifespan=lifespan,
    )
    app.state.parts = parts
    plain = app.openapi
    app.openapi = lambda: _with_security(plain())
    app.include_router(routes.router)
    app.add_exception_handler(RequestRefusedError, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _fault)
    return app


def _with_security(document: dict[str, Any]) -> dict[str, Any]:
    scheme = {"type": "http", "scheme": "bearer", "description": "A key of `gamestream keys create`."}
    document.setdefault("components", {}).setdefault("securitySchemes", {})["key"] = scheme
    return document


def problem(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that is refused as a whole."""
    content = orjson.dumps({"code": code, "message": message})
    return Response(content, status, {**_HEADERS, **(headers or {})}, "application/json")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefusedError)  # noqa: S101 - registered for it alone
    return problem(error.status, error.code, error.message, error.headers)


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    status = error.status_code
    message = _SENTENCES.get(status, "The request cannot be answered; see GET /docs.")
    return problem(status, _WORDS.get(status, "HTTP_ERROR"), message, error.headers)


async def _fault(_: Request, __: Exception) -> Response:
    return problem(500, "FAULT", "The server failed; nothing is known about the events, send the request again.")
