"""The archives of every stream, of the history of backfilled events, and archives that were set aside."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gamestream_dagster.archive.erased_counts import counts_kept
from gamestream_dagster.archive.erasing import (
    KEPT,
    Emptied,
    count_rows,
    erase_from_archive,
    matching,
    rewrite_in_place,
)
from gamestream_dagster.archive.id_index import index_folder
from gamestream_dagster.archive.manifest_file import MANIFEST, load_manifest
from gamestream_dagster.catalogue.sources import stack_sources
from gamestream_dagster.privacy.player import Player
from gamestream_dagster.privacy.stores.model import Found, Rows, Say
from gamestream_dagster.settings import Settings

SET_ASIDE = "_set-aside"


class Archives:
    """Parquet files under `<home>/archive`.

    Args:
        settings: the stack.
    """

    name = "archives"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def scan(self, player: Player) -> list[Found]:
        """Rows by topic, over all chapters."""
        counted = [(name, sum(count_rows(path, player) for path in paths)) for name, paths in self._files()]
        return [Found(f"archive of {name}", rows) for name, rows in counted if rows]

    def export(self, player: Player) -> Iterator[tuple[str, Rows]]:
        """The rows of which the player is the subject; what others say of the player is theirs."""
        for name, paths in self._files():
            yield f"archive/{name}", (row for path in paths for row in _own_rows(path, player))

    def erase(self, player: Player, request: int, say: Say) -> int:
        """Empty the rows, and drop the index of the ids of their events."""
        emptied = 0
        sources = stack_sources(self._settings)
        for topic_dir in self._archives():
            source = sources.get(topic_dir.name)
            kept = None if source is None else counts_kept(self._settings, source, player.key, begin=True)
            done = erase_from_archive(topic_dir, player, request, kept=kept)
            emptied += done.rows
            if done != Emptied():
                shutil.rmtree(index_folder(self._settings, topic_dir.name), ignore_errors=True)
                say(f"archive of {topic_dir.name}: {done.rows} rows in {done.files} files emptied")
        for path in self._set_aside():
            emptied += rewrite_in_place(path, player, request)
        return emptied

    def _files(self) -> Iterator[tuple[str, list[Path]]]:
        for topic_dir in self._archives():
            manifest = load_manifest(topic_dir)
            files = [topic_dir / file.path for chapter in manifest.chapters for file in chapter.files]
            # a file that the manifest does not name is no less readable for whoever looks for the player
            named = set(files)
            files += [path for path in sorted(topic_dir.rglob("*.parquet")) if path not in named]
            yield topic_dir.name, files
        if aside := self._set_aside():
            yield SET_ASIDE, aside

    def _archives(self) -> list[Path]:
        folder = self._settings.archive_dir
        return sorted(path.parent for path in folder.glob(f"*/{MANIFEST}") if path.parent.name != SET_ASIDE)

    def _set_aside(self) -> list[Path]:
        return sorted((self._settings.archive_dir / SET_ASIDE).rglob("*.parquet"))


def _own_rows(path: Path, player: Player) -> Rows:
    for batch in matching(path, player):
        for row in batch:
            if player(row.get("user_id")) or row.get("user_id") is None:
                yield _readable(row)


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    """Bytes as text; without what only the proofs need."""
    left_out = KEPT - {"topic", "partition", "offset", "kafka_timestamp"}
    return {
        name: value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
        for name, value in row.items()
        if value is not None and name not in left_out
    }
