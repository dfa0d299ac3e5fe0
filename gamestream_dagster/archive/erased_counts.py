"""What the erased records of a topic gave to counts and sums of everybody, kept without the player.

An erase empties the archived records of a player. Rows that count several players, such as a minute or a team, still
hold what these records gave until they expire or their job starts from nothing. To prove such a row, the columns that
outputs count by are set aside in `<home>/privacy/counted/<topic>`: the player and the session are keyed hashes, and of
the record's content only the fields that are counted are there. `prune` deletes them once no row can hold them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from gamestream_dagster.catalogue.boards import Board, load_boards
from gamestream_dagster.catalogue.sources import Source, load_sources
from gamestream_dagster.events.suppression import hash_of
from gamestream_dagster.settings import Settings

pc: Any = pyarrow.compute  # it makes its functions when it is loaded

GAME_EVENTS_DAYS: Final = timedelta(days=4)
"""How long the records of game-events-raw are kept: live numbers are compared with settled ones for 3 days."""
SLACK: Final = timedelta(days=1)
"""Kept beyond the retention of the rows: old rows are deleted once a day."""
_PLACE: Final = ("partition", "offset", "item")
_ENVELOPE: Final = (*_PLACE, "kafka_timestamp", "event_time_millis", "event_type")
_HASHED: Final = ("user_id", "session_id", "event_id")
_LEFT_OUT: Final = frozenset({"raw_partition", "raw_offset", "digest"})
_IDENTITIES: Final = frozenset({"device_id"})  # no settled number is by them
_PATH: Final = re.compile(r"\$\.(\w+)")


def counts_dir(settings: Settings) -> Path:
    """One folder for each topic."""
    return settings.home / "privacy" / "counted"


def counted_topics(sources: Iterable[Source]) -> dict[str, timedelta | None]:
    """Topics with outputs that show numbers of several players; how long their rows stay, None: for ever."""
    found: dict[str, timedelta | None] = {}
    boards = load_boards(season=None).values()
    for source in sources:
        if source.game is not None:
            found[source.topic] = GAME_EVENTS_DAYS
            continue
        shown = [one for one in boards if source.topic in one.reads and _of_several(one)]
        if shown:
            kept = [one.retention for one in shown if one.retention is not None]
            found[source.topic] = timedelta(milliseconds=max(kept)) + SLACK if len(kept) == len(shown) else None
    return found


def _of_several(board: Board) -> bool:
    return board.proven and (board.ranked or "user_id" not in board.columns)


@dataclass
class CountsKept:
    """Takes records that are about to be emptied, and writes what they gave to counts.

    Args:
        folder: of the topic's counts.
        source: the stream.
        key: of the stack's hashes.
    """

    folder: Path
    source: Source
    key: str = field(repr=False)
    _waiting: list[pa.Table] = field(default_factory=list[pa.Table])

    def __call__(self, rows: pa.Table) -> None:
        """Keep what accepted archive rows count for."""
        accepted = rows.filter(pc.is_null(rows.column("reason")))
        if accepted.num_rows:
            self._waiting.append(without_player(accepted, self.source, self.key))

    def save(self, chapter: int, name: str) -> int:
        """Write what waits; durable when it returns. The same name again replaces the file.

        Returns:
            How many records.
        """
        if not self._waiting:
            return 0
        table = pa.concat_tables(self._waiting, promote_options="default")
        self._waiting.clear()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.folder / f"{chapter}-{name}.parquet"
        temporary = path.with_suffix(".new")
        with temporary.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        return table.num_rows


def counts_kept(settings: Settings, source: Source, key: str, *, begin: bool = False) -> CountsKept | None:
    """For a topic whose records are about to be emptied; None: no row would have to be proven by them.

    Args:
        settings: the stack.
        source: the stream.
        key: of the stack's hashes.
        begin: an erase begins. Otherwise states of jobs hold no erased record of a topic that keeps nothing.
    """
    topics, folder = counted_topics([source]), counts_dir(settings) / source.topic
    if source.topic not in topics:
        return None
    if begin:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    elif topics[source.topic] is None and not folder.is_dir():
        return None
    return CountsKept(folder, source, key)


def without_player(rows: pa.Table, source: Source, key: str) -> pa.Table:
    """Archive rows with the columns that outputs count by; player, session and event id are keyed hashes."""
    kept = [name for name in (*_ENVELOPE, *_HASHED, *source.own_columns) if name not in _LEFT_OUT]
    names = [name for name in dict.fromkeys(kept) if name in rows.column_names]
    fields = counted_fields(source)
    columns: dict[str, Any] = {}
    for name in names:
        column = rows.column(name)
        if name in _HASHED:
            column = _mapped(column, lambda text: hash_of(key, text))
        elif name == "properties":
            column = _mapped(column, lambda text: _only(text, fields))
        columns[name] = column
    return pa.table(columns)


def counted_fields(source: Source) -> frozenset[str]:
    """Fields of the content that outputs count by: those of the stream, or where it has none, of what is made of it."""
    if source.derived:
        return _paths(source)
    return frozenset[str]().union(*map(_paths, load_sources().values())) - _IDENTITIES


def _paths(source: Source) -> frozenset[str]:
    return frozenset(_PATH.findall(" ".join(source.derived.values())))


def _mapped(column: Any, change: Callable[[str], str]) -> pa.Array:
    return pa.array([None if text is None else change(text) for text in column.to_pylist()], pa.string())


def _only(text: str, fields: frozenset[str]) -> str:
    try:
        found: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return "{}"
    return orjson.dumps({name: found[name] for name in found if name in fields}).decode()


def count_files(folder: Path, chapter: int | None = None) -> list[Path]:
    """The files of a topic; of one chapter of its archive."""
    return sorted(folder.glob("*.parquet" if chapter is None else f"{chapter}-*.parquet"))


def rows_about(path: Path, subject: str) -> int:
    """Records of a player in a file."""
    return pc.sum(pc.equal(pq.read_table(path, columns=["user_id"]).column(0), subject)).as_py() or 0


def prune(folder: Path, needed: Callable[[float], bool]) -> Iterator[Path]:
    """Delete the files that are not needed any more, by when they were written (seconds since 1970)."""
    for path in [*count_files(folder), *folder.glob("*.new")]:
        if not needed(path.stat().st_mtime):
            path.unlink(missing_ok=True)
            yield path


def prune_by_age(settings: Settings, source: Source) -> int:
    """Delete what no row of a topic's outputs can show any more; returns how many files. Of states see the erase."""
    folder = counts_dir(settings) / source.topic
    kept = counted_topics([source]).get(source.topic) if folder.is_dir() else None
    if kept is None:
        return 0
    oldest = time.time() - kept.total_seconds()
    return len(list(prune(folder, lambda written: written >= oldest)))
