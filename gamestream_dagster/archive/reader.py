"""Reading the archive: only the files that the manifest names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from gamestream_dagster.archive.decode import ARCHIVE_SCHEMA
from gamestream_dagster.archive.digests import verify_files
from gamestream_dagster.archive.errors import ArchiveDamagedError
from gamestream_dagster.archive.manifest import Chapter, Manifest, load_manifest


@dataclass(frozen=True)
class OpenArchive:
    """One chapter of an archive, which DuckDB has as the relation `archive`."""

    topic_dir: Path
    manifest: Manifest
    chapter: Chapter


def open_archive(database: duckdb.DuckDBPyConnection, topic_dir: Path, chapter: int | None = None) -> OpenArchive:
    """Make the relation `archive` in `database`, with the columns of `ARCHIVE_SCHEMA`; no row is read yet.

    Args:
        database: where.
        topic_dir: `<archive_dir>/<topic>`.
        chapter: place of the chapter; default the newest one. Records of two incarnations are never in one relation.

    Raises:
        ArchiveForgedError: a file that the manifest names is gone or was changed.
        ArchiveDamagedError: a file cannot be read.
    """
    manifest = load_manifest(topic_dir)
    opened = manifest.current if chapter is None else manifest.chapters[chapter]
    verify_files(topic_dir, opened.files, mendable=opened is manifest.current)
    files = [str(topic_dir / file.path) for file in opened.files]
    if not files:
        database.register("archive", ARCHIVE_SCHEMA.empty_table())
        return OpenArchive(topic_dir, manifest, opened)
    try:
        relation = database.read_parquet(files, hive_partitioning=False)
        relation.create_view("archive", replace=True)
    except duckdb.Error as error:
        raise ArchiveDamagedError(
            f"The archive in {topic_dir} cannot be read ({type(error).__name__}: {str(error).splitlines()[0]}); "
            "restore the file from a backup, or read its range again with `gamestream archive --mend`."
        ) from error
    return OpenArchive(topic_dir, manifest, opened)


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
