"""Counts and logs every request; ASGI middleware."""

from __future__ import annotations

import json
import logging
import time
import traceback
from pathlib import Path
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gamestream_dagster.http_server.metrics import RequestMetrics

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
FACTS: Final = "gamestream.facts"
"""Where a route leaves what the log should say besides, such as the app and the number of events."""

access = logging.getLogger("gamestream.access")
log = logging.getLogger(__name__)


class Observed:
    """One line for each request: method, route template, status, milliseconds, app, events. Nothing that was sent."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event of ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        facts: dict[str, Any] = {}
        scope[FACTS] = facts
        status = 0
        began = time.perf_counter()

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception as error:  # noqa: BLE001 - answered by now; uvicorn would log its message, which may quote a body
            log.error("a request failed by a fault of ours: %s", place_of(error))  # noqa: TRY400 - as above
        finally:
            seconds = time.perf_counter() - began
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.request(method, route, status, seconds)
            line = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1), **facts}
            access.info("%s", json.dumps(line))


def place_of(error: BaseException) -> str:
    """The type of an error and where it was raised, innermost last, without its message."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return f"{type(error).__name__} at " + " > ".join(f"{Path(one.filename).name}:{one.lineno}" for one in frames)
