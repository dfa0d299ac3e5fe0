"""Asks the ranks of all players first, where there are some, and the board where they have no answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response

from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.http_server.app import problem
from gamestream_dagster.http_server.errors import unavailable
from gamestream_dagster.serving_api.ranks.answering import PlayerRanks
from gamestream_dagster.serving_api.views import View


class Asked:
    """The ranks that a request may be answered from.

    Args:
        ranks: of one board; None: the stack keeps none.
        board: that the request is about.
        season: that it names; the ranks are of all time.
    """

    def __init__(self, ranks: PlayerRanks | None, board: str, season: str | None) -> None:
        self._ranks = ranks if ranks is not None and ranks.board == board and season is None else None
        self._away: ServiceError | None = None

    async def tried(self, ask: Callable[[PlayerRanks], Awaitable[dict[str, Any] | None]]) -> dict[str, Any] | None:
        """The answer of the ranks; None where they have none, or cannot be read: then the board may have one."""
        if self._ranks is None:
            return None
        try:
            return await ask(self._ranks)
        except ServiceError as error:
            self._away = error
            return None

    def require(self) -> None:
        """Refuse to answer without ranks that cannot be read: the board cannot stand in for them.

        Raises:
            RequestRefusedError: 503.
        """
        if self._away is not None:
            raise unavailable("RANKS_UNAVAILABLE", str(self._away)) from self._away

    def cut_short(self, view: View, place: int, window: int) -> bool:
        """Whether the rows around a place need ranks beyond the board's that cannot be read."""
        return self._away is not None and place + window >= len(view.rows) >= view.board.rows

    def absent(self, view: View) -> Response:
        """The answer about who has no row.

        Raises:
            RequestRefusedError: 503, nobody knows it without the ranks.
        """
        self.require()
        told = "; it has no total at all" if self._ranks is not None else ""
        message = (
            f"It has no row among the {len(view.rows)} of {view.board.name} at this cut{told}. "
            f"GET /v1/players/ID/why?board={view.board.name} says why."
        )
        return problem(404, "NOT_ON_BOARD", message, **view.standing)
