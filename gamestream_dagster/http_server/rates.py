"""Limits on how fast requests and events come, and on how many bodies are in memory at once."""

from __future__ import annotations

import ipaddress
import logging
import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from limits import RateLimitItem, parse
from limits.aio.storage import Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import ConfigurationError, StorageError
from limits.storage import storage_from_string

from gamestream_dagster.errors import SettingsError
from gamestream_dagster.http_server.errors import RequestRefusedError, unavailable

MOST_BODIES: Final = 128
"""Requests whose bodies are read or processed at once: at most 2 MiB each."""
MOST_BODIES_OF_A_KEY: Final = 32
_IPV6_SITE: Final = 64

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """The limits of one server, from its settings."""

    server: str
    """Servers that share a storage count apart."""
    storage: str
    """An address of the `limits` library."""
    storage_setting: str
    """Name of the setting that holds it, for messages."""
    per_address: str
    per_key: str
    events_per_key: str = ""
    """Empty for a server that takes no events."""


class Rates:
    """Counts requests and events against the limits of a server.

    Where a shared storage does not answer, nothing is limited: losing a limit for a while is better than losing events.

    Raises:
        SettingsError: the storage cannot be used.
    """

    def __init__(self, limits: Limits) -> None:
        try:
            storage = storage_from_string(limits.storage, wrap_exceptions=True)
        except (ConfigurationError, ValueError) as error:
            raise SettingsError(
                f"Setting '{limits.storage_setting}' cannot be used: {error} Install the client of that storage, or "
                "leave the setting out for a single server."
            ) from error
        if not isinstance(storage, Storage):
            raise SettingsError(f"Setting '{limits.storage_setting}' must begin with async+, such as async+memory://.")
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._server = limits.server
        self._address = parse(limits.per_address)
        self._key = parse(limits.per_key)
        self._events = parse(limits.events_per_key) if limits.events_per_key else None

    async def request_from(self, address: str) -> None:
        """Count a request of an address. Raises RequestRefusedError (429) over the limit."""
        await self._hit(self._address, "address", site_of(address), 1, "requests from this address")

    async def request_with(self, key_id: str) -> None:
        """Count a request with a key. Raises RequestRefusedError (429) over the limit."""
        await self._hit(self._key, "key", key_id, 1, "requests with this key")

    async def events_with(self, key_id: str, count: int) -> None:
        """Count the events of a batch. Raises RequestRefusedError (429) where the batch is over the limit."""
        if count and self._events is not None:
            # a batch that alone is over the limit passes when nothing else came
            await self._hit(self._events, "events", key_id, min(count, self._events.amount), "events with this key")

    async def _hit(self, limit: RateLimitItem, kind: str, who: str, cost: int, what: str) -> None:
        counted = (self._server, kind, who)
        try:
            if await self._limiter.hit(limit, *counted, cost=cost):
                return
            reset = (await self._limiter.get_window_stats(limit, *counted)).reset_time
        except StorageError as error:
            log.warning("rates are not limited: the storage does not answer (%s)", type(error).__name__)
            return
        seconds = min(max(1, math.ceil(reset - time.time())), limit.get_expiry())
        raise RequestRefusedError(
            429, "RATE_LIMITED", f"The limit is {limit.amount:,} {what} per {limit.get_expiry()} s; send the request "
            f"again after {seconds} s.", retry_after=seconds,
        )  # fmt: skip


class Bodies:
    """Counts the requests whose bodies are in memory: a slow sender takes no place from others.

    Args:
        most: of all keys together.
        most_of_a_key: of one.
    """

    def __init__(self, most: int = MOST_BODIES, most_of_a_key: int = MOST_BODIES_OF_A_KEY) -> None:
        self._most = most
        self._most_of_a_key = most_of_a_key
        self._held: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """Requests at the moment."""
        return self._held.total()

    @contextmanager
    def one_of(self, key_id: str) -> Iterator[None]:
        """Hold a place. Raises RequestRefusedError: 429 over a key's share, 503 where all are taken."""
        if self._held[key_id] >= self._most_of_a_key:
            raise RequestRefusedError(
                429, "TOO_MANY_AT_ONCE", f"More than {self._most_of_a_key} requests with this key are under way; wait "
                "for their answers.", retry_after=1,
            )  # fmt: skip
        if self.held >= self._most:
            raise unavailable("BUSY", "Too many requests are under way; send this one again.", 1)
        self._held[key_id] += 1
        try:
            yield
        finally:
            self._held[key_id] -= 1
            if not self._held[key_id]:
                del self._held[key_id]


def site_of(address: str) -> str:
    """What is limited as one address: IPv6 senders usually have a whole /64; whatever is no address is one sender."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "other"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found), _IPV6_SITE), strict=False))
    return str(found)
