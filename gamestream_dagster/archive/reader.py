"""Reading the archive: only the files that the manifest names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from gamestream_dagster.archive.decode import ARCHIVE_SCHEMA
from gamestream_dagster.archive.errors import ArchiveDamagedError
from gamestream_dagster.archive.manifest import Manifest, load_manifest


@dataclass(frozen=True)
class OpenArchive:
    """An archive that DuckDB has as the relation `archive`."""

    topic_dir: Path
    manifest: Manifest


def open_archive(database: duckdb.DuckDBPyConnection, topic_dir: Path) -> OpenArchive:
    """Make the relation `archive` in `database`, with the columns of `ARCHIVE_SCHEMA`; nothing is read yet.

    Raises:
        ArchiveDamagedError: a file that the manifest names is gone or cannot be read.
    """
    manifest = load_manifest(topic_dir)
    files = [str(topic_dir / file.path) for file in manifest.files]
    missing = [file for file in manifest.files if not (topic_dir / file.path).exists()]
    if missing:
        first = missing[0]
        raise ArchiveDamagedError(
            f"{len(missing)} archived files are gone, such as p{first.partition}@{first.first_offset}.."
            f"{first.last_offset}; restore {first.path}, or move the archive folder away to archive anew."
        )
    if not files:
        database.register("archive", ARCHIVE_SCHEMA.empty_table())
        return OpenArchive(topic_dir, manifest)
    try:
        relation = database.read_parquet(files, hive_partitioning=False)
        relation.create_view("archive", replace=True)
    except duckdb.Error as error:
        raise ArchiveDamagedError(
            f"The archive in {topic_dir} cannot be read ({type(error).__name__}: {str(error).splitlines()[0]}); "
            "restore the file, or move the archive folder away to archive anew."
        ) from error
    return OpenArchive(topic_dir, manifest)


def rows_in(path: Path) -> int | None:
    """How many rows a Parquet file holds, by its footer; None for one that is gone or has no readable footer."""
    try:
        return pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowInvalid):
        return None


def register_texts(
    database: duckdb.DuckDBPyConnection, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """Make the relation `name` in `database`: text columns, one value of each for a row."""
    arrays = {column: pa.array([row[place] for row in rows], pa.string()) for place, column in enumerate(columns)}
    database.register(name, pa.table(arrays))


def register_numbers(database: duckdb.DuckDBPyConnection, name: str, columns: Mapping[str, Sequence[int]]) -> None:
    """Make the relation `name` in `database`: columns of 64-bit integers."""
    database.register(name, pa.table({column: pa.array(values, pa.int64()) for column, values in columns.items()}))
