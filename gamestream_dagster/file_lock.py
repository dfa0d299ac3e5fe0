"""Locks between processes: an open file that one of them has for itself."""

from __future__ import annotations

import fcntl
import time
from typing import IO, Any

_POLL_SECONDS = 0.1


def lock_within(file: IO[Any], seconds: float) -> bool:
    """Lock an open file until it is closed; False if another process held it for so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        else:
            return True
