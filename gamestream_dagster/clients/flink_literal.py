"""The only way in which values enter a Flink SQL text, and in which secrets are removed from one."""

from __future__ import annotations

from collections.abc import Iterable

MASK = "***"


def literal(value: str) -> str:
    """`value` as a Flink SQL string literal, quotes included.

    Raises:
        ValueError: the value holds a NUL or a line break, which no address, name or password needs.
    """
    if any(character in value for character in "\0\n\r"):
        raise ValueError("a value for SQL must not hold a NUL or a line break")
    return "'" + value.replace("'", "''") + "'"


def masked(text: str, secrets: Iterable[str]) -> str:
    """`text` with every secret, also in its quoted form, replaced by `***`."""
    for secret in sorted({s for s in secrets if s}, key=len, reverse=True):
        text = text.replace(secret.replace("'", "''"), MASK).replace(secret, MASK)
    return text
