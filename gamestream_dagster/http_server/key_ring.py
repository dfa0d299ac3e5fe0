"""Checks the keys of requests, with look-ups that are remembered for seconds.

A revoked key is refused after `FRESH_SECONDS` at the latest. While Postgres is away, keys that were known stay known
for `STALE_SECONDS`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from cachetools import LRUCache

from gamestream_dagster.errors import GamestreamError
from gamestream_dagster.http_server.errors import RequestRefusedError, unauthorized, unavailable
from gamestream_dagster.http_server.keys import GivenKey, Scope, StoredKey, parse

FRESH_SECONDS: Final = 5.0
STALE_SECONDS: Final = 600.0
PAUSE_SECONDS: Final = 1.0
"""After a failed look-up Postgres is left alone for so long."""
WAIT_SECONDS: Final = 1.5
"""Longest wait for a look-up of a key that was known."""
_MOST: Final = 10_000
_THREADS: Final = 4
_NO_HASH: Final = "0" * 64


class FindKey(Protocol):
    """Where keys are looked up."""

    def find(self, key_id: str) -> StoredKey | None:
        """The key of an id; raises GamestreamError where it cannot be looked up."""
        ...


@dataclass(frozen=True, slots=True)
class _Entry:
    key: StoredKey | None
    at: float


class KeyRing:
    """The keys that requests give.

    Args:
        store: asked in a thread.
        clock: seconds.
    """

    def __init__(self, store: FindKey, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._known: LRUCache[str, _Entry] = LRUCache(_MOST)
        self._unknown: LRUCache[str, _Entry] = LRUCache(_MOST)  # of their own: guesses must not push keys out
        self._threads = ThreadPoolExecutor(_THREADS, "keys")  # a Postgres that hangs must hold up nothing else
        self._asking: dict[str, asyncio.Task[StoredKey | None]] = {}
        self._failed_at = float("-inf")

    async def check(self, token: str | None, scope: Scope) -> StoredKey:
        """The valid key of a token.

        Raises:
            RequestRefusedError: 401 without a valid key, 403 where it lacks the scope, 503 where Postgres is away and
                the key is not known.
        """
        if not token:
            raise unauthorized("KEY_MISSING", "The request has no key; send Authorization: Bearer KEY.")
        given = parse(token)
        if given is None:
            raise _unknown()
        key = await self._find(given.key_id)
        matches = _compare(key, given)  # for an unknown id, too: both take the same time
        if key is None or not matches or not key.is_valid(datetime.now(UTC)):
            raise _unknown()
        if scope not in key.scopes:
            message = f"The key lacks the scope {scope}; make one with `gamestream keys create --scope {scope}`."
            raise RequestRefusedError(403, "SCOPE_MISSING", message)
        return key

    async def _find(self, key_id: str) -> StoredKey | None:
        entry = self._known.get(key_id) or self._unknown.get(key_id)
        now = self._clock()
        if entry is not None and now - entry.at < (FRESH_SECONDS if entry.key else PAUSE_SECONDS):
            return entry.key
        stale = entry if entry is not None and entry.key and now - entry.at < STALE_SECONDS else None
        if now - self._failed_at >= PAUSE_SECONDS:
            try:
                return await asyncio.wait_for(asyncio.shield(self._ask(key_id)), WAIT_SECONDS if stale else None)
            except (GamestreamError, TimeoutError):
                self._failed_at = self._clock()
        if stale is None:
            raise unavailable("KEYS_UNAVAILABLE", "Keys cannot be checked at the moment; send the request again.")
        return stale.key

    def _ask(self, key_id: str) -> asyncio.Task[StoredKey | None]:
        """One look-up at a time for a key."""
        if key_id not in self._asking:
            task = asyncio.create_task(self._look_up(key_id))
            self._asking[key_id] = task
            task.add_done_callback(lambda done: self._end(key_id, done))
        return self._asking[key_id]

    async def _look_up(self, key_id: str) -> StoredKey | None:
        found = await asyncio.get_running_loop().run_in_executor(self._threads, self._store.find, key_id)
        kept, other = (self._known, self._unknown) if found else (self._unknown, self._known)
        kept[key_id] = _Entry(found, self._clock())
        other.pop(key_id, None)
        return found

    def _end(self, key_id: str, task: asyncio.Task[StoredKey | None]) -> None:
        self._asking.pop(key_id, None)
        if not task.cancelled():
            task.exception()  # the waiting requests have it; without one, asyncio would complain


def _compare(key: StoredKey | None, given: GivenKey) -> bool:
    reference = key or StoredKey("", "", frozenset(), _NO_HASH, signed=False, created_at=datetime.now(UTC))
    return reference.has_secret(given.secret)


def _unknown() -> RequestRefusedError:
    return unauthorized(
        "KEY_UNKNOWN", "The key is not known, has expired or was revoked; `gamestream keys list` shows the valid ones."
    )
