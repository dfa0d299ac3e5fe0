"""The application of intake, and what its routes work with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI
from starlette.types import ASGIApp

from gamestream_dagster.http_server import app as http_app
from gamestream_dagster.http_server.key_ring import KeyRing
from gamestream_dagster.http_server.rates import Bodies, Rates
from gamestream_dagster.http_server.signing import Signatures
from gamestream_dagster.ingest import routes
from gamestream_dagster.ingest.door import Door
from gamestream_dagster.ingest.fates import Fates
from gamestream_dagster.ingest.metrics import Metrics
from gamestream_dagster.ingest.outbox import Outbox

CLOSE_SECONDS: Final = 10.0
"""Longest wait at the end for records that were handed to Kafka's client."""

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


def build(parts: Parts, trusted_proxies: tuple[str, ...] = ()) -> ASGIApp:
    """The whole application.

    Args:
        parts: what it works with.
        trusted_proxies: addresses or networks whose `X-Forwarded-For` is believed.
    """
    return http_app.wrapped(routed(parts), parts.metrics, trusted_proxies)


def routed(parts: Parts) -> FastAPI:
    """The routes with their error handlers."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watch = asyncio.create_task(parts.outbox.watch())
        yield
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch
        parts.fates.close()
        left = await asyncio.to_thread(parts.outbox.close, CLOSE_SECONDS)
        log.info("stopped; %d records without a delivery report, none of which was acknowledged", left)

    return http_app.routed(
        routes.router,
        parts,
        lifespan,
        title="gamestream intake",
        description="Events from a game's backend or clients, with a verdict for each.",
        fault="nothing is known about the events, send the request again",
    )
