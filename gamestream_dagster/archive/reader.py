"""Reading the archive: only the files that the manifest names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from gamestream_dagster.archive.decode import archive_schema
from gamestream_dagster.archive.digests import verify_files
from gamestream_dagster.archive.errors import ArchiveDamagedError
from gamestream_dagster.archive.manifest import ArchivedFile, Chapter, Manifest
from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.catalogue.sources import ColumnType
from gamestream_dagster.events.suppression import ERASED

NO_COLUMNS: Mapping[str, ColumnType] = MappingProxyType({})
NO_ALIASES: Mapping[str, str] = MappingProxyType({})
_NOTHING = "of_nothing"
_PLACE = ('"partition"', '"offset"', "item")
_COLUMNS_OF_3 = ("team_id", "team_name", "score")
# Layout 3 archived score events alone, and kept values of any length.
_ENVELOPE_OF_3 = (
    "*, CASE WHEN reason IS NULL THEN 'accepted' ELSE 'refused' END AS outcome, octet_length(\"value\") AS value_bytes"
)


@dataclass(frozen=True)
class OpenArchive:
    """One chapter of an archive, which DuckDB has as the relation `archive`."""

    topic_dir: Path
    manifest: Manifest
    chapter: Chapter


def open_archive(
    database: duckdb.DuckDBPyConnection,
    topic_dir: Path,
    chapter: int | None = None,
    own_columns: Mapping[str, ColumnType] = NO_COLUMNS,
    aliases: Mapping[str, str] = NO_ALIASES,
    *,
    derived: Mapping[str, str] = NO_ALIASES,
    relation: str = "archive",
    erased: Sequence[Path] = (),
) -> OpenArchive:
    """Make a relation in `database`: the envelope, and columns of the event types; no row is read yet.

    Args:
        database: where.
        topic_dir: `<archive_dir>/<topic>`.
        chapter: place of the chapter; default the newest one. Records of two incarnations are never in one relation.
        own_columns: columns of the event types that must be there, null where no file has them; others are there as
            the files have them.
        aliases: further columns, by name, each with the column that it repeats; null where there is no such column.
        derived: further columns, by name, each an expression over all of these; a column of that name is replaced.
        relation: its name; another one for each archive that is open at a time.
        erased: files of what emptied records gave to counts (`erased_counts`): these columns are back in their rows,
            which still have the reason `ERASED`.

    Raises:
        ArchiveForgedError: a file that the manifest names is gone or was changed.
        ArchiveDamagedError: a file cannot be read.
    """
    manifest = load_manifest(topic_dir)
    opened = manifest.current if chapter is None else manifest.chapters[chapter]
    verify_files(topic_dir, opened.files, mendable=opened is manifest.current)
    database.register(f"{relation}_{_NOTHING}", archive_schema(own_columns).empty_table())
    try:
        rows = _relation(database, topic_dir, opened.files, own_columns, relation)
        if erased:
            rows = _with_counts(database, rows, erased)
        with_derived(_with_aliases(rows, aliases), derived).create_view(relation, replace=True)
    except duckdb.Error as error:
        raise ArchiveDamagedError(
            f"The archive in {topic_dir} cannot be read ({type(error).__name__}: {str(error).splitlines()[0]}); "
            "restore the file from a backup, or read its range again with `gamestream archive --mend`."
        ) from error
    return OpenArchive(topic_dir, manifest, opened)


def _relation(
    database: duckdb.DuckDBPyConnection,
    topic_dir: Path,
    files: Sequence[ArchivedFile],
    own_columns: Mapping[str, ColumnType],
    relation: str,
) -> duckdb.DuckDBPyRelation:
    """The rows of the files. Files of one shape are read at once; event types gain columns over time."""
    shapes: dict[tuple[str, ...] | None, list[str]] = {}
    for file in files:
        shapes.setdefault(file.columns, []).append(str(topic_dir / file.path))
    parts = [_of_shape(database, columns, paths) for columns, paths in shapes.items()]
    held = {name for columns in shapes for name in columns or _COLUMNS_OF_3}
    if len(parts) == 1 and own_columns.keys() <= held:
        return parts[0]
    for place, part in enumerate(parts):
        part.create_view(f"{relation}_{place}", replace=True)
    named = (f"{relation}_{_NOTHING}", *(f"{relation}_{place}" for place in range(len(parts))))
    return database.sql(" UNION ALL BY NAME ".join(f"FROM {name}" for name in named))


def _with_counts(
    database: duckdb.DuckDBPyConnection, rows: duckdb.DuckDBPyRelation, files: Sequence[Path]
) -> duckdb.DuckDBPyRelation:
    """The rows, with what is known of emptied ones. A position can be in two files, with the same content."""
    kept = database.read_parquet([str(path) for path in files], union_by_name=True)
    held = set(kept.columns) - {"partition", "offset", "item"}
    once = kept.project(f"*, row_number() OVER (PARTITION BY {', '.join(_PLACE)}) AS copy").filter("copy = 1")
    same = " AND ".join(f"emptied.{name} = counts.{name}" for name in _PLACE)
    joined = rows.set_alias("emptied").join(
        once.set_alias("counts"), f"emptied.reason = '{ERASED}' AND {same}", how="left"
    )
    listed = (
        f'coalesce(emptied."{name}", counts."{name}") AS "{name}"' if name in held else f'emptied."{name}"'
        for name in rows.columns
    )
    return joined.project(", ".join(listed))


def _with_aliases(rows: duckdb.DuckDBPyRelation, aliases: Mapping[str, str]) -> duckdb.DuckDBPyRelation:
    """`aliases`: identifiers of the catalogue."""
    named = [
        f"{column if column in rows.columns else 'NULL::BIGINT'} AS {alias}"
        for alias, column in aliases.items()
        if alias not in rows.columns
    ]
    return rows.project(", ".join(("*", *named))) if named else rows


def with_derived(rows: duckdb.DuckDBPyRelation, derived: Mapping[str, str]) -> duckdb.DuckDBPyRelation:
    """The rows with further columns; a column of the same name is replaced.

    Args:
        rows: with all columns that the expressions name.
        derived: identifiers and expressions of the catalogue.
    """
    if not derived:
        return rows
    kept = [name for name in rows.columns if name not in derived]
    listed = [f'"{name}"' for name in kept] + [f"{sql} AS {name}" for name, sql in derived.items()]
    return rows.project(", ".join(listed))


def _of_shape(
    database: duckdb.DuckDBPyConnection, columns: tuple[str, ...] | None, paths: list[str]
) -> duckdb.DuckDBPyRelation:
    relation = database.read_parquet(paths, hive_partitioning=False)
    return relation if columns is not None else relation.project(_ENVELOPE_OF_3)


def rows_in(path: Path) -> int | None:
    """How many rows a Parquet file holds, by its footer; None for one that is gone or has no readable footer."""
    try:
        return pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowInvalid):
        return None


def texts(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> object:
    """Text columns, one value of each for a row, as a relation for DuckDB."""
    return pa.table({column: pa.array([row[at] for row in rows], pa.string()) for at, column in enumerate(columns)})


def numbers(columns: Mapping[str, Sequence[int]]) -> object:
    """Columns of 64-bit integers as a relation for DuckDB."""
    return pa.table({column: pa.array(values, pa.int64()) for column, values in columns.items()})
