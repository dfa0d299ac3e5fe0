"""Every table that should be in Postgres: the system's, and those that boards and settled metrics describe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Date, Double, MetaData, Numeric, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.types import TypeEngine

from gamestream_dagster.catalogue.boards import Board, CatalogueError, ColumnType, load_boards
from gamestream_dagster.catalogue.metrics import Metric, MetricType, load_metrics
from gamestream_dagster.warehouse.tables import NAMING, is_system_table, system

BOARD_TYPES: dict[ColumnType, TypeEngine] = {
    ColumnType.BIGINT: BigInteger(),
    ColumnType.STRING: Text(),
    ColumnType.DOUBLE: Double(),
    ColumnType.BOOLEAN: Boolean(),
    ColumnType.TIMESTAMP: TIMESTAMP(timezone=True, precision=3),  # Flink's and Kafka's times are milliseconds
}


def board_table(board: Board, metadata: MetaData) -> Table:
    """The table of one output: its columns in the order of `output.yaml`, with its key.

    Raises:
        CatalogueError: a system table has the output's name.
    """
    _check_name(board.name, board.folder, "output")
    columns = [
        Column(
            name,
            BOARD_TYPES[column.type],
            primary_key=name in board.key_columns,
            autoincrement=False,
            comment=column.meaning,
        )
        for name, column in board.columns.items()
    ]
    return Table(board.name, metadata, *columns, comment=board.description)


METRIC_TYPES: dict[MetricType, TypeEngine] = {
    MetricType.BIGINT: BigInteger(),
    MetricType.DOUBLE: Double(),
    MetricType.DECIMAL: Numeric(38, 6),
    MetricType.STRING: Text(),
    MetricType.DATE: Date(),
    MetricType.TIMESTAMP: TIMESTAMP(timezone=True, precision=3),
    MetricType.BOOLEAN: Boolean(),
    MetricType.JSON: JSONB(),
}


def metric_table(metric: Metric, metadata: MetaData) -> Table:
    """The table of one settled metric; of a divided one each day is a part.

    Raises:
        CatalogueError: a system table has the metric's name.
    """
    _check_name(metric.name, metric.folder, "metric")
    columns = [
        Column(
            name,
            METRIC_TYPES[column.type],
            primary_key=name in metric.key,
            autoincrement=False,
            nullable=name not in metric.required,
            comment=f"{column.meaning} [{column.unit}]" if column.unit else column.meaning,
        )
        for name, column in metric.columns.items()
    ]
    divided: dict[str, Any] = {"postgresql_partition_by": f"RANGE ({metric.partition})"} if metric.divided else {}
    return Table(metric.name, metadata, *columns, comment=" ".join(metric.definition.split()), **divided)


def _check_name(name: str, folder: Path, what: str) -> None:
    if is_system_table(name):
        raise CatalogueError(f"{folder}: {name!r} is the name of a system table; give the {what}'s folder another name")


def load_metadata(boards: Mapping[str, Board] | None = None, metrics: Mapping[str, Metric] | None = None) -> MetaData:
    """Every table that should be in Postgres: the system's, then those of `boards` and of the settled `metrics`.

    Default: the project's.

    Raises:
        CatalogueError: a description is not usable, or two tables have one name.
    """
    metadata = MetaData(naming_convention=NAMING)
    for table in system.tables.values():
        table.to_metadata(metadata)
    for board in (load_boards() if boards is None else boards).values():
        if board.sinks.postgres is not None:
            board_table(board, metadata)
    for metric in (load_metrics() if metrics is None else metrics).values():
        if metric.name in metadata.tables and not is_system_table(metric.name):
            raise CatalogueError(f"{metric.folder}: a board has this name; give the metric's folder another name")
        metric_table(metric, metadata)
    return metadata
