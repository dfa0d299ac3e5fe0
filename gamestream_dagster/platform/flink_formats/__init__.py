"""The Flink formats for Avro, game events and log lines, compiled from Java sources once per machine.

No Avro format skips unreadable records; no JSON format tells why a record cannot be read, keeps its bytes, or reads it
once for all rules. A Python function per record costs ten times as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gamestream_dagster.enrichment.tables import DEVICE_FILE, GEO_FILE, PACKAGED
from gamestream_dagster.platform.compiled import OwnJar, compiled

JAR: Final = OwnJar(
    name="gamestream-formats.jar",
    sources=tuple(sorted((Path(__file__).parent / "gamestream").glob("*.java"))),
    services={
        "org.apache.flink.table.factories.Factory": (
            "gamestream.AvroFormatFactory",
            "gamestream.GameEventFormatFactory",
            "gamestream.LogLineFormatFactory",
        )
    },
    # for clusters to which no newer tables are published
    files={f"enrichment/{name}": PACKAGED / name for name in (GEO_FILE, DEVICE_FILE)},
)


def format_jar(flink_lib: Sequence[Path]) -> Path:
    """The compiled formats' jar, built when missing.

    Args:
        flink_lib: the jars of the Flink distribution to compile against.

    Raises:
        JarError: it cannot be compiled; says why.
    """
    return compiled(JAR, flink_lib)
