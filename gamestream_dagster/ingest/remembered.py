"""The events of the last minutes with their receipts, in bounded memory."""

from __future__ import annotations

import struct
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

HORIZON_SECONDS: Final = 720.0
"""12 minutes: that of the stream's own duplicates."""
_PACKED: Final = struct.Struct("<Iq8sd")  # one object for each event


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where Kafka stored an event."""

    partition: int
    offset: int


def identity(app: str, user_id: str, event_id: str) -> bytes:
    """What makes two records of one app the same event; 16 bytes."""
    digest = blake2b(digest_size=16)
    for part in (app, user_id, event_id):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(4, "little") + encoded)
    return digest.digest()


class Remembered:
    """Receipts by event. The oldest go first when there are more than `most`, and after the horizon.

    Args:
        most: events to keep.
        clock: seconds.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        # in the order of their delivery; a plain dict would search for its first item past all that were deleted
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, event: bytes) -> tuple[Receipt, bytes] | None:
        """Receipt and content of an event that was delivered within the horizon."""
        packed = self._kept.get(event)
        if packed is None:
            return None
        partition, offset, digest, until = _PACKED.unpack(packed)
        return (Receipt(partition, offset), digest) if until > self._clock() else None

    def add(self, event: bytes, receipt: Receipt, digest: bytes) -> None:
        """Remember a delivered event."""
        now = self._clock()
        self._kept.pop(event, None)
        self._kept[event] = _PACKED.pack(receipt.partition, receipt.offset, digest, now + HORIZON_SECONDS)
        while self._kept:
            first = next(iter(self._kept))
            if len(self._kept) <= self._most and _PACKED.unpack(self._kept[first])[3] > now:
                return
            self._kept.popitem(last=False)
