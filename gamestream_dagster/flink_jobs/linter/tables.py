"""Parses CREATE TABLE and ALTER TABLE: names, columns, keys, options. Names are upper case."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gamestream_dagster.flink_jobs.linter.lexemes import Lexeme, SqlStatement
from gamestream_dagster.flink_jobs.linter.source import Option
from gamestream_dagster.flink_jobs.linter.statements import Kind
from gamestream_dagster.flink_jobs.spec.sql_text import TokenKind

_NOT_COLUMNS = frozenset({"PRIMARY", "WATERMARK", "CONSTRAINT", "UNIQUE", "PERIOD", "PARTITIONED"})
_CLAUSES = frozenset({"COMMENT", "DISTRIBUTED", "PARTITIONED", "WITH", "LIKE", "AS", "FRESHNESS", "REFRESH_MODE"})
NAMES = (TokenKind.WORD, TokenKind.QUOTED)


@dataclass(frozen=True)
class Table:
    """A table at one point of a session."""

    name: str
    types: Mapping[str, str]  # column -> first word of its type; `AS` for a computed one
    processing_time: frozenset[str]  # columns that are PROCTIME()
    watermark: bool
    key: tuple[str, ...]
    options: Mapping[str, Option]
    statement: SqlStatement


def changed(table: Table, statement: SqlStatement) -> Table | None:
    """A table after `ALTER TABLE name <action>`; None for an unsupported action."""
    place = columns_place(statement)
    words, rest = statement.words[place:], statement.parts[place:]
    match words[:2]:
        case ("SET", "("):
            return replace(table, options={**table.options, **options_of(rest, statement.file)})
        case ("RESET", "("):
            gone = {part.value for part in rest if part.kind is TokenKind.STRING}
            return replace(table, options={key: one for key, one in table.options.items() if key not in gone})
        case ("RENAME", "TO"):
            return replace(table, name=last_name(rest[2:]))
        case (("ADD" | "MODIFY"), _):
            opening = 1 if words[1] == "(" else 0
            inside = rest[2 : closing(rest, 1)] if opening else rest[1 + (words[1] == "COLUMN") :]
            new = _columns(inside, statement, {})
            return replace(
                table,
                types={**table.types, **new.types},
                processing_time=table.processing_time | new.processing_time,
                watermark=table.watermark or new.watermark,
                key=new.key or table.key,
            )
        case ("DROP", "WATERMARK"):
            return replace(table, watermark=False)
        case ("DROP", _):
            gone = {part.word for part in rest[1:]}
            return replace(table, types={name: one for name, one in table.types.items() if name not in gone})
        case (("RENAME" | "SUSPEND" | "RESUME" | "REFRESH"), *_):
            return table
        case _:
            return None


def declared(statement: SqlStatement) -> Table:
    """The definition in a CREATE TABLE itself."""
    place, begin = clauses_place(statement), columns_place(statement)
    end = query_place(statement) or len(statement.parts)
    options = options_of(statement.parts[place:end], statement.file)
    return _columns(statement.parts[begin + 1 : place - 1], statement, options)


def _columns(inside: Sequence[Lexeme], statement: SqlStatement, options: Mapping[str, Option]) -> Table:
    types: dict[str, str] = {}
    processing: set[str] = set()
    key: tuple[str, ...] = ()
    watermark = False
    for piece in split_commas(inside):
        words = [part.word for part in piece]
        if "PRIMARY" in words and "(" in words[words.index("PRIMARY") :]:
            opened = words.index("(", words.index("PRIMARY"))
            key = tuple(part.word for part in piece[opened : closing(piece, opened)] if part.kind in NAMES)
        elif "PRIMARY" in words:
            key = (words[0],)
        watermark = watermark or words[:1] == ["WATERMARK"]
        if len(piece) < 2 or (words[0] in _NOT_COLUMNS and piece[0].kind is TokenKind.WORD):
            continue
        types[words[0]] = words[1]
        if words[1] == "AS" and "PROCTIME" in words:
            processing.add(words[0])
    return Table(created(statement), types, frozenset(processing), watermark, key, options, statement)


def inherited(own: Table, base: Table, excluded: frozenset[str]) -> Table:
    """A table made LIKE another; its own clauses take precedence."""
    options: Mapping[str, Option] = {} if excluded & {"OPTIONS", "ALL"} else base.options
    watermark = base.watermark and not excluded & {"WATERMARKS", "ALL"}
    key = () if excluded & {"CONSTRAINTS", "ALL"} else base.key
    return replace(
        own,
        types={**base.types, **own.types},
        processing_time=base.processing_time | own.processing_time,
        watermark=own.watermark or watermark,
        key=own.key or key,
        options={**options, **own.options},
    )


def like(statement: SqlStatement) -> str | None:
    """The table that a CREATE TABLE is LIKE."""
    place = _clause(statement, "LIKE")
    return None if place is None else last_name(statement.parts[place + 1 :])


def excluded(statement: SqlStatement) -> frozenset[str]:
    """What a LIKE excludes."""
    place = _clause(statement, "LIKE") or 0
    words = statement.words[place:]
    return frozenset(after for word, after in itertools.pairwise(words) if word == "EXCLUDING")


def query_place(statement: SqlStatement) -> int | None:
    """Start of the query of a CREATE TABLE ... AS; None without one."""
    if statement.kind is not Kind.TABLE:
        return None
    place = _clause(statement, "AS")
    return None if place is None else place + 1


def columns_place(statement: SqlStatement) -> int:
    """Start of a table's own columns, or of what follows its name."""
    place = name_place(statement) + 1
    while statement.words[place : place + 1] == (".",):
        place += 2
    return place


