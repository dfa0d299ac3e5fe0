"""Runs the classes of our Flink formats in a JVM, without a server."""

from __future__ import annotations

import subprocess
from pathlib import Path

from gamestream_dagster.platform import flink, flink_formats, jars
from gamestream_dagster.platform.java import java

SOURCES = Path(__file__).parents[1] / "integration" / "java" / "gamestream"


def compiled(classes: Path, *names: str) -> dict[str, list[str]]:
    """The commands that run classes of `tests/integration/java/gamestream`, by name.

    Args:
        classes: an empty folder for what is compiled.
        names: of the classes.
    """
    lib = flink.distribution_jars()
    format_jar = flink_formats.format_jar(lib)
    (compiler,) = jars.for_use(jars.JarUse.COMPILER)
    path = ":".join(map(str, [format_jar, *lib]))
    options = ("-source", "17", "-target", "17", "-nowarn", "-encoding", "UTF-8", "-cp", path, "-d", str(classes))
    sources = [str(SOURCES / f"{name}.java") for name in names]
    subprocess.run([str(java()), "-jar", str(compiler.path), *options, *sources], check=True)
    return {name: [str(java()), "-cp", f"{classes}:{path}", f"gamestream.{name}"] for name in names}
