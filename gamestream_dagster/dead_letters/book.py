"""The book of replays: one record for each letter that was replayed, in the compacted topic `game-events-replays`.

A replayed event and its entry are written in one Kafka transaction, so there is never one without the other. The entry
says where the event went: if it is refused again, its new letter is found by that position and its attempt is known.
Pure; `transaction` writes it, `reading` reads it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gamestream_dagster.dead_letters.errors import DeadLetterError
from gamestream_dagster.dead_letters.letter import DeadLetter, Position

MAX_ATTEMPTS: Final = 3
_IDENTITY_CHARACTERS: Final = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """One replay. `attempt` counts from 1; `replayed_at` is milliseconds since 1970."""

    letter: str
    """The letter's key."""
    event_id: str
    identity: str
    target: Position
    """Where the replayed event is in the raw topic."""
    attempt: int
    replayed_at: int

    def value(self) -> bytes:
        """The record's value."""
        target = {"target_partition": self.target.partition, "target_offset": self.target.offset}
        rest = {"attempt": self.attempt, "replayed_at_millis": self.replayed_at}
        return orjson.dumps({"event_id": self.event_id, "identity": self.identity, **target, **rest})


def entry_of(key: bytes | None, value: bytes | None) -> Entry:
    """Decode a record of the book.

    Raises:
        DeadLetterError: it is no entry. Replaying without knowing what was replayed could count events twice.
    """
    try:
        found: dict[str, Any] = orjson.loads(value or b"")
        target = Position(int(found["target_partition"]), int(found["target_offset"]))
        texts = str(found["event_id"]), str(found["identity"])
        return Entry((key or b"").decode(), *texts, target, int(found["attempt"]), int(found["replayed_at_millis"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DeadLetterError(
            "A record of game-events-replays is no entry of a replay",
            "see it with `gamestream topic tail game-events-replays`; nothing is replayed until it is removed",
        ) from error


def identity_of(user_id: str | None, event_id: str) -> str:
    """What the stream takes for one event: player and id, as a digest that names neither."""
    text = orjson.dumps([user_id, event_id])
    return hashlib.sha256(text).hexdigest()[:_IDENTITY_CHARACTERS]


@dataclass(frozen=True)
class Page:
    """The entries that matter for some letters."""

    replayed: dict[str, Entry]
    """By the letter's key."""
    attempts: dict[Position, dict[str, int]]
    """Attempt of replayed events, by their position and their id."""
    identities: dict[str, Entry]
    """Events that were replayed, by identity."""

    def attempt_of(self, letter: DeadLetter) -> int:
        """How often the letter's event had been replayed when it was refused; 0: it came from a sender."""
        # the id tells events apart that had one position, before and after the topic was created again
        found = self.attempts.get(letter.source, {})
        return max(found.values(), default=0) if letter.event_id is None else found.get(letter.event_id, 0)


def page_for(entries: Iterable[Entry], letters: Iterable[DeadLetter], identities: Set[str]) -> Page:
    """Pick the entries about some letters. Holds only these in memory."""
    keys: set[str] = set()
    sources: set[Position] = set()
    for letter in letters:
        keys.add(letter.key)
        sources.add(letter.source)
    page = Page({}, {}, {})
    for entry in entries:
        if entry.letter in keys:
            page.replayed[entry.letter] = entry
        if entry.target in sources:
            known_here = page.attempts.setdefault(entry.target, {})
            known_here[entry.event_id] = max(entry.attempt, known_here.get(entry.event_id, 0))
        known = page.identities.get(entry.identity)
        if entry.identity in identities and (known is None or entry.attempt >= known.attempt):
            page.identities[entry.identity] = entry
    return page
