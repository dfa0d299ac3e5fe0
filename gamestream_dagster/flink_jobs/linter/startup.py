"""GS01: where a source starts to read, from the effective options."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gamestream_dagster.flink_jobs.linter.findings import Finding
from gamestream_dagster.flink_jobs.linter.source import Option
from gamestream_dagster.flink_jobs.linter.tables import Table
from gamestream_dagster.flink_jobs.spec.sql_text import PLACEHOLDER

if TYPE_CHECKING:
    from gamestream_dagster.flink_jobs.linter.shapes import Shapes

_MODE, _RESET, _TIME = "scan.startup.mode", "properties.auto.offset.reset", "scan.startup.timestamp-millis"
# Equivalent options of other connectors: Pulsar, Kinesis, Paimon, the CDC sources.
_ALIKE = re.compile(r"(startup[._-]mode|^scan\.mode|init\.?pos(ition)?)$", re.IGNORECASE)
_KAFKA_MODES = frozenset({"earliest-offset", "latest-offset", "group-offsets", "timestamp", "specific-offsets"})


def start_at_latest(shapes: Shapes) -> Iterator[Finding]:
    """GS01 for a source that starts at its end; GS17 where the start is unknown."""
    told: set[tuple[str, int]] = set()
    for table in shapes.versions:
        for option, code, text in _starts(table):
            if (option.file, option.line) not in told:  # a table made LIKE another repeats its faults: report once
                told.add((option.file, option.line))
                yield Finding(option.file, option.line, code, f"{table.name.lower()} {text}")


def _starts(table: Table) -> Iterator[tuple[Option, str, str]]:
    for name, option in table.options.items():
        value = option.value.strip()
        if not _ALIKE.search(name):
            continue
        if PLACEHOLDER.search(value):
            yield option, "GS17", f"has {value} as its {name}: where it starts cannot be told"
        elif value.lower().startswith("latest"):
            yield option, "GS01", f"starts at `{value}`"
    if table.options.get("connector", Option("kafka", "", 0)).value == "kafka":
        yield from _kafka(table)


def _kafka(table: Table) -> Iterator[tuple[Option, str, str]]:
    mode, reset, since = (table.options.get(name) for name in (_MODE, _RESET, _TIME))
    value = mode.value.strip().lower() if mode else "group-offsets"  # the connector's default
    if value == "group-offsets" and reset and reset.value.strip().lower() in ("latest", "largest"):
        yield reset, "GS01", "starts at the group's offsets, and at the latest ones where it has none"
    elif value == "timestamp" and since:
        millis = since.value.strip()
        if not millis.isdigit():
            yield since, "GS17", f"starts at the time {millis}, which cannot be read"
        elif int(millis) > time.time() * 1000:
            yield since, "GS01", "starts at a time to come, so at the latest offset"
    elif mode and value not in _KAFKA_MODES and not value.startswith("latest") and not PLACEHOLDER.search(value):
        yield mode, "GS17", f"starts at `{mode.value}`, which Kafka's connector does not know"
