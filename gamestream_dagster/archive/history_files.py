"""Files of the history: at most `FILE_ROWS` rows of one UTC date each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from gamestream_dagster.archive.decode import ENVELOPE
from gamestream_dagster.archive.digests import sha256_of
from gamestream_dagster.archive.history import date_of
from gamestream_dagster.archive.history_rows import PLACE
from gamestream_dagster.archive.leftovers import chapter_folder
from gamestream_dagster.archive.manifest import ArchivedFile, Manifest
from gamestream_dagster.archive.manifest_file import sync_folder

FILE_ROWS: Final = 250_000
FILE_BYTES: Final = 256 << 20
"""Bytes of rows in memory from which on a file is written."""


class DayFiles:
    """Writes the rows of a run. A file counts once the manifest names it.

    Args:
        folder: of the history.
        manifest: what the history holds.
        run: id of the run; it ends the files' names.
    """

    def __init__(self, folder: Path, manifest: Manifest, run: str) -> None:
        self._folder = folder
        self._manifest = manifest
        self._run = run

    def write(self, day: int, tables: Iterable[pa.Table]) -> Iterator[ArchivedFile]:
        """Write the staged rows of one date (`history.day_number`); they follow what the history holds of it."""
        at = self._manifest.current.next_offset(day)
        held: list[pa.Table] = []
        rows = size = 0
        for table in tables:
            held.append(table)
            rows, size = rows + table.num_rows, size + table.nbytes
            if rows >= FILE_ROWS or size >= FILE_BYTES:
                yield self._file(day, at, pa.concat_tables(held))
                at, held, rows, size = at + rows, [], 0, 0
        if held:
            yield self._file(day, at, pa.concat_tables(held))

    def _file(self, day: int, first: int, staged: pa.Table) -> ArchivedFile:
        end = first + staged.num_rows
        place = staged.schema.get_field_index("offset")
        table = staged.set_column(place, staged.schema.field(place), pa.array(range(first, end), pa.int64()))
        table = table.drop_columns([PLACE])
        path = self._write(day, f"{day}-{first}-{end - 1}-{self._run}.parquet", table)
        return ArchivedFile(
            path=str(path.relative_to(self._folder)),
            sha256=sha256_of(path),
            partition=day,
            from_offset=first,
            first_offset=first,
            last_offset=end - 1,
            next_offset=end,
            records=table.num_rows,
            rows=table.num_rows,
            gaps=(),
            columns=tuple(name for name in table.column_names if name not in ENVELOPE.names),
        )

    def _write(self, day: int, name: str, table: pa.Table) -> Path:
        target = self._folder / chapter_folder(self._manifest) / f"date={date_of(day):%Y-%m-%d}"
        target.mkdir(parents=True, exist_ok=True)
        path = target / name
        with path.open("wb") as file:
            pq.write_table(table, file, compression="zstd", compression_level=1, use_dictionary=True)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(target)
        return path
