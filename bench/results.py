"""What a measure found: one JSON file, which everything else is made of, and one Markdown table beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.figures import table
from bench.machine import machine, machine_line, versions
from gamestream_dagster.errors import GamestreamError


class BenchError(GamestreamError):
    """A measure could not be taken, or a contestant's boards are wrong; says which, and what to do next."""


@dataclass(frozen=True)
class Table:
    """One table of a result."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def markdown(self) -> str:
        """Title and table."""
        return f"**{self.title}**\n\n{table(self.columns, self.rows)}"


@dataclass
class Result:
    """One measure of one run. `figures` is what other programs read, `tables` what people do."""

    measure: str
    options: dict[str, Any]
    figures: dict[str, Any] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=machine)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def name(self) -> str:
        """Of the files: measure and time of the run."""
        return f"{self.measure}_{self.began:%Y%m%dT%H%M%SZ}"

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "measure": self.measure,
            "began": self.began.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - self.began).total_seconds(), 1),
            "machine": self.machine,
            "versions": versions(self.versions),
            "options": self.options,
            "figures": self.figures,
            "notes": self.notes,
        }

    def markdown(self) -> str:
        """As people read it."""
        options = ", ".join(f"{name} {value}" for name, value in self.options.items())
        parts = [f"# {self.measure}, run {self.name}", machine_line(self.machine), f"Options: {options}."]
        parts += [one.markdown() for one in self.tables]
        parts += [f"- {note}" for note in self.notes]
        return "\n\n".join(parts) + "\n"

    def store(self, folder: Path) -> Path:
        """Write both files; returns the JSON one."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(self.as_dict(), indent=2, default=str) + "\n", encoding="utf-8")
        path.with_suffix(".md").write_text(self.markdown(), encoding="utf-8")
        return path


def results_folder(given: Path | None) -> Path:
    """Where results go: the given folder, or `bench/results` of this checkout."""
    return given or Path(__file__).with_name("results")


def newest(folder: Path, measure: str) -> dict[str, Any] | None:
    """The newest stored result of a measure; None when there is none."""
    path = newest_path(folder, measure)
    return None if path is None else stored(path)


def newest_path(folder: Path, measure: str, events: int | None = None) -> Path | None:
    """Where the newest result of a measure is, not of one whose name begins alike; None when there is none.

    Args:
        folder: of stored results.
        measure: its name.
        events: of the runs with so many events alone.
    """
    found = sorted(folder.glob(f"{measure}_[0-9]*T*Z.json"), reverse=True)
    return next((one for one in found if events is None or stored(one)["options"].get("events") == events), None)


def stored(path: Path) -> dict[str, Any]:
    """A stored result, as its JSON file holds it."""
    return json.loads(path.read_text(encoding="utf-8"))
