"""Durations as the catalogue's files write them: `5s`, `12m`, `7d`."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"^(\d{1,9})(ms|s|m|h|d)$")


def _duration_ms(text: Any) -> Any:
    match = _DURATION.match(str(text))
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write a whole number with ms, s, m, h or d, such as 7d")
    return int(match[1]) * _UNIT_MS[match[2]]


DurationMs = Annotated[int, BeforeValidator(_duration_ms)]
"""Milliseconds, read from a text such as `7d`."""
