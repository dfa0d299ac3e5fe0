"""The catalogue's rule for game events, as the door asks it: there is no second one here."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from gamestream_dagster.catalogue.game_schemas import json_schemas
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameRefused
from gamestream_dagster.ingest.door import Judged

_LATE: Final = "The event is more than 10 minutes old: it goes to the late topic and counts in settled numbers alone."
_UNKNOWN: Final = "The event has fields that the catalogue does not know; GET /v1/schemas has those that it knows."


class GameRule:
    """Judges events as if Kafka took them at this moment."""

    def __init__(self) -> None:
        self._judge = GameEventJudge()

    def judge(self, value: bytes, kafka_timestamp_ms: int) -> Judged:
        """What becomes of an event that reaches Kafka at this time."""
        found = self._judge.judge(value, kafka_timestamp_ms)
        if isinstance(found, GameRefused):
            return Judged(reason=found.reason.value, sentence=_sentence(found))
        note, sentence = (found.remark.value, _UNKNOWN) if found.remark else (None, "")
        if found.late:
            note, sentence = "LATE", _LATE
        return Judged(found.event_id, found.user_id, found.digest, note=note, sentence=sentence)


def _sentence(refused: GameRefused) -> str:
    """The detail as a sentence; a field keeps its name."""
    named = refused.field is not None and refused.detail.startswith(refused.field)
    return f"{refused.detail if named else refused.detail[:1].upper() + refused.detail[1:]}."


@cache
def event_schemas() -> dict[str, Any]:
    """JSON Schema of a whole event, by event type."""
    return {"event_types": json_schemas()}
