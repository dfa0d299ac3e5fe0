"""Empties the archived records of erased players. Offsets, times and the rows of everybody else stay as they are.

An emptied row keeps its position, its Kafka time and how far earlier records had moved the watermark, and has the
reason `ERASED`, unless it was refused for another one. So proofs still count every position once, and no recompute
counts the row. A record of somebody else that names an erased player keeps its content with another name in that place.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import orjson
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from gamestream_dagster.archive.decode import REFUSED
from gamestream_dagster.archive.digests import sha256_of
from gamestream_dagster.archive.erased_counts import CountsKept
from gamestream_dagster.archive.manifest import ArchivedFile, Manifest
from gamestream_dagster.archive.manifest_file import exclusive, load_manifest, save_manifest, sync_folder
from gamestream_dagster.archive.words import words_of
from gamestream_dagster.events.suppression import ERASED, Suppression

pc: Any = pyarrow.compute  # it makes its functions when it is loaded

KEPT: Final = frozenset(
    {"topic", "partition", "offset", "item", "kafka_timestamp", "newest_before", "run", "line", "value_bytes"}
)
"""Columns of an emptied row that keep their values. None says anything about a player."""

NAMES_OTHERS: Final = frozenset({"friend_id", "other_user_id"})
"""Properties of game events in which one player's record names another player."""

PLAYER_FIELDS: Final = frozenset({"user_id", "player_id", "first_user_id", "friend_user_id"}) | NAMES_OTHERS
"""Fields of records, synonyms included, that hold the id of a player."""
_RECORDS: Final = frozenset({"properties", "content", "content_base64"})  # texts that hold a record themselves

_AVRO_HEADER: Final = 5  # a zero byte and the id of the schema

BATCH_ROWS: Final = 20_000
Rename = Callable[[str], str | None]
"""Another name for a player who was erased; None for everybody else."""
Keep = Callable[[pa.Table], None]
"""Receives rows before they are emptied."""


class IsPlayer(Protocol):
    """Tells whether an id is that of the player, or of one of the players, that are looked for."""

    @property
    def user_id(self) -> str | None:
        """The one id that is looked for, which makes the search fast; None: it is known by its hash alone."""
        ...

    def __call__(self, user_id: str, /) -> bool:
        """Whether it is."""
        ...


@dataclass(frozen=True)
class Emptied:
    """What was done to one archive."""

    files: int = 0
    rows: int = 0


def empty_rows(table: pa.Table, mask: pa.Array) -> pa.Table:
    """The rows where `mask` is true, without content."""
    columns: dict[str, Any] = {}
    for field in table.schema:
        column = table.column(field.name)
        if field.name in KEPT:
            columns[field.name] = column
            continue
        nothing: Any = None
        if field.name == "outcome":
            nothing = REFUSED
        elif field.name == "reason":  # of a refused record it stays: it says nothing of the player
            columns[field.name] = pc.if_else(pc.and_(mask, pc.is_null(column)), pa.scalar(ERASED, field.type), column)
            continue
        columns[field.name] = pc.if_else(mask, pa.scalar(nothing, field.type), column)
    return pa.table(columns, schema=table.schema)


def suppressed_rows(table: pa.Table, suppression: Suppression, keep: Keep | None = None) -> pa.Table:
    """A table of decoded records without the content of erased players, for whoever writes an archive."""
    if not suppression:
        return table
    return forget(table, suppression, lambda player: renamed(suppression.request_of(player)), keep)[0]


def renamed(request: int | None) -> str | None:
    """The name that stands for an erased player in the records of others."""
    return None if request is None else f"erased-{request}"


def forget(table: pa.Table, is_player: IsPlayer, rename: Rename, keep: Keep | None = None) -> tuple[pa.Table, int]:
    """Archive rows without some players, and how many rows changed.

    Args:
        table: rows of an archive.
        is_player: whether an id is that of a player to be forgotten.
        rename: the name that takes the place of such an id in the records of others.
        keep: receives the rows that are emptied.
    """
    own = _own(table, is_player)
    emptied = pc.sum(own).as_py() or 0
    if emptied:
        if keep is not None:
            keep(table.filter(own))
        table = empty_rows(table, own)
    table, named = _without_names(table, is_player, rename)
    return table, emptied + named


def _own(table: pa.Table, is_player: IsPlayer) -> pa.Array:
    """The rows that are about the player: by `user_id`, and where that could not be read by key or content."""
    users = table.column("user_id").combine_chunks()
    found = _among(users, is_player)
    unknown = [at for at, missing in enumerate(pc.is_null(users).to_pylist()) if missing]
    if not unknown:
        return found
    told = found.to_pylist()
    for at in unknown:
        told[at] = any(holds(table.column(name)[at].as_py(), is_player) for name in ("key", "value"))
    return pa.array(told, pa.bool_())


