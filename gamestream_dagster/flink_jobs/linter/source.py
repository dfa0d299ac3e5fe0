"""What is linted: job folders and plain scripts, as statements whose words know their lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from gamestream_dagster.flink_jobs.catalogue import load_job
from gamestream_dagster.flink_jobs.errors import JobSpecError
from gamestream_dagster.flink_jobs.spec import JobSpec
from gamestream_dagster.flink_jobs.sql_text import TokenKind, tokens

_LEFT_OUT = frozenset({TokenKind.COMMENT, TokenKind.SPACE})


@dataclass(frozen=True)
class Lexeme:
    """One significant piece of SQL, its line, from 1, and where it begins in the statement's own text."""

    kind: TokenKind
    text: str
    line: int
    at: int

    @cached_property
    def word(self) -> str:
        """A keyword or a name in capitals, a name in backticks without them, anything else as it stands."""
        if self.kind is TokenKind.QUOTED:
            return self.text[1:-1].replace("``", "`").upper()
        return self.text.upper() if self.kind is TokenKind.WORD else self.text

    @property
    def value(self) -> str:
        """The content of a literal."""
        return self.text[1:-1].replace("''", "'") if self.kind is TokenKind.STRING else self.text


@dataclass(frozen=True)
class SqlStatement:
    """One statement; the INSERTs of a statement set are statements of their own."""

    file: str
    parts: tuple[Lexeme, ...] = field(repr=False)
    source: str = field(repr=False)

    @property
    def line(self) -> int:
        """Where it begins."""
        return self.parts[0].line

    @cached_property
    def words(self) -> tuple[str, ...]:
        """`Lexeme.word` of each part."""
        return tuple(part.word for part in self.parts)

    def text_from(self, place: int) -> str:
        """The statement's text from one of its parts to the end, without comments."""
        return self.source[self.parts[place].at :]

    def begins(self, *words: str) -> bool:
        """True when it begins with these words."""
        return self.words[: len(words)] == words


@dataclass(frozen=True)
class Session:
    """Statements that are submitted together, with the settings that hold for them (option -> value, file, line)."""

    statements: tuple[SqlStatement, ...]
    settings: Mapping[str, tuple[str, str, int]]


@dataclass(frozen=True)
class Unit:
    """A job folder, or scripts that share their tables: each script is a session."""

    name: str
    sessions: tuple[Session, ...]
    job: JobSpec | None = None

    @property
    def statements(self) -> tuple[SqlStatement, ...]:
        """All of them."""
        return tuple(statement for session in self.sessions for statement in session.statements)


def units_of(paths: Iterable[Path]) -> list[Unit]:
    """What stands at each path: a job folder, a folder of job folders, a folder of scripts, or one script.

    Raises:
        JobSpecError: a path holds nothing that can be linted, or a file cannot be read as SQL.
    """
    return [unit for path in paths for unit in _units(path)]


def _units(path: Path) -> list[Unit]:
    if path.is_file():
        return [Unit(path.name, (_script(path),))]
    if not path.is_dir():
        raise JobSpecError(f"{path}: there is no such file or folder; name a job folder, a script or a folder of them")
    if (path / "job.yaml").is_file():
        return _job_units(path)
    jobs = sorted(found.parent for found in path.glob("[!_]*/job.yaml"))
    if jobs:
        return [unit for folder in jobs for unit in _job_units(folder)]
    scripts = sorted(path.glob("*.sql"))
    if not scripts:
        raise JobSpecError(f"{path}: holds no job folder and no .sql file; name another path")
    return [Unit(path.name, tuple(_script(script) for script in scripts))]


def _job_units(folder: Path) -> list[Unit]:
    """The job as the topics' settings have it and, if it would be another, as it is where events carry no ids."""
    name, root = folder.resolve().name, folder.resolve().parent
    spec, without_ids = load_job(name, root), load_job(name, root, event_ids={})
    return [unit_of_job(folder, one) for one in (spec, *([without_ids] if without_ids.sources != spec.sources else []))]


def unit_of_job(folder: Path, spec: JobSpec) -> Unit:
    """A job as it was read from its folder."""
    root = folder.parent
    files = {file.path: file for file in (*spec.sources, *spec.avro_sources.values(), spec.query, spec.sinks)}
    statements = [one for file in files.values() for one in statements_of(file.text, str(root / file.path))]
    lines = (folder / "job.yaml").read_text(encoding="utf-8").splitlines()
    where = {
        option: next((number for number, line in enumerate(lines, 1) if line.strip().startswith(f"{option}:")), 1)
        for option in spec.flink
    }
    settings = {option: (value, str(folder / "job.yaml"), where[option]) for option, value in spec.flink.items()}
    return Unit(spec.name, (Session(tuple(statements), settings),), spec)


def _script(path: Path) -> Session:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise JobSpecError(f"{path}: cannot be read as text ({error}); mend the file or leave it out") from error
    return session_of(text, str(path))


def session_of(text: str, file: str) -> Session:
    """One script. Its SET statements are its settings."""
    statements = tuple(statements_of(text, file))
    return Session(statements, dict(filter(None, map(_setting, statements))))


def _setting(statement: SqlStatement) -> tuple[str, tuple[str, str, int]] | None:
    """`SET 'option' = 'value'`, also without quotes as older scripts have it."""
    if not statement.begins("SET") or "=" not in statement.words:
        return None
    middle = statement.words.index("=")
    option = "".join(part.value for part in statement.parts[1:middle])
    value = " ".join(part.value for part in statement.parts[middle + 1 :])
    return option, (value, statement.file, statement.line)


def statements_of(sql: str, file: str) -> list[SqlStatement]:
    """The statements of a text.

    Raises:
        JobSpecError: a quote or a comment is not closed.
    """
    found: list[SqlStatement] = []
    current: list[Lexeme] = []
    raw: list[str] = []
    line, at = 1, 0

    def close() -> None:
        parts = tuple(current)
        if tuple(part.word for part in parts[:4]) == ("EXECUTE", "STATEMENT", "SET", "BEGIN"):
            parts = parts[4:]
        if parts and tuple(part.word for part in parts) != ("END",):
            found.append(SqlStatement(file, parts, "".join(raw)))
        current.clear()
        raw.clear()

    try:
        for token in tokens(sql):
            if token.kind is TokenKind.SEMICOLON:
                close()
                at = 0
            else:
                if token.kind not in _LEFT_OUT:
                    current.append(Lexeme(token.kind, token.text, line, at))
                raw.append(" " if token.kind is TokenKind.COMMENT else token.text)
                at += len(raw[-1])
            line += token.text.count("\n")
    except JobSpecError as error:
        raise JobSpecError(f"{file}: {error}") from error
    close()
    return found
