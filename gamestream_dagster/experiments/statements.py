"""The SQL files of the experiments."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).with_name("sql")


@cache
def statement(name: str) -> str:
    """The statement in `sql/<name>.sql`; values are its parameters, nothing is put into the text."""
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