def clauses_place(statement: SqlStatement) -> int:
    """Start of the clauses behind a table's columns."""
    place = columns_place(statement)
    return closing(statement.parts, place) + 1 if statement.words[place : place + 1] == ("(",) else place


def odd_clause(statement: SqlStatement) -> Lexeme | None:
    """The first word behind a table's columns that starts no clause."""
    depth, clause = 0, ""
    for part in statement.parts[clauses_place(statement) :]:
        depth += {"(": 1, ")": -1}.get(part.text, 0)
        if depth or part.text == ")":
            continue
        if part.kind is TokenKind.WORD and part.word in _CLAUSES:
            clause = part.word
            if clause == "AS":
                return None
        elif not clause or clause == "WITH":
            return part
    return None


def _clause(statement: SqlStatement, word: str) -> int | None:
    depth = 0
    start = clauses_place(statement)
    for place, part in enumerate(statement.parts[start:], start):
        depth += {"(": 1, ")": -1}.get(part.text, 0)
        if depth == 0 and part.kind is TokenKind.WORD and part.word == word:
            return place
    return None


def setting(statement: SqlStatement) -> tuple[str, Option] | None:
    """`SET 'option' = 'value'`, also without quotes as in older scripts."""
    if "=" not in statement.words:
        return None
    middle = statement.words.index("=")
    option = "".join(part.value for part in statement.parts[1:middle])
    value = " ".join(part.value for part in statement.parts[middle + 1 :])
    return option, Option(value, statement.file, statement.line)


def options_of(parts: Sequence[Lexeme], file: str) -> dict[str, Option]:
    """`'option' = 'value'` pairs; the value of a placeholder is its text."""
    return {
        option.value: Option(value.value, file, option.line)
        for option, equals, value in zip(parts, parts[1:], parts[2:], strict=False)
        if option.kind is TokenKind.STRING and equals.text == "="
    }


def name_place(statement: SqlStatement) -> int:
    """Start of the name in CREATE or ALTER TABLE or VIEW."""
    words = statement.words
    start = next((place for place, word in enumerate(words) if word in ("TABLE", "VIEW")), 0) + 1
    while words[start : start + 1] in (("IF",), ("NOT",), ("EXISTS",)):
        start += 1
    return start


def created(statement: SqlStatement) -> str:
    """The name of a CREATE or ALTER TABLE or VIEW."""
    return last_name(statement.parts[name_place(statement) :])


def last_name(parts: Sequence[Lexeme]) -> str:
    """The last part of `catalog`.db.name."""
    name = parts[0].word if parts else ""
    for dot, after in zip(parts[1::2], parts[2::2], strict=False):
        if dot.text != ".":
            break
        name = after.word
    return name


def closing(parts: Sequence[Lexeme], opening: int) -> int:
    """Position of the bracket that closes the one at `opening`; the end if none does."""
    depth = 0
    for place in range(opening, len(parts)):
        depth += {"(": 1, ")": -1}.get(parts[place].text, 0)
        if depth == 0:
            return place
    return len(parts)


def split_commas(parts: Sequence[Lexeme]) -> Iterator[Sequence[Lexeme]]:
    """The pieces between top-level commas."""
    depth, start = 0, 0
    for place, part in enumerate(parts):
        depth += {"(": 1, ")": -1}.get(part.text, 0)
        if part.text == "," and depth == 0:
            yield parts[start:place]
            start = place + 1
    yield parts[start:]
