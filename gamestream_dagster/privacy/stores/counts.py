"""What erased records gave to counts of several players, kept without the player until no row shows it any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gamestream_dagster.archive.erased_counts import count_files, counted_topics, counts_dir, rows_about
from gamestream_dagster.catalogue.sources import Source, stack_sources
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.privacy.player import Player
from gamestream_dagster.privacy.stores.model import Found, Rows, Say
from gamestream_dagster.reconciliation.observe.erased_counts import forget_counts
from gamestream_dagster.settings import Settings

_STATE: Final = "a job's state still holds these numbers; start it from nothing, then run the erase again"
_DAY_MS: Final = 86_400_000


class ErasedCounts:
    """Files under `<home>/privacy/counted`; of a player they hold the keyed hash.

    Args:
        settings: the stack.
    """

    name = "counts"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def scan(self, player: Player) -> list[Found]:
        """Records by topic, and when the rows that show them are gone."""
        found: list[Found] = []
        for source in self._sources():
            kept = counted_topics([source]).get(source.topic)
            files = [
                (path.stat().st_mtime, rows)
                for path in count_files(counts_dir(self._settings) / source.topic)
                if (rows := rows_about(path, player.subject))
            ]
            if not files:
                continue
            place, rows = f"counts of {source.topic}", sum(rows for _, rows in files)
            if kept is None:
                found.append(Found(place, rows, why_left=_STATE))
            else:  # the archive run after that deletes them
                newest = max(written for written, _ in files)
                found.append(Found(place, rows, int((newest + kept.total_seconds()) * 1000) + _DAY_MS))
        return found

    def export(self, player: Player) -> Iterator[tuple[str, Rows]]:
        """Nothing: they are kept of erased players alone."""
        yield from ()

    def erase(self, player: Player, request: int, say: Say) -> int:
        """Delete what no row shows any more, of whichever player."""
        with open_engine(self._settings) as engine:
            files = sum(forget_counts(self._settings, engine, source) for source in self._sources())
        if files:
            say(f"counts of erased records: {files} files that no row shows any more deleted")
        return files

    def _sources(self) -> list[Source]:
        folder = counts_dir(self._settings)
        return [source for topic, source in stack_sources(self._settings).items() if (folder / topic).is_dir()]