def _among(column: pa.Array, is_player: IsPlayer) -> pa.Array:
    """Where a column of texts, or of their bytes, is a player's id. Each value is looked at once."""
    hits = [one for one in pc.unique(column).to_pylist() if one is not None and is_player(_text(one))]
    return pc.is_in(column, value_set=pa.array(hits, column.type))


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def holds(content: bytes | None, is_player: IsPlayer) -> bool:
    """Whether a key or a value names a player: it is the id, or JSON with the id in a field of players.

    Of Avro every text is looked at, whatever its field: the schema may be gone. Of what is neither, every word.
    """
    if not content:
        return False
    if content[0] == 0 and any(is_player(text) for text in avro_texts(content)):
        return True
    text = content.decode("utf-8", "replace")
    if is_player(text):
        return True
    try:
        return names(orjson.loads(content), is_player)
    except orjson.JSONDecodeError:
        return any(is_player(word) for word in words_of(text))


def avro_texts(content: bytes) -> Iterator[str]:
    """Whatever can be a text of a record in the registry's wire format: a length, and as many bytes of UTF-8."""
    for at in range(_AVRO_HEADER, len(content)):
        length, begin = content[at], at + 1
        if length >= 0x80:  # a length of two bytes: no id is longer
            if begin == len(content) or content[begin] >= 0x80:
                continue
            length, begin = length & 0x7F | content[begin] << 7, begin + 1
        end = begin + length // 2
        if length % 2 or not begin < end <= len(content):  # an odd one is below 0
            continue
        with suppress(UnicodeDecodeError):
            yield content[begin:end].decode()


def names(value: Any, is_player: IsPlayer) -> bool:
    """Whether a JSON value names a player in one of `PLAYER_FIELDS`, at any depth, and in records inside texts."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, str) and one is value:
            return is_player(one)
        elif isinstance(one, dict):
            for name, inner in one.items():
                if not isinstance(inner, str):
                    waiting.append(inner)
                elif (name in PLAYER_FIELDS and is_player(inner)) or (
                    name in _RECORDS and holds(_bytes_of(name, inner), is_player)
                ):
                    return True
    return False


def _bytes_of(name: str, text: str) -> bytes:
    if name != "content_base64":
        return text.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(text)
    except ValueError:
        return b""


def _without_names(table: pa.Table, is_player: IsPlayer, rename: Rename) -> tuple[pa.Table, int]:
    """With another name where records of others name the player: in `properties`; their exact bytes are given up."""
    changed: dict[int, str] = {}
    for at in _naming(table, is_player):
        fresh = _other_name(table.column("properties")[at].as_py(), is_player, rename)
        if fresh is not None:
            changed[at] = fresh
    keyed = _keyed(table, is_player)
    if keyed:
        table = _replaced(table, "key", dict.fromkeys(keyed))
    if changed:
        table = _replaced(table, "properties", changed)
        table = _replaced(table, "value", dict.fromkeys(changed))
    return table, len(changed.keys() | keyed)


def _naming(table: pa.Table, is_player: IsPlayer) -> list[int]:
    """Places of the rows whose `properties` can name the player."""
    if "properties" not in table.column_names:
        return []
    texts = table.column("properties").combine_chunks()
    if is_player.user_id is not None:
        mask = pc.match_substring(texts, orjson.dumps(is_player.user_id).decode())
    else:
        mask = pc.match_substring_regex(texts, f'"(?:{"|".join(sorted(NAMES_OTHERS))})"')
    return [at for at, one in enumerate(mask.to_pylist()) if one]


def _keyed(table: pa.Table, is_player: IsPlayer) -> set[int]:
    """Places of the rows of others whose key is the player's id: their producer chose it wrongly."""
    mask = _among(table.column("key").combine_chunks(), is_player)
    return {at for at, one in enumerate(mask.to_pylist()) if one}


def _other_name(text: str, is_player: IsPlayer, rename: Rename) -> str | None:
    found = _properties(text)
    named = [name for name in NAMES_OTHERS if isinstance(found.get(name), str) and is_player(found[name])]
    if not named:
        return None
    return orjson.dumps({**found, **{name: rename(found[name]) or ERASED for name in named}}).decode()


