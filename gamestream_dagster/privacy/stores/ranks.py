"""The ranks of all players in Valkey: one sorted set for each topic of totals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

from gamestream_dagster.clients.valkey import client, sentences
from gamestream_dagster.privacy.player import Player
from gamestream_dagster.privacy.stores.model import Found, Rows, Say
from gamestream_dagster.settings import Ranks as RanksSetting
from gamestream_dagster.settings import Settings

_KEYS: Final = "gamestream:ranks:*"


class RanksStore:
    """Valkey, where a stack keeps ranks.

    Args:
        settings: the stack.
    """

    name = "ranks"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def scan(self, player: Player) -> list[Found]:
        """Members of sets and fields of hashes."""
        counted = sum(1 for _ in self._members(player))
        return [Found("ranks in Valkey", counted)] if counted else []

    def export(self, player: Player) -> Iterator[tuple[str, Rows]]:
        """The score by which the player is ranked."""
        yield "ranks", ({"set": key, "total": total} for key, _, total in self._members(player))

    def erase(self, player: Player, request: int, say: Say) -> int:
        """Remove the player from each set."""
        found = list(self._members(player))
        if not found:
            return 0
        with client(self._settings) as valkey, sentences(self._settings.valkey):
            for key, member, _ in found:
                if key.endswith(":beyond"):
                    valkey.hdel(key, member)
                else:
                    valkey.zrem(key, member)
        say(f"ranks: {len(found)} entries")
        return len(found)

    def _members(self, player: Player) -> Iterator[tuple[str, str, int]]:
        """Key, member and total of each entry of the player."""
        if self._settings.ranks is not RanksSetting.ALL:
            return
        with client(self._settings) as valkey, sentences(self._settings.valkey):
            for raw in cast("Iterator[bytes]", valkey.scan_iter(match=_KEYS, count=1000)):
                key = raw.decode()
                for member, total in self._entries(valkey, key, player):
                    yield key, member, total

    def _entries(self, valkey: Any, key: str, player: Player) -> Iterator[tuple[str, int]]:
        if key.endswith(":set"):
            yield from self._of_set(valkey, key, player)
        elif key.endswith(":beyond"):
            yield from self._of_hash(valkey, key, player)

    def _of_set(self, valkey: Any, key: str, player: Player) -> Iterator[tuple[str, int]]:
        if player.user_id is not None:
            score = valkey.zscore(key, player.user_id)
            if score is not None:
                yield player.user_id, -int(score)
            return
        for member, score in valkey.zscan_iter(key, count=1000):
            if player(member.decode("utf-8", "replace")):
                yield member.decode("utf-8", "replace"), -int(score)

    def _of_hash(self, valkey: Any, key: str, player: Player) -> Iterator[tuple[str, int]]:
        if player.user_id is not None:
            total = valkey.hget(key, player.user_id)
            if total is not None:
                yield player.user_id, int(total)
            return
        for member, total in valkey.hscan_iter(key, count=1000):
            if player(member.decode("utf-8", "replace")):
                yield member.decode("utf-8", "replace"), int(total)
