"""The Parquet files of settled days. A rewritten file replaces the former one in the record of its day."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import sqlalchemy as sa

from gamestream_dagster.archive.digests import sha256_of
from gamestream_dagster.archive.erasing import BATCH_ROWS, NAMES_OTHERS, renamed
from gamestream_dagster.catalogue.metrics import Metric, load_metrics
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.metrics.compute import digest_of
from gamestream_dagster.metrics.settle import metrics_dir
from gamestream_dagster.privacy.inventory import Fields, Kind, load_inventory, of_kind
from gamestream_dagster.privacy.player import Player
from gamestream_dagster.privacy.stores.model import Found, Rows, Say
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import metric_settlements

pc: Any = pyarrow.compute  # it makes its functions when it is loaded


class SettledFiles:
    """Files under `<home>/metrics`.

    Args:
        settings: the stack.
    """

    name = "settled metrics"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = metrics_dir(settings)

    def scan(self, player: Player) -> list[Found]:
        """Rows by metric."""
        counted: dict[str, int] = {}
        for metric, fields, path in self._files():
            rows = sum(len(batch) for batch in _matching(path, fields, player))
            counted[metric.name] = counted.get(metric.name, 0) + rows
        return [Found(f"files of {name}", rows) for name, rows in counted.items() if rows]

    def export(self, player: Player) -> Iterator[tuple[str, Rows]]:
        """The player's rows."""
        for metric, fields, path in self._files():
            yield f"metrics/{metric.name}", _own_rows(path, fields, player)

    def erase(self, player: Player, request: int, say: Say) -> int:
        """Write each file anew without the player, name it in the record of the day, and delete the former one."""
        removed = 0
        with open_engine(self._settings) as engine:
            for metric, fields, path in self._files():
                rows = sum(len(batch) for batch in _matching(path, fields, player))
                if not rows:
                    continue
                fresh = path.with_name(f"{path.stem}-e{request}.parquet")
                _write_without(path, fresh, fields, player, request)
                self._record(engine, metric, path, fresh)
                path.unlink()
                removed += rows
        if removed:
            say(f"settled metrics: {removed} rows in files")
        return removed

    def _record(self, engine: sa.Engine, metric: Metric, former: Path, fresh: Path) -> None:
        rows, digest = digest_of(metric, fresh)
        settled = metric_settlements.c
        change = (
            sa.update(metric_settlements)
            .where(settled.file == str(former.relative_to(self._folder)))
            .values(file=str(fresh.relative_to(self._folder)), file_sha256=sha256_of(fresh), rows=rows, digest=digest)
        )
        with engine.begin() as link:
            link.execute(change)

    def _files(self) -> Iterator[tuple[Metric, Fields, Path]]:
        inventory = load_inventory()
        for name, metric in load_metrics().items():
            fields = inventory.metrics[name]
            if of_kind(fields, Kind.PLAYER, Kind.OTHER):
                for path in sorted((self._folder / name).rglob("*.parquet")):
                    yield metric, fields, path


def _matching(path: Path, fields: Fields, player: Player) -> Iterator[list[dict[str, Any]]]:
    for table in _batches(path):
        mask = _mask(table, fields, player, Kind.PLAYER, Kind.OTHER)
        named = _naming(table, fields, player)
        chosen = pa.array([bool(one) or at in named for at, one in enumerate(mask.to_pylist())])
        if pc.any(chosen).as_py():
            yield table.filter(chosen).to_pylist()


def _own_rows(path: Path, fields: Fields, player: Player) -> Rows:
    for table in _batches(path):
        yield from table.filter(_mask(table, fields, player, Kind.PLAYER)).to_pylist()


def _batches(path: Path) -> Iterator[pa.Table]:
    for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS):
        yield pa.Table.from_batches([batch])


def _mask(table: pa.Table, fields: Fields, player: Player, *kinds: Kind) -> pa.Array:
    found = pa.array([False] * table.num_rows, pa.bool_())
    for name in of_kind(fields, *kinds):
        column = table.column(name).combine_chunks()
        hits = [one for one in pc.unique(column).to_pylist() if player(one)]
        found = pc.or_(found, pc.is_in(column, value_set=pa.array(hits, column.type)))
    return found


def _naming(table: pa.Table, fields: Fields, player: Player) -> dict[int, dict[str, str]]:
    """Rows of others whose JSON names the player: by place, the fields and the names."""
    found: dict[int, dict[str, str]] = {}
    for column in of_kind(fields, Kind.MAY_HOLD):
        for at, text in enumerate(table.column(column).to_pylist()):
            if not text or not any(name in text for name in NAMES_OTHERS):
                continue
            properties: Any = orjson.loads(text)
            named = {name: properties[name] for name in NAMES_OTHERS if player(properties.get(name))}
            if named:
                found[at] = named
    return found


def _write_without(path: Path, fresh: Path, fields: Fields, player: Player, request: int) -> None:
    source = pq.ParquetFile(path)
    temporary = fresh.with_suffix(".new")
    with pq.ParquetWriter(temporary, source.schema_arrow, compression="zstd") as writer:
        for table in _batches(path):
            kept = table.filter(pc.invert(_mask(table, fields, player, Kind.PLAYER, Kind.OTHER)))
            writer.write_table(_renamed(kept, fields, player, request))
    temporary.replace(fresh)


def _renamed(table: pa.Table, fields: Fields, player: Player, request: int) -> pa.Table:
    named = _naming(table, fields, player)
    for column in of_kind(fields, Kind.MAY_HOLD) if named else ():
        texts = table.column(column).to_pylist()
        for at, names in named.items():
            properties = orjson.loads(texts[at])
            texts[at] = orjson.dumps({**properties, **dict.fromkeys(names, renamed(request))}).decode()
        place = table.schema.get_field_index(column)
        field = table.schema.field(place)
        table = table.set_column(place, field, pa.array(texts, field.type))
    return table
