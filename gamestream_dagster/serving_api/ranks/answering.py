"""Answers about the ranks of all players of one board, as the board's own answers are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from gamestream_dagster.clients.errors import ServiceError, TransientServiceError
from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.reconciliation.results.proofs import FinishedRun
from gamestream_dagster.serving_api.cuts import Bracket
from gamestream_dagster.serving_api.ranks.ranked import Ranked
from gamestream_dagster.serving_api.ranks.reader import RankedPlayer, Ranking
from gamestream_dagster.serving_api.ranks.store import SetProof
from gamestream_dagster.serving_api.views import Origin, View

IDENTITY_SECONDS: Final = 5.0
"""How often Kafka is asked for the topic's id."""


class ReadRanks(Protocol):
    """As `RankReader`."""

    async def around(self, topic_id: TopicId, player: str, window: int) -> Ranking:
        """A player's row and its neighbours."""
        ...

    async def among(self, topic_id: TopicId, players: Sequence[str]) -> Ranking:
        """The rows of some players."""
        ...


class PlayerRanks:
    """Ranks of all players of one board. Every method raises `ServiceError` where they cannot be read now.

    Args:
        ranked: the board.
        reader: of the set.
        topic_id: asks Kafka for the id of the topic of totals; blocks. Raises ServiceError.
        clock: seconds.
    """

    def __init__(
        self,
        ranked: Ranked,
        reader: ReadRanks,
        topic_id: Callable[[], TopicId],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ranked = ranked
        self._reader = reader
        self._ask_id = topic_id
        self._clock = clock
        self._topic_id: TopicId | None = None
        self._failure: ServiceError = TransientServiceError("Kafka", "it was not asked yet", "ask again in a moment")
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    @property
    def board(self) -> str:
        """Name of the board."""
        return self._ranked.board.name

    async def row(self, player: str) -> dict[str, Any] | None:
        """As the answer about one row; None where the set does not have the player."""
        found = await self._reader.around(await self._identity(), player, 1)
        mine = next((one for one in found.rows if one.player == player), None)
        if mine is None:
            return None
        above = next((one for one in found.rows if one.rank == mine.rank - 1), None)
        ahead = above and {"rank": above.rank, "id": above.player, "ahead_by": above.total - mine.total}
        return {**self._standing(found), "row": self._row(mine), "next": ahead, "rows_total": found.players}

    async def around(self, player: str, window: int) -> dict[str, Any] | None:
        """As the answer about the rows around one; None where the set does not have the player."""
        found = await self._reader.around(await self._identity(), player, window)
        if not found.rows:
            return None
        rows = [self._row(one) for one in found.rows]
        return {**self._standing(found), "id": player, "rows": rows, "rows_total": found.players}

    async def among(self, players: Sequence[str]) -> dict[str, Any]:
        """As the answer about the rows of some."""
        found = await self._reader.among(await self._identity(), players)
        there = {one.player for one in found.rows}
        rows = [self._row(one) for one in found.rows]
        absent = [one for one in players if one not in there]
        return {**self._standing(found), "rows": rows, "absent": absent, "rows_total": found.players}

    def _row(self, one: RankedPlayer) -> dict[str, Any]:
        board = self._ranked.board
        columns = {board.rank_column: one.rank, self._ranked.key: one.player, self._ranked.value: one.total}
        return {"rank": one.rank, "id": one.player, "value": one.total, "columns": columns, "differing": []}

    def _standing(self, found: Ranking) -> dict[str, Any]:
        state = found.state
        view = View(
            board=self._ranked.board,
            season=None,
            rows=(),
            bracket=Bracket(state.topic, state.topic_id, state.low, state.high, state.reason),
            read_at=datetime.fromtimestamp(state.loaded_ms / 1000, UTC),
            proof=found.proof and _run(found.proof),
            origin=Origin.RANKS,
        )
        return view.standing

    async def _identity(self) -> TopicId:
        """The topic's id; that of before while Kafka does not answer."""
        if self._clock() - self._asked_at >= IDENTITY_SECONDS:
            if self._asking is None:
                self._asking = asyncio.create_task(self._look())
            if self._topic_id is None:
                await asyncio.shield(self._asking)
        if self._topic_id is None:
            raise self._failure.with_traceback(None)  # it would grow with each request
        return self._topic_id

    async def _look(self) -> None:
        try:
            self._topic_id = await asyncio.to_thread(self._ask_id)
        except ServiceError as error:
            self._failure = error
        finally:
            self._asked_at = self._clock()
            self._asking = None


def _run(proof: SetProof) -> FinishedRun:
    finished = datetime.fromtimestamp(proof.finished_ms / 1000, UTC)
    return FinishedRun(proof.run, finished, proof.verdict, proof.reason, proof.players, None, None)
