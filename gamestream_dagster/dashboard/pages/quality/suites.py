"""The results of Great Expectations, as its runs leave them beside Data Docs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

FOLDERS = ("data_docs", "data_docs_metrics", "data_docs_selected")
RESULTS = "results.json"
_MOST_BYTES = 1 << 20


class Suite(BaseModel):
    """One suite of a run."""

    suite: str
    title: str
    state: str
    """`HOLDS`, `FAILS` or `NOT_RUN`."""
    evaluated: int
    expectations: int
    held: int
    sentence: str
    page: str | None = None
    """Its page, relative to the index."""


class _File(BaseModel):
    built_at: datetime
    suites: tuple[Suite, ...]


@dataclass(frozen=True)
class DocsRun:
    """One set of Data Docs and the run that built it."""

    index: Path
    built_at: datetime
    suites: tuple[Suite, ...]
    """Empty for Data Docs of a version that left no results."""


def read_runs(reports: Path) -> list[DocsRun]:
    """The newest runs by kind: those of boards and streams, those of metrics, and those of chosen suites."""
    found = (_read(reports / name) for name in FOLDERS)
    return [one for one in found if one is not None]


def _read(folder: Path) -> DocsRun | None:
    index = folder / "index.html"
    if not index.is_file():
        return None
    try:
        text = (folder / RESULTS).read_bytes()[:_MOST_BYTES]
        file = _File.model_validate(_loaded(text))
    except (OSError, ValueError, ValidationError):
        built_at = datetime.fromtimestamp(index.stat().st_mtime, UTC)
        return DocsRun(index, built_at, ())
    return DocsRun(index, file.built_at, file.suites)


def _loaded(text: bytes) -> Any:
    return json.loads(text)
