"""Files that commands leave: reports, refused lines, temporary files. Logs are searched and never changed."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gamestream_dagster.privacy.player import Player
from gamestream_dagster.privacy.stores.model import Found, Rows, Say
from gamestream_dagster.settings import Settings

_LINE_BYTES: Final = 1 << 20
_LOGS: Final = "a server may be writing it: stop the stack, delete the file, then run the erase again"


class LeftFiles:
    """Folders of the home that can hold a player in plain text.

    Args:
        settings: the stack.
    """

    name = "files"

    def __init__(self, settings: Settings) -> None:
        home = settings.home
        self._deleted = {"reports": settings.reports_dir, "rejects": home / "rejects", "tmp": home / "tmp"}
        self._logs = {"logs": home / "logs", "compute logs": home / "dagster" / "compute_logs"}

    def scan(self, player: Player) -> list[Found]:
        """Files by folder."""
        found = [Found(name, count) for name, folder in self._deleted.items() if (count := _count(folder, player))]
        logs = [(name, _count(folder, player)) for name, folder in self._logs.items()]
        return found + [Found(name, count, why_left=_LOGS) for name, count in logs if count]

    def export(self, player: Player) -> Iterator[tuple[str, Rows]]:
        """Nothing: reports repeat what the boards hold, and are about others as well."""
        yield from ()

    def erase(self, player: Player, request: int, say: Say) -> int:
        """Delete the files; commands write new ones."""
        removed = 0
        for name, folder in self._deleted.items():
            for path in list(_holding(folder, player)):
                path.unlink(missing_ok=True)
                removed += 1
            if removed:
                say(f"{name}: files deleted")
        return removed


def _count(folder: Path, player: Player) -> int:
    return sum(1 for _ in _holding(folder, player))


def _holding(folder: Path, player: Player) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file() and path.suffix not in {".parquet", ".png"} and _names(path, player):
            yield path


def _names(path: Path, player: Player) -> bool:
    try:
        with path.open("rb") as file:
            while line := file.readline(_LINE_BYTES):
                text = html.unescape(line.decode("utf-8", "replace"))
                if player.in_text(text):
                    return True
    except FileNotFoundError:
        return False
    return False
