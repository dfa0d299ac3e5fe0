"""Dirt in a simulated stream: copies of events, and events that must be refused, each kind in turn."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import orjson

from gamestream_dagster.events.game_outcome import GameReason
from gamestream_dagster.events.lives.options import LivesOptions

_KEPT: Final = 1_000
"""Events that a copy can be of: it comes so many events later at most."""

Fields = dict[str, Any]
Spoil = Callable[[Fields], bytes]


def _with(**changes: Any) -> Spoil:
    return lambda fields: orjson.dumps(fields | changes)


def _properties(**changes: Any) -> Spoil:
    return lambda fields: orjson.dumps(fields | {"properties": fields["properties"] | changes})


SPOILT: Final[tuple[tuple[GameReason, Spoil], ...]] = (
    (GameReason.NOT_JSON, lambda fields: orjson.dumps(fields)[:-1]),
    (GameReason.MISSING_FIELD, _with(user_id=None)),
    (GameReason.WRONG_TYPE, _with(session_id=7)),
    (GameReason.BAD_TIMESTAMP, _with(event_time="2026-01-31T12:00:00")),
    (GameReason.FUTURE_TIMESTAMP, _with(event_time="2100-01-01T00:00:00Z")),
    (GameReason.UNKNOWN_EVENT_TYPE, _with(event_type="level_skipped")),
    (GameReason.OUT_OF_RANGE, _with(platform="amiga")),
    (GameReason.TOO_LARGE, _with(app_version="x" * 101)),
    (GameReason.BAD_TEXT, _properties(note="nul\0inside")),
    (GameReason.NOT_UTF8, lambda fields: orjson.dumps(fields).replace(b'{"', b'{"\xff', 1)),
    (GameReason.NOT_AN_OBJECT, lambda fields: orjson.dumps([fields["event_id"]])),
    # the event itself is in the history: this one has its id and other content
    (GameReason.DUP_CONFLICT, _with(app_version="0.0.0")),
)


class Dirt:
    """Adds copies and spoilt events behind the events that they are made of; no event is lost.

    Args:
        options: `dup` and `bad`, per cent of the clean events.
    """

    def __init__(self, options: LivesOptions) -> None:
        self._rng = random.Random(f"dirt:{options.seed}")  # noqa: S311 - a simulation, not a secret
        self._dup, self._bad = options.dup / 100, options.bad / 100
        self.copies = 0
        self.refused: Counter[str] = Counter()

    def __call__(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """The lines, with dirt among them."""
        if not self._dup and not self._bad:
            yield from lines
            return
        seen: list[bytes] = []
        for line in lines:
            yield line
            if len(seen) < _KEPT:
                seen.append(line)
            else:
                seen[self._rng.randrange(_KEPT)] = line
            chance = self._rng.random()
            if chance < self._dup:
                self.copies += 1
                yield self._rng.choice(seen)
            elif chance < self._dup + self._bad:
                yield self._spoilt(line)

    def _spoilt(self, line: bytes) -> bytes:
        reason, spoil = SPOILT[self.refused.total() % len(SPOILT)]
        self.refused[reason.value] += 1
        return spoil(orjson.loads(line))

    @property
    def told(self) -> dict[str, Any]:
        """What was added, for the truth."""
        return {"copies": self.copies, "refused": dict(sorted(self.refused.items()))}
