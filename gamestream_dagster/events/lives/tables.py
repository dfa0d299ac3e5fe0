"""The tables that lives are written down in. They are the truth; events and answers are both derived from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gamestream_dagster.events.lives.options import Numbers

_LONG, _TEXT, _FLAG = pa.int64(), pa.string(), pa.bool_()

SCHEMAS: Final[dict[str, pa.Schema]] = {
    # Every stretch of play is a session; `part` 1 follows a long pause and has the `session_id` of part 0.
    "sessions": pa.schema(
        {"session": _LONG, "part": _LONG, "player": _LONG, "start_ms": _LONG, "end_ms": _LONG, "last": _FLAG,
         "left": _FLAG, "begin_ms": _LONG, "level": _LONG}
    ),
    "attempts": pa.schema(
        {"attempt": _LONG, "session": _LONG, "player": _LONG, "level": _LONG, "start_ms": _LONG, "end_ms": _LONG,
         "passed": _FLAG, "boosted": _FLAG, "moves": _LONG, "tenths": _LONG}
    ),
    "purchases": pa.schema(
        {"purchase": _LONG, "session": _LONG, "player": _LONG, "at_ms": _LONG, "item": _LONG, "price": _LONG,
         "usd": _LONG}
    ),
    "refunds": pa.schema({"purchase": _LONG, "session": _LONG, "player": _LONG, "at_ms": _LONG, "usd": _LONG}),
    # `amount` is negative where the player spends; `reason` is an index into REASONS.
    "wallet_moves": pa.schema(
        {"move": _LONG, "session": _LONG, "player": _LONG, "at_ms": _LONG, "currency": _LONG, "amount": _LONG,
         "reason": _LONG}
    ),
    # `kind` is an index into ACTS, `what` is a feature, a player, or a guild.
    "acts": pa.schema(
        {"act": _LONG, "session": _LONG, "player": _LONG, "at_ms": _LONG, "kind": _LONG, "what": _LONG}
    ),
    "exposures": pa.schema({"exposure": _LONG, "session": _LONG, "player": _LONG, "at_ms": _LONG, "arm": _LONG}),
}  # fmt: skip

REASONS: Final = ("level", "purchase", "booster", "continue")
ACTS: Final = ("feature_used", "chat_sent", "friend_added", "guild_joined", "match_played_together")

Table = dict[str, Numbers]
Played = dict[str, Table]
"""What some players did: the columns of each table, in the order of writing."""


class Log:
    """Gathers the rows of some players' day."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Table]] = {name: [] for name in SCHEMAS}

    def add(self, table: str, **columns: Numbers) -> None:
        """Add rows. Columns are of one length; a single value stands for all rows."""
        if len(columns["player"]):
            self._parts[table].append(dict(zip(columns, np.broadcast_arrays(*columns.values()), strict=True)))

    def played(self, dropped: Numbers) -> Played:
        """All rows, without those of dropped sessions."""
        found: Played = {}
        for name, parts in self._parts.items():
            schema = SCHEMAS[name]
            columns = {
                column: np.concatenate([part[column] for part in parts]) if parts else np.zeros(0, np.int64)
                for column in schema.names
            }
            if len(dropped) and parts:
                kept = ~np.isin(columns["session"], dropped)
                columns = {column: values[kept] for column, values in columns.items()}
            found[name] = columns
        return found


class LifeFiles:
    """Writes the tables to `<folder>/<table>.parquet`. Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, pq.ParquetWriter] = {}
        self.notes: dict[str, Any] = {}
        """What the truth says beside the answers; JSON data."""

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, schema in SCHEMAS.items():
            self._writers[name] = pq.ParquetWriter(self._folder / f"{name}.parquet", schema, compression="zstd")
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def add(self, played: Played) -> None:
        """Add rows to every table."""
        for name, columns in played.items():
            schema = SCHEMAS[name]
            arrays = [pa.array(columns[field.name]).cast(field.type) for field in schema]
            if len(arrays[0]):
                self._writers[name].write_table(pa.table(arrays, schema=schema))
