"""Reads ranks from the set, each answer of one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import valkey.asyncio

from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.clients.valkey import sentences
from gamestream_dagster.serving_api.ranks.store import SetKeys, SetProof, SetState

MOST_BEYOND: Final = 10_000
"""Most totals from 2^53 on whose order is computed for an answer."""


@dataclass(frozen=True)
class RankedPlayer:
    """One row of the set."""

    rank: int
    player: str
    total: int


@dataclass(frozen=True)
class Ranking:
    """What one look at the set gave."""

    state: SetState
    proof: SetProof | None
    players: int
    """In the whole set."""
    rows: tuple[RankedPlayer, ...]
    """By rank."""


class RankReader:
    """Reads the set of a topic. Every method raises `ServiceError` where Valkey is away, or the set not whole.

    Args:
        client: of Valkey.
        where: its address, for messages.
    """

    def __init__(self, client: valkey.asyncio.Valkey, where: str) -> None:
        self._client = client
        self._where = where
        self._around = client.register_script(_script("around.lua"))
        self._among = client.register_script(_script("among.lua"))

    async def around(self, topic_id: TopicId, player: str, window: int) -> Ranking:
        """A player's row and up to `window` on each side; no rows where the set does not have the player."""
        with sentences(self._where):
            found = await self._around(keys=SetKeys(topic_id).read, args=[_bytes(player), window])
        head, place, first, rows, exact = cast("Any", found)
        ordered = _ordered(exact)
        if place < 0:
            return _ranking(head, ())
        listed = dict(enumerate(ordered))
        for number, (name, score) in enumerate(zip(rows[::2], rows[1::2], strict=True), first):
            listed[number] = (_text(name), -int(float(score)))
        if ordered and place < len(ordered):
            place = next(number for number, (name, _) in enumerate(ordered) if name == player)
        wanted = range(max(0, place - window), min(head[2], place + window + 1))
        return _ranking(head, [RankedPlayer(at + 1, *listed[at]) for at in wanted])

    async def among(self, topic_id: TopicId, players: Sequence[str]) -> Ranking:
        """The rows of those that the set has."""
        with sentences(self._where):
            found = await self._among(keys=SetKeys(topic_id).read, args=[_bytes(one) for one in players])
        head, rows, exact = cast("Any", found)
        places = {name: (at, total) for at, (name, total) in enumerate(_ordered(exact))}
        listed: list[RankedPlayer] = []
        for player, (place, score) in zip(players, rows, strict=True):
            if place >= 0:
                at, total = places.get(player, (place, -int(float(score))))
                listed.append(RankedPlayer(at + 1, player, total))
        return _ranking(head, sorted(listed, key=lambda one: one.rank))


def _ranking(head: Sequence[Any], rows: Sequence[RankedPlayer]) -> Ranking:
    state, proof, players, _ = head
    found = SetState.unpacked(state)
    if not found.complete:
        why = f" ({found.reason})" if found.reason else ""
        raise TransientServiceError(
            "Valkey", f"the ranks are being loaded from their topic{why}", "ask again in a moment"
        )
    return Ranking(found, SetProof.unpacked(proof), players, tuple(rows))


def _ordered(pairs: Sequence[bytes]) -> list[tuple[str, int]]:
    """The totals from 2^53 on by their exact order; `pairs` are ids and totals by turns."""
    if len(pairs) > 2 * MOST_BEYOND:
        raise TransientServiceError(
            "Valkey", f"over {MOST_BEYOND:,} totals are 2^53 or more, too many to order", "see the board's own rows"
        )
    found = {name: int(total) for name, total in zip(pairs[::2], pairs[1::2], strict=True)}
    return [(_text(name), total) for name, total in sorted(found.items(), key=lambda one: (-one[1], one[0]))]


def _bytes(player: str) -> bytes:
    return player.encode("utf-8", "surrogatepass")


def _text(player: bytes) -> str:
    return player.decode("utf-8", "replace")


@cache
def _script(name: str) -> str:
    return (Path(__file__).parent / "lua" / name).read_text(encoding="utf-8")
