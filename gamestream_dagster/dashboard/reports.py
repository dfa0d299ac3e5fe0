"""Files of the reports folder and their addresses on the dashboard's own server."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from gamestream_dagster.settings import REPORTS_PATH


def safe_report(reports: Path, stored: str | None) -> Path | None:
    """The report's file, if it is HTML below `reports`; else None."""
    if not stored:
        return None
    root = reports.resolve()
    path = (root / stored).resolve()
    inside = path.is_relative_to(root)
    usable = inside and path.suffix == ".html" and path.is_file()
    return path if usable else None


def address_of(reports: Path, file: Path) -> str:
    """Path of a file below `reports` on the dashboard's server, whatever name the reader knows the server by."""
    return f"/{REPORTS_PATH}/{quote(file.resolve().relative_to(reports.resolve()).as_posix())}"
