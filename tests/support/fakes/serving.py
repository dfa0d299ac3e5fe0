"""The serving API without servers: boards in memory, cuts of a made-up Kafka, keys, and a client that calls the app."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from sqlalchemy import create_engine

from gamestream_dagster.catalogue.boards import Board, load_boards
from gamestream_dagster.catalogue.seasons import SeasonSpan
from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.http_server.key_ring import KeyRing
from gamestream_dagster.http_server.keys import Scope
from gamestream_dagster.http_server.rates import Rates
from gamestream_dagster.http_server.signing import Signatures
from gamestream_dagster.reconciliation.results.proofs import FinishedRun
from gamestream_dagster.serving_api.app import Parts, build
from gamestream_dagster.serving_api.cuts import Bracket
from gamestream_dagster.serving_api.erasures import StackErasures
from gamestream_dagster.serving_api.explaining import Explainer
from gamestream_dagster.serving_api.held import HeldViews
from gamestream_dagster.serving_api.live import LiveMetrics, Page, time_column
from gamestream_dagster.serving_api.metrics import metrics_of
from gamestream_dagster.serving_api.ranks.answering import PlayerRanks
from gamestream_dagster.serving_api.server import limits_of
from gamestream_dagster.serving_api.views import Row, View, faults_of, window_end
from gamestream_dagster.settings import Season, Settings
from gamestream_dagster.settings.api import ApiSettings
from tests.support.fakes.erase_requests import MemoryRequests
from tests.support.fakes.ingest import CLIENT, SERVER_SECRET, FakeKeys

BEGAN = datetime(2026, 11, 21, 12, tzinfo=UTC)
BOARDS = load_boards(season=Season.DAILY)
LIVE = {name: one for name, one in BOARDS.items() if time_column(one) is not None}
DAY = 86_400_000


def players(*totals: int, first: int = 1) -> tuple[Row, ...]:
    """Rows of `top_players`: p1, p2, ... with these totals, which must be in order."""
    return tuple(
        {"rnk": number, "user_id": f"p{number + first - 1}", "team_name": "blue", "total_score": total}
        for number, total in enumerate(totals, 1)
    )


def run(verdict: str = "MATCH") -> FinishedRun:
    """A finished reconciliation."""
    return FinishedRun("run-1", BEGAN, verdict, "", 40, None, None)


def view_of(board: Board, rows: tuple[Row, ...], **more: Any) -> View:
    """A view of rows at a made-up cut."""
    made: dict[str, Any] = {
        "board": board, "season": None, "rows": rows, "bracket": Bracket("user-score", None, {0: 5}, {0: 7}),
        "read_at": BEGAN, "proof": run(), "settled_until": window_end(board, rows), "faults": faults_of(board, rows),
    }  # fmt: skip
    return View(**{**made, **more})


@dataclass
class FakeReader:
    """The boards of a Postgres that tests change; `away` as when it does not answer."""

    rows: dict[str, tuple[Row, ...]] = field(default_factory=dict)
    proof: FinishedRun | None = field(default_factory=run)
    differing: dict[int | None, tuple[str, ...]] = field(default_factory=dict)
    offset: int = 5
    away: bool = False
    error: Exception | None = None
    reads: int = 0

    def read(self, board: Board, season: SeasonSpan | None = None) -> View:
        self.reads += 1
        self.check()
        if self.error:
            raise self.error
        rows = self.rows.get(board.name, ())
        view = view_of(board, rows, proof=self.proof, differing=self.differing, season=season)
        bracket = Bracket("user-score", None, {0: self.offset}, {0: self.offset + 2})
        return replace(view, bracket=bracket, read_at=BEGAN + timedelta(seconds=self.reads))

    def seasons(self, board: Board) -> list[SeasonSpan]:
        self.check()
        return [] if board.season_column is None else [SeasonSpan(DAY, 2 * DAY)]

    def check(self) -> None:
        if self.away:
            raise TransientServiceError("Postgres", "nothing listens", "start it with `gamestream up`")


class FakeLive(LiveMetrics):
    """Live metrics of a Postgres that tests change, in the order of their keys."""

    def __init__(self) -> None:
        super().__init__(create_engine("postgresql+psycopg://nowhere"), LIVE)
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.away = False

    def read(self, metric: Board, since: datetime, until: datetime, after: Sequence[Any] | None, most: int) -> Page:
        if self.away:
            raise TransientServiceError("Postgres", "nothing listens", "start it with `gamestream up`")
        keys = metric.key_columns
        found = [row for row in self.rows.get(metric.name, []) if since <= row["minute"] < until]
        left = [row for row in found if after is None or [row[name] for name in keys] > list(after)]
        return Page(left[:most], len(left) > most, BEGAN, run())


class ServingApi:
    """The whole application on fakes. Its calls run on one event loop."""

    def __init__(
        self,
        proxies: tuple[str, ...] = (),
        wait_seconds: float = 5,
        ranks: PlayerRanks | None = None,
        **settings: Any,
    ) -> None:
        self.reader, self.store = FakeReader(), FakeKeys()
        self.key = self.store.add(scopes=frozenset({Scope.READ}))
        self.now = 0.0
        self.views = HeldViews(self.reader, lambda: self.now)
        self.asked: list[tuple[str, str, int]] = []
        self.explain = lambda board, who, limit: '{"sentence": "it adds up"}'
        explainer = Explainer(self._explained, wait_seconds)
        self.live = FakeLive()
        self._home = TemporaryDirectory()
        self.requests = MemoryRequests()
        self.requests_error: Exception | None = None
        self.parts = Parts(
            boards=BOARDS,
            topics=dict.fromkeys(BOARDS, "user-score"),
            season=Season.DAILY,
            views=self.views,
            seasons=self.reader.seasons,
            check=self.reader.check,
            explainer=explainer,
            ranks=ranks,
            erasures=StackErasures(Settings(home=Path(self._home.name)), self._opened),
            live=self.live,
            keys=KeyRing(self.store, lambda: self.now),
            rates=Rates(limits_of(ApiSettings(**settings))),
            signatures=Signatures(lambda: SERVER_SECRET),
            metrics=metrics_of(self.views, explainer),
            body_seconds=5,
        )
        self.app = build(self.parts, proxies)
        self.runner = asyncio.Runner()

    def _explained(self, board: Board, who: str, limit: int) -> str:
        self.asked.append((board.name, who, limit))
        return self.explain(board, who, limit)

    def _opened(self) -> Any:
        if self.requests_error:
            raise self.requests_error
        return self.requests

    def close(self) -> None:
        self._home.cleanup()
        self.views.close()
        self.runner.close()

    def show(self, board: str, rows: tuple[Row, ...]) -> None:
        """The board's rows from now on; what was read before is old."""
        self.reader.rows[board] = rows
        self.now += 100

    def request(
        self, method: str, path: str, *, client: tuple[str, int] = CLIENT, headers: Any = None, **more: Any
    ) -> httpx.Response:
        return self.runner.run(self.send(method, path, client=client, headers=headers, **more))

    async def send(
        self, method: str, path: str, *, client: tuple[str, int] = CLIENT, headers: Any = None, **more: Any
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=client)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:
            return await http.request(method, path, headers=headers, **more)

    @property
    def headers(self) -> Mapping[str, str]:
        """Those of a request with a valid key."""
        return {"Authorization": f"Bearer {self.key.token}"}

    def get(self, path: str, **more: Any) -> httpx.Response:
        headers = {**self.headers, **more.pop("headers", {})}
        return self.request("GET", path, headers=headers, **more)

    def post(self, path: str, json: Any, **more: Any) -> httpx.Response:
        return self.request("POST", path, headers={**self.headers, **more.pop("headers", {})}, json=json, **more)
