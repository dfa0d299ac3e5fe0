"""Which dead letters are meant: by reason, type, field, id, player and time. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gamestream_dagster.dead_letters.errors import DeadLetterError
from gamestream_dagster.dead_letters.letter import DeadLetter, Position
from gamestream_dagster.events.game_outcome import GameReason

NO_TYPE = "unknown"
"""In a filter: letters whose event type could not be read."""


@dataclass(frozen=True)
class Selection:
    """Conditions that all must hold; an empty one always holds.

    Times are those at which Kafka took the refused record, milliseconds since 1970: `since` inclusive, `until` not.
    """

    reasons: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    field: str | None = None
    places: frozenset[Position] = frozenset()
    event_id: str | None = None
    user_id: str | None = None
    since: int | None = None
    until: int | None = None

    def matches(self, letter: DeadLetter) -> bool:
        """Whether the letter is meant."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.types or (letter.event_type or NO_TYPE) in self.types)
            and (not self.places or letter.place in self.places)
            and self.field in {None, letter.field}
            and self.event_id in {None, letter.event_id}
            and self.user_id in {None, letter.user_id}
            and (self.since is None or letter.source_time >= self.since)
            and (self.until is None or letter.source_time < self.until)
        )


def known_reasons(given: list[str]) -> frozenset[str]:
    """Reasons as people write them, in any case.

    Raises:
        DeadLetterError: there is no such reason.
    """
    known = {reason.value for reason in GameReason}
    found = frozenset(one.upper() for one in given)
    if unknown := sorted(found - known):
        raise DeadLetterError(f"{unknown[0]!r} is no reason", f"the reasons are {', '.join(GameReason)}")
    return found
