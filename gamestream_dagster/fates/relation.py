"""Rows about output records as a relation for DuckDB."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

_COLUMNS = (
    ("fate", pa.string()),
    ("raw_partition", pa.int64()),
    ("raw_offset", pa.int64()),
    ("mark", pa.string()),
    ("content", pa.string()),
    ("out_partition", pa.int32()),
    ("out_offset", pa.int64()),
    ("written_at", pa.int64()),
    ("era", pa.int32()),
)

OutputRow = tuple[str, int, int, str, str | None, int, int, int, int]
"""Fate; partition, offset, mark and content of `Written`; partition, offset and Kafka time of the record; era."""


def output_relation(rows: Sequence[OutputRow]) -> object:
    """At least one row, as a relation with named columns."""
    columns = zip(*rows, strict=True)
    return pa.table({name: pa.array(column, kind) for (name, kind), column in zip(_COLUMNS, columns, strict=True)})
