"""Flink SQL as tokens: enough to split statements and find placeholders, aware of quotes and comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from gamestream_dagster.flink_jobs.errors import JobSpecError


class TokenKind(StrEnum):
    """The kind of a piece of SQL text."""

    STRING = "string"  # '...' with '' for a quote
    QUOTED = "quoted"  # `...` with `` for a backtick: an identifier
    COMMENT = "comment"  # -- to the end of the line, or /* ... */
    HINT = "hint"  # /*+ ... */, which Flink reads
    PLACEHOLDER = "placeholder"  # ${name}
    WORD = "word"  # keyword, identifier or number
    SPACE = "space"
    SEMICOLON = "semicolon"
    OTHER = "other"  # any other single character


@dataclass(frozen=True)
class Token:
    """One piece of SQL text; the pieces of a text, joined, are the text."""

    kind: TokenKind
    text: str


@dataclass(frozen=True)
class Statement:
    """One statement: its text without comments and final semicolon, and its tokens without comments."""

    tokens: tuple[Token, ...]

    @property
    def text(self) -> str:
        """The statement as sent."""
        return "".join(token.text for token in self.tokens).strip()

    @property
    def words(self) -> tuple[str, ...]:
        """Its words in upper case, without quoted identifiers and strings."""
        return tuple(token.text.upper() for token in self.tokens if token.kind is TokenKind.WORD)

    def begins(self, *words: str) -> bool:
        """True when the statement begins with these words."""
        return self.words[: len(words)] == words


PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")

_TOKENS: tuple[tuple[TokenKind, re.Pattern[str]], ...] = (
    (TokenKind.STRING, re.compile(r"'(?:[^']|'')*'")),
    (TokenKind.QUOTED, re.compile(r"`(?:[^`]|``)*`")),
    (TokenKind.COMMENT, re.compile(r"--[^\n]*")),
    (TokenKind.HINT, re.compile(r"/\*\+.*?\*/", re.DOTALL)),
    (TokenKind.COMMENT, re.compile(r"/\*.*?\*/", re.DOTALL)),
    (TokenKind.PLACEHOLDER, PLACEHOLDER),
    (TokenKind.WORD, re.compile(r"\w+")),
    (TokenKind.SPACE, re.compile(r"\s+")),
    (TokenKind.SEMICOLON, re.compile(r";")),
)
_UNCLOSED = {"'": "quote", "`": "backtick", "/*": "comment", "${": "placeholder"}


def tokens(sql: str) -> Iterator[Token]:
    """The tokens of a SQL text, in order.

    Raises:
        JobSpecError: a quote, a comment or a placeholder is not closed; names the line where it begins.
    """
    position = 0
    while position < len(sql):
        for opening, name in _UNCLOSED.items():
            if sql.startswith(opening, position) and not _match(sql, position):
                line = sql.count("\n", 0, position) + 1
                raise JobSpecError(f"line {line}: a {name} ({opening}) is opened and never closed; close it")
        token = _match(sql, position) or Token(TokenKind.OTHER, sql[position])
        position += len(token.text)
        yield token


def _match(sql: str, position: int) -> Token | None:
    for kind, pattern in _TOKENS:
        found = pattern.match(sql, position)
        if found:
            return Token(kind, found.group())
    return None


def split(sql: str) -> list[Statement]:
    """The statements of a SQL text. Semicolons inside quotes, comments or a statement set do not end a statement.

    Raises:
        JobSpecError: something is not closed, including a statement set.
    """
    found: list[Statement] = []
    current: list[Token] = []
    body = _Body()
    for token in tokens(sql):
        if token.kind is TokenKind.COMMENT:
            current.append(Token(TokenKind.SPACE, " "))
            continue
        if token.kind is TokenKind.SEMICOLON and not body.open:
            _add(found, current)
            current, body = [], _Body()
            continue
        body.see(token)
        current.append(token)
    if body.open:
        raise JobSpecError("a STATEMENT SET is begun and never ended; write END; after its last INSERT")
    _add(found, current)
    return found


class _Body:
    """Whether the scan is between BEGIN and END of a statement set; tracks CASE ... END inside it."""

    def __init__(self) -> None:
        self.open = False
        self._words: list[str] = []
        self._cases = 0

    def see(self, token: Token) -> None:
        """Process the next token of the statement."""
        if token.kind is not TokenKind.WORD:
            return
        word = token.text.upper()
        if not self.open:
            self._words.append(word)
            self.open = self._words[-3:] == ["STATEMENT", "SET", "BEGIN"]
        elif word == "CASE":
            self._cases += 1
        elif word == "END" and self._cases:
            self._cases -= 1
        elif word == "END":
            self.open = False
            self._words.clear()


def _add(found: list[Statement], current: list[Token]) -> None:
    if any(token.kind is not TokenKind.SPACE for token in current):
        found.append(Statement(tuple(current)))


def canonical(sql: str) -> str:
    """A SQL text without comments and with normalised white space."""
    return ";\n".join(_collapse(statement) for statement in split(sql))


def _collapse(statement: Statement) -> str:
    text: list[str] = []
    for token in statement.tokens:
        piece = " " if token.kind is TokenKind.SPACE else token.text
        if piece == " " and (not text or text[-1] == " "):
            continue
        text.append(piece)
    return "".join(text).strip()
