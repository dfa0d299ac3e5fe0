"""The refused lines of a backfill: a JSON object for each, with its bytes, to be mended and given again."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson


class RefusedLine(NamedTuple):
    """A line of the file that is not archived."""

    line: int
    reason: str
    field: str | None
    detail: str


class RefusedLines:
    """The file, made for the first line. Use as a context manager.

    Args:
        path: where.
        on_refused: receives each line too.
    """

    def __init__(self, path: Path, on_refused: Callable[[RefusedLine], None]) -> None:
        self._path = path
        self._on_refused = on_refused
        self._file: Any = None

    @property
    def written(self) -> Path | None:
        """The file; None where nothing was refused."""
        return self._path if self._file is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, refused: RefusedLine, value: bytes | None) -> None:
        """Keep a line.

        Args:
            refused: what is wrong.
            value: its bytes; None where they hold an address and are not kept.
        """
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("wb")
        entry: dict[str, Any] = refused._asdict()
        if value is not None:
            try:
                entry["event"] = value.decode("utf-8")
            except UnicodeDecodeError:
                entry["base64"] = base64.b64encode(value).decode()
        self._file.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
        self._on_refused(refused)
