"""What is linted: job folders and plain scripts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gamestream_dagster.flink_jobs.errors import JobSpecError
from gamestream_dagster.flink_jobs.linter.lexemes import SqlStatement, statements_of
from gamestream_dagster.flink_jobs.spec.catalogue import load_job
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec
from gamestream_dagster.flink_jobs.spec.tuning import tuned
from gamestream_dagster.settings import StreamProfile


class Option(NamedTuple):
    """The value of an option, and where it is written."""

    value: str
    file: str
    line: int


@dataclass(frozen=True)
class Session:
    """Statements that are submitted together, with the options that hold before the first of them."""

    statements: tuple[SqlStatement, ...]
    settings: Mapping[str, Option]


@dataclass(frozen=True)
class Unit:
    """A job folder, or the scripts of a folder: each script is a session, and may use tables of the others.

    The sessions of a job are its stream profiles; they share nothing.
    """

    name: str
    sessions: tuple[Session, ...]
    job: JobSpec | None = None

    @property
    def statements(self) -> tuple[SqlStatement, ...]:
        """All of them."""
        return tuple(statement for session in self.sessions for statement in session.statements)


def units_of(paths: Iterable[Path]) -> list[Unit]:
    """What stands at each path: a job folder, a script, or all job folders and scripts below a folder.

    Raises:
        JobSpecError: a path holds nothing that can be linted, or a file cannot be read as SQL.
    """
    return [unit for path in paths for unit in _units(path)]


def _units(path: Path) -> list[Unit]:
    try:
        if path.exists() and not path.is_dir():
            return [_checked(Unit(path.name, (_script(path),)), path)]
        if not path.is_dir():
            raise JobSpecError(
                f"{path}: there is no such file or folder; name a job folder, a script or a folder of them"
            )
        found = [unit for folder, scripts in _folders(path) for unit in _units_in(folder, scripts)]
    except OSError as error:
        raise JobSpecError(f"{path}: cannot be read ({error.strerror}); mend it or name another path") from error
    if not found:
        raise JobSpecError(f"{path}: holds no job folder and no .sql file; name another path")
    return found


def _folders(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Every folder below with its scripts; a job's folder is one whole. Links to folders are not followed."""

    def fail(error: OSError) -> None:
        raise error

    for where, below, files in os.walk(root, onerror=fail):
        folder = Path(where)
        if "job.yaml" in files:
            below.clear()
            yield folder, []
            continue
        below[:] = sorted(name for name in below if name[0] not in "._")
        yield folder, sorted(folder / name for name in files if name.lower().endswith(".sql"))


def _units_in(folder: Path, scripts: list[Path]) -> list[Unit]:
    if (folder / "job.yaml").is_file():
        return _job_units(folder)
    if not scripts:
        return []
    return [_checked(Unit(folder.name, tuple(_script(script) for script in scripts)), folder)]


def _checked(unit: Unit, path: Path) -> Unit:
    if not unit.statements:
        raise JobSpecError(f"{path}: holds no SQL statement; name another path")
    return unit


def _job_units(folder: Path) -> list[Unit]:
    """The job as the topics' settings have it and, if it would be another, as it is where events carry no ids."""
    name, root = folder.resolve().name, folder.resolve().parent
    spec, without_ids = load_job(name, root), load_job(name, root, dedup={})
    return [unit_of_job(folder, one) for one in (spec, *([without_ids] if without_ids.sources != spec.sources else []))]


def unit_of_job(folder: Path, spec: JobSpec) -> Unit:
    """A job as it was read from its folder: a session for each stream profile, the default first."""
    profiles = [spec] if spec.low_latency is None else [spec, tuned(spec, StreamProfile.LOW_LATENCY)]
    return Unit(spec.name, tuple(_session_of_job(folder, one) for one in profiles), spec)


def _session_of_job(folder: Path, spec: JobSpec) -> Session:
    root = folder.parent
    files = {file.path: file for file in (*spec.sources, *spec.avro_sources.values(), spec.query, spec.sinks)}
    statements = [one for file in files.values() for one in statements_of(file.text, str(root / file.path))]
    lines = (folder / "job.yaml").read_text(encoding="utf-8").splitlines()
    where = {
        option: next((number for number, line in enumerate(lines, 1) if line.strip().startswith(f"{option}:")), 1)
        for option in spec.flink
    }
    settings = {option: Option(value, str(folder / "job.yaml"), where[option]) for option, value in spec.flink.items()}
    return Session(tuple(statements), settings)


def _script(path: Path) -> Session:
    # A pipe would be waited for, and a device read without end.
    if path.exists() and not path.is_file():
        raise JobSpecError(f"{path}: is a pipe, a device or a folder, not a file; write the SQL to a file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise JobSpecError(f"{path}: cannot be read as text ({error}); mend the file or leave it out") from error
    if "\0" in text:
        raise JobSpecError(f"{path}: holds NUL characters, as UTF-16 does; save the file as UTF-8")
    return session_of(text, str(path))


def session_of(text: str, file: str) -> Session:
    """One script. Its SET statements hold from where they stand."""
    return Session(tuple(statements_of(text, file)), {})
