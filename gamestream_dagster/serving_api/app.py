"""The application of the serving API, and what its routes work with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.catalogue.seasons import SeasonSpan
from gamestream_dagster.http_server import app as http_app
from gamestream_dagster.http_server.key_ring import KeyRing
from gamestream_dagster.http_server.metrics import RequestMetrics
from gamestream_dagster.http_server.rates import Rates
from gamestream_dagster.http_server.signing import Signatures
from gamestream_dagster.serving_api import erasures, routes
from gamestream_dagster.serving_api.erasures import Erasures
from gamestream_dagster.serving_api.explaining import Explainer
from gamestream_dagster.serving_api.held import HeldViews
from gamestream_dagster.serving_api.live import LiveMetrics
from gamestream_dagster.serving_api.ranks.answering import PlayerRanks
from gamestream_dagster.settings import Season


@dataclass(frozen=True)
class Parts:
    """What the routes work with."""

    boards: Mapping[str, Board]
    """Every board with a table, by name."""
    topics: Mapping[str, str]
    """Topic of each board's events."""
    season: Season
    views: HeldViews
    seasons: Callable[[Board], list[SeasonSpan]]
    """The seasons with rows, newest first; blocks."""
    check: Callable[[], None]
    """Sees that Postgres answers; blocks."""
    explainer: Explainer
    live: LiveMetrics
    ranks: PlayerRanks | None
    """Of all players of one board, where the stack keeps them."""
    erasures: Erasures
    keys: KeyRing
    rates: Rates
    signatures: Signatures
    metrics: RequestMetrics
    body_seconds: float


def build(parts: Parts, trusted_proxies: tuple[str, ...] = ()) -> ASGIApp:
    """The whole application.

    Args:
        parts: what it works with.
        trusted_proxies: addresses or networks whose `X-Forwarded-For` is believed.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        parts.views.close()

    router = APIRouter()
    for one in (routes.router, erasures.router):
        router.include_router(one)
    app = http_app.routed(
        router,
        parts,
        lifespan,
        title="gamestream serving API",
        description="Leaderboards and their proofs: every answer says of which cut it is and what verified it. And the "
        "erase of players, each with its certificate.",
        fault="send the request again",
    )
    return http_app.wrapped(app, parts.metrics, trusted_proxies)
