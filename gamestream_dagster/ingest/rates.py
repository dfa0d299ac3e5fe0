"""Limits on how fast requests and events come, and on how many bodies are in memory at once."""

from __future__ import annotations

import ipaddress
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from limits import RateLimitItem, parse
from limits.aio.storage import Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import ConfigurationError, StorageError
from limits.storage import storage_from_string

from gamestream_dagster.errors import SettingsError
from gamestream_dagster.ingest.errors import RequestRefusedError, unavailable
from gamestream_dagster.ingest_settings import IngestSettings

MOST_BODIES: Final = 128
"""Requests whose bodies are read or processed at once: at most 2 MiB each."""
MOST_BODIES_OF_A_KEY: Final = 32
STORAGE_SECONDS: Final = 0.5
"""Longest wait for an answer of a Valkey that servers share."""
AWAY_SECONDS: Final = 5.0
"""How long a storage that did not answer is not asked again: a hanging one must not slow every request."""
_IPV6_SITE: Final = 64

log = logging.getLogger(__name__)


class Rates:
    """Counts requests and events against the limits of the settings.

    Where a shared storage does not answer, nothing is limited: losing a limit for a while is better than losing events.

    Args:
        settings: the limits, and where they are counted.
        clock: seconds.

    Raises:
        SettingsError: the storage cannot be used.
    """

    def __init__(self, settings: IngestSettings, clock: Callable[[], float] = time.monotonic) -> None:
        place = settings.ingest_limits_storage
        limits = {"socket_timeout": STORAGE_SECONDS, "socket_connect_timeout": STORAGE_SECONDS}
        try:
            storage = storage_from_string(
                place, wrap_exceptions=True, **(limits if place.startswith("async+valkey") else {})
            )
        except (ConfigurationError, ValueError) as error:
            raise SettingsError(
                f"Setting 'ingest_limits_storage' cannot be used: {error} Install the client of that storage, or leave "
                "the setting out for a single server."
            ) from error
        if not isinstance(storage, Storage):
            raise SettingsError("Setting 'ingest_limits_storage' must begin with async+, such as async+memory://.")
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._clock = clock
        self._away_until = 0.0
        self._address = parse(settings.ingest_rate_per_address)
        self._key = parse(settings.ingest_rate_per_key)
        self._events = parse(settings.ingest_events_per_key)

    async def request_from(self, address: str) -> None:
        """Count a request of an address. Raises RequestRefusedError (429) over the limit."""
        await self._hit(self._address, "address", site_of(address), 1, "requests from this address")

    async def request_with(self, key_id: str) -> None:
        """Count a request with a key. Raises RequestRefusedError (429) over the limit."""
        await self._hit(self._key, "key", key_id, 1, "requests with this key")

    async def events_with(self, key_id: str, count: int) -> None:
        """Count the events of a batch. Raises RequestRefusedError (429) where the batch is over the limit."""
        if count:
            # a batch that alone is over the limit passes when nothing else came
            await self._hit(self._events, "events", key_id, min(count, self._events.amount), "events with this key")

    async def _hit(self, limit: RateLimitItem, kind: str, who: str, cost: int, what: str) -> None:
        if self._clock() < self._away_until:
            return
        try:
            if await self._limiter.hit(limit, kind, who, cost=cost):
                return
            reset = (await self._limiter.get_window_stats(limit, kind, who)).reset_time
        except StorageError as error:
            self._away_until = self._clock() + AWAY_SECONDS
            log.warning("rates are not limited: the storage does not answer (%s)", type(error.storage_error).__name__)
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
