"""The sorted set of one topic of totals, and the cut at which it stands; both change in one transaction.

Members are ids, scores are negated totals: equal scores are ordered by the ids' bytes, as on the boards. A score is a
double, exact below 2^53. Totals from there on are kept in a hash as well: they are few, they come before all others,
and their order is computed from the exact totals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, cast

import orjson
import valkey
from valkey.exceptions import WatchError

from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.clients.valkey import sentences

EXACT_BELOW: Final = 2**53
KEPT_SECONDS: Final = 7 * 24 * 3600
"""A set that nobody loads any more goes away by itself: its topic was deleted."""
BATCH: Final = 5_000


@dataclass(frozen=True)
class SetKeys:
    """Names of the keys of one topic's set; the braces keep them in one slot of a cluster."""

    topic_id: TopicId

    @property
    def ranks(self) -> str:
        """The sorted set."""
        return f"gamestream:ranks:{{{self.topic_id}}}:set"

    @property
    def beyond(self) -> str:
        """Exact totals from 2^53 on, by id."""
        return f"gamestream:ranks:{{{self.topic_id}}}:beyond"

    @property
    def state(self) -> str:
        """The set's `SetState`."""
        return f"gamestream:ranks:{{{self.topic_id}}}:state"

    @property
    def hold(self) -> str:
        """While it is there, the loader changes nothing: a proof reads the set."""
        return f"gamestream:ranks:{{{self.topic_id}}}:hold"

    @property
    def proof(self) -> str:
        """The verdict of the last proof of the set, a `SetProof`."""
        return f"gamestream:ranks:{{{self.topic_id}}}:proof"

    @property
    def read(self) -> list[str]:
        """What an answer is read from."""
        return [self.ranks, self.beyond, self.state, self.proof]

    @property
    def all(self) -> tuple[str, str, str, str]:
        """What the set consists of, and what was said of it."""
        return self.ranks, self.beyond, self.state, self.proof


@dataclass(frozen=True)
class SetState:
    """Where a set stands."""

    position: Mapping[int, int] = field(default_factory=dict[int, int])
    """Next offset of the topic of totals, by partition."""
    complete: bool = False
    """It was loaded to the end of the topic once: until then ranks are not those of everybody."""
    topic: str = ""
    """Topic of the events."""
    topic_id: TopicId | None = None
    low: Mapping[int, int] | None = None
    """Every event before it is in the totals; None: unknown."""
    high: Mapping[int, int] | None = None
    """No event from it on is."""
    reason: str = ""
    """Why the cut is unknown."""
    loaded_ms: int = 0
    """When it was last seen to be up to date, epoch milliseconds."""

    def packed(self) -> bytes:
        """For Valkey."""
        return orjson.dumps(
            {
                "position": _keys(self.position),
                "complete": self.complete,
                "topic": self.topic,
                "topic_id": self.topic_id,
                "low": _keys(self.low),
                "high": _keys(self.high),
                "reason": self.reason,
                "loaded_ms": self.loaded_ms,
            }
        )

    @classmethod
    def unpacked(cls, data: bytes | None) -> SetState:
        """From Valkey; what cannot be read is no state, so that the set is loaded anew."""
        try:
            found: Any = orjson.loads(data or b"")
            return cls(
                _cut(found["position"]) or {}, bool(found["complete"]), str(found["topic"]), found["topic_id"],
                _cut(found["low"]), _cut(found["high"]), str(found["reason"]), int(found["loaded_ms"]),
            )  # fmt: skip
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            return cls()


def _keys(cut: Mapping[int, int] | None) -> dict[str, int] | None:
    return None if cut is None else {str(partition): offset for partition, offset in cut.items()}


def _cut(found: Any) -> dict[int, int] | None:
    return None if found is None else {int(partition): int(offset) for partition, offset in found.items()}


@dataclass(frozen=True)
class SetProof:
    """What `gamestream ranks verify` found."""

    run: str
    verdict: str
    reason: str
    finished_ms: int
    """Epoch milliseconds."""
    players: int
    """Compared."""

    def packed(self) -> bytes:
        """For Valkey."""
        return orjson.dumps(asdict(self))

    @classmethod
    def unpacked(cls, data: bytes | None) -> SetProof | None:
        """From Valkey; None where there is none."""
        try:
            found: Any = orjson.loads(data or b"")
            numbers = int(found["finished_ms"]), int(found["players"])
            return cls(str(found["run"]), str(found["verdict"]), str(found["reason"]), *numbers)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return None


def _state(reply: Any) -> SetState:
    return SetState.unpacked(reply if isinstance(reply, bytes) else None)


class SetChangedError(TransientServiceError):
    """The set is not as this loader left it."""

    def __init__(self) -> None:
        super().__init__("Valkey", "the ranks are not as the loader left them", "they are opened anew by themselves")


class RankStore:
    """Writes the set of one topic. Every method raises `ServiceError` where Valkey does not answer.

    Args:
        client: of Valkey.
        keys: of the topic.
        where: the address, for messages.
    """

    def __init__(self, client: valkey.Valkey, keys: SetKeys, where: str) -> None:
        self._client = client
        self._keys = keys
        self._where = where

    def state(self) -> SetState:
        """Where the set stands; that of an empty one where there is none, or a part of it is gone."""
        with sentences(self._where):
            data, ranks = self._client.get(self._keys.state), self._client.exists(self._keys.ranks)
        state = _state(data)
        # Valkey drops an empty set: only one that was never filled may be missing
        return state if ranks or not any(state.position.values()) else SetState()

    def players(self) -> int:
        """How many players have a rank."""
        with sentences(self._where):
            return int(cast("Any", self._client.zcard(self._keys.ranks)))

    def clear(self) -> None:
        """Forget the set."""
        with sentences(self._where):
            self._client.delete(*self._keys.all)

    def held(self) -> bool:
        """Whether a proof reads the set at the moment."""
        with sentences(self._where):
            return bool(self._client.exists(self._keys.hold))

    def apply(self, totals: Mapping[str, int | None], before: SetState, state: SetState) -> None:
        """Change totals (None: the player is gone) and state, all or nothing.

        Args:
            totals: by player.
            before: the state that the set must have: a server that came back empty, or a second loader, changed it.
            state: from now on.

        Raises:
            SetChangedError: the set has another state.
        """
        keys = self._keys
        gone = [user for user, total in totals.items() if total is None]
        there = {user: -total for user, total in totals.items() if total is not None}
        beyond = {user: total for user, total in totals.items() if total is not None and total >= EXACT_BELOW}
        within = [user for user in totals if user not in beyond]
        with sentences(self._where), self._client.pipeline(transaction=True) as batch:
            batch.watch(keys.state)
            if _state(batch.get(keys.state)) != before:
                raise SetChangedError
            batch.multi()
            if there:
                batch.zadd(keys.ranks, there)
            if gone:
                batch.zrem(keys.ranks, *gone)
            if within:
                batch.hdel(keys.beyond, *within)
            if beyond:
                batch.hset(keys.beyond, mapping=beyond)
            batch.set(keys.state, state.packed())
            for name in keys.all:
                batch.expire(name, KEPT_SECONDS)
            try:
                batch.execute()
            except WatchError:
                raise SetChangedError from None
