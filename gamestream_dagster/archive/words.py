"""The texts of a JSON value and the words of a text, among which ids of players are looked for. Loads nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

_APART: Final = str.maketrans(dict.fromkeys("\"'`,;{}[]()<>", " "))


def strings_of(value: Any) -> Iterator[str]:
    """Every text in a JSON value, at any depth; the keys of objects are not players."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def words_of(text: str) -> Iterator[str]:
    """The parts of a text between spaces and quotes, also without the punctuation around them."""
    for part in text.translate(_APART).split():
        yield part
        bare = part.strip("'\"`.,:;!?()[]{}<>")
        if bare != part:
            yield bare
