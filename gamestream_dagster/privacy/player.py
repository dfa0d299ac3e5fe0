"""The player that an export or an erasure is about: by id, or, once erased, by keyed hash alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gamestream_dagster.archive.words import strings_of, words_of
from gamestream_dagster.events.suppression import hash_of, stack_key
from gamestream_dagster.privacy.errors import PrivacyError
from gamestream_dagster.settings import Settings

MOST_CHARACTERS = 200
"""Of an id, as everywhere in the catalogue."""


@dataclass(frozen=True)
class Player:
    """Whom a search is for. No text form shows the id or the key."""

    key: str = field(repr=False)
    subject: str
    """The keyed hash."""
    user_id: str | None = field(default=None, repr=False)
    """None: the player was erased, and is recognized by the hash."""

    def __call__(self, user_id: str | None, /) -> bool:
        """Whether an id is the player's."""
        if user_id is None:
            return False
        if self.user_id is not None:
            return user_id == self.user_id
        return len(user_id) <= MOST_CHARACTERS and hash_of(self.key, user_id) == self.subject

    def in_text(self, text: str | None) -> bool:
        """Whether a text is the id, or names it as a word."""
        if not text:
            return False
        if self(text):
            return True
        if self.user_id is not None and self.user_id not in text:
            return False
        return self.of_several_words or any(self(word) for word in words_of(text))

    def in_json(self, value: Any) -> bool:
        """Whether a text in a JSON value names the player."""
        return any(self.in_text(one) for one in strings_of(value))

    @cached_property
    def of_several_words(self) -> bool:
        """No word of a text can equal such an id: wherever its characters stand it is meant."""
        return self.user_id is not None and list(words_of(self.user_id)) != [self.user_id]


def player_of(settings: Settings, user_id: str) -> Player:
    """The player of an id.

    Raises:
        PrivacyError: no id can be so.
    """
    if not user_id or len(user_id) > MOST_CHARACTERS or "\0" in user_id:
        raise PrivacyError(
            f"A player's id has 1 to {MOST_CHARACTERS} characters and no NUL", "give the id as the game sends it"
        )
    key = stack_key(settings)
    return Player(key, hash_of(key, user_id), user_id)


def player_of_subject(settings: Settings, subject: str) -> Player:
    """The player of a keyed hash."""
    return Player(stack_key(settings), subject)