def _properties(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _replaced(table: pa.Table, name: str, values: Mapping[int, object]) -> pa.Table:
    place = table.schema.get_field_index(name)
    column = table.column(name).to_pylist()
    for at, value in values.items():
        column[at] = value
    field = table.schema.field(place)
    return table.set_column(place, field, pa.array(column, field.type))


def erase_from_archive(
    topic_dir: Path,
    is_player: IsPlayer,
    request: int,
    *,
    kept: CountsKept | None = None,
    lock_seconds: float = 120,
) -> Emptied:
    """Rewrite the files of every chapter that hold a player. Killed at any point, another call completes it.

    Args:
        topic_dir: `<archive_dir>/<topic>`.
        is_player: whether an id is the player's.
        request: number of the erase request; part of the new files' names.
        kept: sets aside what the emptied records of the newest chapter gave to counts.
        lock_seconds: how long to wait for another process that writes the archive.

    Raises:
        ArchiveError: the archive cannot be used.
    """
    files = rows = 0
    with exclusive(topic_dir, lock_seconds):
        manifest = load_manifest(topic_dir)
        _remove_formers(topic_dir, manifest)
        for number, chapter in enumerate(manifest.chapters, 1):
            for file in chapter.files:
                if not count_rows(topic_dir / file.path, is_player):
                    continue
                newest = kept if number == len(manifest.chapters) else None
                fresh, emptied = _rewrite(topic_dir, file, is_player, request, newest)
                if newest is not None:  # before the rows are gone for good
                    newest.save(number, f"{Path(file.path).stem}-e{request}")
                manifest = manifest.with_rewritten(number, file, fresh, emptied)
                save_manifest(topic_dir, manifest)
                (topic_dir / file.path).unlink()
                files, rows = files + 1, rows + emptied
        named = {file.path for chapter in manifest.chapters for file in chapter.files}
        for path in sorted(topic_dir.rglob("*.parquet")):
            if str(path.relative_to(topic_dir)) not in named:  # left by a crash, or planted
                emptied = rewrite_in_place(path, is_player, request)
                files, rows = files + bool(emptied), rows + emptied
    return Emptied(files, rows)


def _remove_formers(topic_dir: Path, manifest: Manifest) -> None:
    """Delete files that were rewritten by a run that was killed before it could delete them."""
    for chapter in manifest.chapters:
        for former in chapter.rewritten:
            (topic_dir / former).unlink(missing_ok=True)


def _rewrite(
    topic_dir: Path, file: ArchivedFile, is_player: IsPlayer, request: int, keep: Keep | None
) -> tuple[ArchivedFile, int]:
    former = topic_dir / file.path
    path = former.with_name(f"{former.stem}-e{request}.parquet")
    changed = _written_without(former, path, is_player, request, keep)
    place = str(path.relative_to(topic_dir))
    return file.model_copy(update={"path": place, "sha256": sha256_of(path), "before": ""}), changed


def rewrite_in_place(path: Path, is_player: IsPlayer, request: int) -> int:
    """Empty the rows of a Parquet file that no manifest names; returns how many changed."""
    return _written_without(path, path, is_player, request) if count_rows(path, is_player) else 0


def _written_without(former: Path, path: Path, is_player: IsPlayer, request: int, keep: Keep | None = None) -> int:
    temporary = path.with_name(path.name + ".new")
    changed = 0
    source = pq.ParquetFile(former)
    with temporary.open("wb") as target:
        with pq.ParquetWriter(target, source.schema_arrow, compression="zstd", compression_level=1) as writer:
            for batch in source.iter_batches(BATCH_ROWS):
                table, count = forget(pa.Table.from_batches([batch]), is_player, lambda _: renamed(request), keep)
                writer.write_table(table)
                changed += count
        target.flush()
        os.fsync(target.fileno())
    temporary.replace(path)
    sync_folder(path.parent)
    return changed


def count_rows(path: Path, is_player: IsPlayer) -> int:
    """Rows of an archived file that are about the player, or name them."""
    return sum(len(rows) for rows in matching(path, is_player))


def matching(path: Path, is_player: IsPlayer) -> Iterator[list[dict[str, Any]]]:
    """The rows of an archived file that are about the player, or name them, in bounded batches."""
    for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS):
        table = pa.Table.from_batches([batch])
        mask = _touched(table, is_player)
        if pc.any(mask).as_py():
            yield table.filter(mask).to_pylist()


def _touched(table: pa.Table, is_player: IsPlayer) -> pa.Array:
    found = set(_keyed(table, is_player))
    found |= {at for at, mine in enumerate(_own(table, is_player).to_pylist()) if mine}
    for at in _naming(table, is_player):
        properties = _properties(table.column("properties")[at].as_py())
        if any(isinstance(properties.get(name), str) and is_player(properties[name]) for name in NAMES_OTHERS):
            found.add(at)
    return pa.array([at in found for at in range(table.num_rows)], pa.bool_())
