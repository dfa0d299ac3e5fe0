"""The catalogue's rule for game events, as the door asks it."""

from __future__ import annotations

from typing import Any, Final

from gamestream_dagster.ingest.door import Judged

RAW_TOPIC: Final = "game-events-raw"


class GameRule:
    """Placeholder until the catalogue lands."""

    def judge(self, value: bytes, kafka_timestamp_ms: int) -> Judged:
        """See Rule."""
        raise NotImplementedError


def event_schemas() -> dict[str, dict[str, Any]]:
    """See Parts."""
    raise NotImplementedError
