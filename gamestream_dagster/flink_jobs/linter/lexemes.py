"""Statements of a text whose words carry line numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from gamestream_dagster.flink_jobs.errors import JobSpecError
from gamestream_dagster.flink_jobs.linter.statements import Kind, kind_of, prefix
from gamestream_dagster.flink_jobs.spec.sql_text import TokenKind, tokens

_LEFT_OUT = frozenset({TokenKind.COMMENT, TokenKind.SPACE})


@dataclass(frozen=True)
class Lexeme:
    """One significant piece of SQL, its line from 1, and its start in the statement's own text."""

    kind: TokenKind
    text: str
    line: int
    at: int

    @cached_property
    def word(self) -> str:
        """A keyword or a name in upper case, a backquoted name without quotes, anything else verbatim."""
        if self.kind is TokenKind.QUOTED:
            return self.text[1:-1].replace("``", "`").upper()
        return self.text.upper() if self.kind is TokenKind.WORD else self.text

    @property
    def value(self) -> str:
        """The content of a literal."""
        return self.text[1:-1].replace("''", "'") if self.kind is TokenKind.STRING else self.text

    @cached_property
    def hinted(self) -> tuple[Lexeme, ...]:
        """The pieces of a hint, `/*+ ... */`; empty for anything else."""
        if self.kind is not TokenKind.HINT:
            return ()
        found: list[Lexeme] = []
        line = self.line
        for token in tokens(self.text[3:-2]):
            if token.kind not in _LEFT_OUT:
                found.append(Lexeme(token.kind, token.text, line, self.at))
            line += token.text.count("\n")
        return tuple(found)


@dataclass(frozen=True)
class SqlStatement:
    """One statement without its prefix, such as EXECUTE; each INSERT of a statement set is a statement."""

    file: str
    parts: tuple[Lexeme, ...] = field(repr=False)
    source: str = field(repr=False)
    kind: Kind = Kind.UNKNOWN
    unknown: str = ""  # why it cannot be parsed

    @property
    def line(self) -> int:
        """Its start."""
        return self.parts[0].line

    @cached_property
    def words(self) -> tuple[str, ...]:
        """`Lexeme.word` of each part."""
        return tuple(part.word for part in self.parts)

    @cached_property
    def named(self) -> frozenset[str]:
        """Every word that could be the name of a table."""
        return frozenset(part.word for part in self.parts if part.kind in (TokenKind.WORD, TokenKind.QUOTED))

    def text_from(self, place: int, end: int | None = None) -> str:
        """The statement's text between two of its parts, or to the end, without comments."""
        stop = None if end is None or end >= len(self.parts) else self.parts[end].at
        return self.source[self.parts[place].at : stop]

    def begins(self, *words: str) -> bool:
        """True when it starts with these words."""
        return self.words[: len(words)] == words

    @property
    def shown(self) -> str:
        """Its first words."""
        text = " ".join(part.text for part in self.parts[:6])
        return text if len(text) <= 60 else f"{text[:60]} ..."


def statements_of(sql: str, file: str) -> list[SqlStatement]:
    """The statements of a text.

    Raises:
        JobSpecError: a quote or a comment is not closed.
    """
    reader = _Reader(file)
    line = 1
    try:
        for token in tokens(sql):
            if token.kind is TokenKind.SEMICOLON:
                reader.close()
            else:
                reader.take(token.kind, token.text, line)
            line += token.text.count("\n")
        reader.close()
        for found in reader.found:
            _ = [part.hinted for part in found.parts]  # a hint may contain an open quote
    except JobSpecError as error:
        raise JobSpecError(f"{file}: {error}") from error
    return reader.finished()


class _Reader:
    """Collects statements; tracks statement sets."""

    def __init__(self, file: str) -> None:
        self.found: list[SqlStatement] = []
        self._file = file
        self._parts: list[Lexeme] = []
        self._raw: list[str] = []
        self._at = 0
        self._opened: SqlStatement | None = None

    def take(self, kind: TokenKind, text: str, line: int) -> None:
        if kind not in _LEFT_OUT:
            self._parts.append(Lexeme(kind, text, line, self._at))
        self._raw.append(" " if kind is TokenKind.COMMENT else text)
        self._at += len(self._raw[-1])

    def close(self) -> None:
        parts, source = tuple(self._parts), "".join(self._raw)
        self._parts, self._raw, self._at = [], [], 0
        if not parts:
            return
        words = tuple(part.word for part in parts)
        if words == ("END",) and self._opened is not None:
            self._opened = None
            return
        skipped, begins = prefix(words)
        if begins:
            self._opened = self._unknown(parts, source, "begins a statement set that no END; closes")
        own = parts[skipped:]
        if not own:
            if not begins:
                self.found.append(self._unknown(parts, source, "no statement follows"))
            return
        kind, why = kind_of(words[skipped:], in_set=self._opened is not None)
        self.found.append(SqlStatement(self._file, own, source, kind, why))

    def finished(self) -> list[SqlStatement]:
        return [*self.found, *([self._opened] if self._opened else [])]

    def _unknown(self, parts: tuple[Lexeme, ...], source: str, why: str) -> SqlStatement:
        return SqlStatement(self._file, parts, source, Kind.UNKNOWN, why)
