# pyright: reportPrivateImportUsage=false
# (Great Expectations re-exports its public names without saying so to type checkers.)
"""The suite of the event archive: what its manifest says against what its Parquet files hold, counted by DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
from great_expectations import expectations as gxe

from gamestream_dagster.archive.errors import ArchiveError
from gamestream_dagster.archive.manifest import Manifest
from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.archive.reader import open_archive
from gamestream_dagster.catalogue.event_type import EventType, FieldType
from gamestream_dagster.catalogue.sources import Source
from gamestream_dagster.events.rule import limits
from gamestream_dagster.settings import Settings
from quality.emptiness import empty_archive
from quality.queries import query
from quality.results import QualityError
from quality.suites.suite import Frame, Suite

MEMORY = "512MB"

# Counts that must be nought, and what then holds.
_NOUGHT = {
    "holes_and_overlaps": "The archived ranges have neither hole nor overlap",
    "rows_astray": "The files hold the rows that the manifest says",
    "offsets_astray": "The files hold no offset outside the manifest's ranges",
    "accepted_incomplete": "Accepted events have every field that their type requires",
    "accepted_out_of_range": "Accepted numbers lie within the limits of their fields",
    "without_place": "Every record has its offset and its Kafka timestamp",
}


def suite(name: str, source: Source, settings: Settings) -> Suite:
    """The archive of one topic, with a row for each partition; no event leaves DuckDB."""
    topic = source.topic
    folder = settings.archive_dir / topic
    nought = [
        gxe.ExpectColumnValuesToBeBetween(column=column, min_value=0, max_value=0, description=sentence)
        for column, sentence in _NOUGHT.items()
    ]
    return Suite(
        name=name,
        title=f"Event archive of {topic}",
        rows=Frame(
            source=name,
            read=partial(read_partitions, folder, source),
            is_empty=partial(holds_nothing, folder),
        ),
        expectations=(
            gxe.ExpectTableRowCountToBeBetween(min_value=1, description="A partition has been archived"),
            gxe.ExpectColumnValuesToBeBetween(column="records", min_value=1, description="No partition is empty"),
            *nought,
        ),
        when_empty=partial(empty_archive, topic),
    )


def holds_nothing(folder: Path) -> bool:
    """Whether the manifest names no file.

    Raises:
        QualityError: the manifest cannot be read.
    """
    try:
        return not load_manifest(folder).files
    except ArchiveError as error:
        raise QualityError(f"The archive cannot be read: {error}") from error


def read_partitions(folder: Path, source: Source) -> pd.DataFrame:
    """One row for each partition that the manifest names: counts, and the faults that `_NOUGHT` forbids.

    Raises:
        QualityError: a file cannot be read.
    """
    with duckdb.connect(config={"memory_limit": MEMORY, "threads": 2}) as link:
        try:
            manifest = open_archive(link, folder, own_columns=source.own_columns).manifest
            stored = {row["partition_id"]: row for row in _rows(link, query("archive_partitions"))}
            for fault, statement in _of_fields(source):
                for row in _rows(link, statement):
                    found = stored[row["partition_id"]]
                    found[fault] = found.get(fault, 0) + row["events"]
        except (ArchiveError, duckdb.Error) as error:
            raise QualityError(f"The archive cannot be read: {str(error).splitlines()[0]}") from error
    upto = manifest.archived_upto
    return pd.DataFrame([_partition(manifest, partition_id, stored.get(partition_id)) for partition_id in upto])


def _of_fields(source: Source) -> Iterator[tuple[str, str]]:
    """The fault and the count of each column that every accepted event has, and of each limit of a number."""
    for name in _always_there(source):
        yield "accepted_incomplete", query("archive_absent", field=name)
    fields = {name: field for event in source.event_types for name, field in event.own_columns.items()}
    for name, field in fields.items():
        if field.type is FieldType.INTEGER:
            least, most = limits(field)
            yield "accepted_out_of_range", query("archive_outside", field=name, least=least, most=most)


def _always_there(source: Source) -> Iterator[str]:
    yield "event_time_millis"
    if source.game is not None:  # `user_id` is not: events of servers have no player
        yield from ("event_id", "event_type", "environment", "properties", "digest", "late")
        return
    yield "user_id"
    for name in source.own_columns:
        if all(_required(event, name) for event in source.event_types):
            yield name


def _required(event: EventType, name: str) -> bool:
    return name in event.fields and event.fields[name].required


def _rows(link: duckdb.DuckDBPyConnection, statement: str) -> list[dict[str, Any]]:
    cursor = link.execute(statement)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _partition(manifest: Manifest, partition_id: int, stored: dict[str, Any] | None) -> dict[str, Any]:
    files = [file for file in manifest.files if file.partition == partition_id]
    first, last = min(file.first_offset for file in files), max(file.last_offset for file in files)
    found = stored or {"stored_rows": 0, "accepted": 0}
    outside = stored is not None and (found["first_offset"] < first or found["last_offset"] > last)
    return {
        "topic": manifest.topic,
        "partition_id": partition_id,
        "files": len(files),
        "records": sum(file.records for file in files),
        "accepted": found["accepted"],
        "holes_and_overlaps": len(manifest.model_copy(update={"files": tuple(files)}).breaks()),
        "rows_astray": abs(found["stored_rows"] - sum(file.rows for file in files)),
        "offsets_astray": int(outside),
        "accepted_incomplete": found.get("accepted_incomplete", 0),
        "accepted_out_of_range": found.get("accepted_out_of_range", 0),
        "without_place": found.get("without_place", 0),
    }
