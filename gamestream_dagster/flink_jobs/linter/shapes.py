"""What the text rules must know of a script: tables with their columns and options, sinks, aliases, keys, rankings.

All names are in capitals. This reads shapes and not all of SQL: where it cannot follow, the rules keep quiet, and the
planner's rules see what the text hides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from gamestream_dagster.flink_jobs.linter.source import Lexeme, Session, SqlStatement, Unit
from gamestream_dagster.flink_jobs.sql_text import TokenKind

_NOT_COLUMNS = frozenset({"PRIMARY", "WATERMARK", "CONSTRAINT", "UNIQUE", "PERIOD", "PARTITIONED"})
WINDOW_COLUMNS = frozenset({"WINDOW_START", "WINDOW_END", "WINDOW_TIME"})
NAMES = (TokenKind.WORD, TokenKind.QUOTED)


@dataclass(frozen=True)
class Table:
    """A CREATE TABLE."""

    name: str
    types: dict[str, str]  # column -> first word of its type; `AS` for a computed one
    processing_time: frozenset[str]  # columns that are PROCTIME()
    watermark: bool
    key: tuple[str, ...]
    options: dict[str, tuple[str, int]]  # option -> value, line
    statement: SqlStatement


@dataclass(frozen=True)
class Ranking:
    """One `ROW_NUMBER() OVER (PARTITION BY ... ORDER BY ...)`, or RANK, DENSE_RANK."""

    statement: SqlStatement
    line: int
    partition: tuple[str, ...]
    order: tuple[str, ...]
    alias: str | None


@dataclass(frozen=True)
class Shapes:
    """A unit, or one session of it with the tables of all."""

    session: Session
    all_tables: tuple[Table, ...]  # of the unit; a job declares a source once for each format
    sinks: frozenset[str]
    rank_names: frozenset[str]  # what the rankings of the unit are called

    @cached_property
    def tables(self) -> dict[str, Table]:
        """The tables of the unit by name."""
        return {table.name: table for table in self.all_tables}

    @cached_property
    def own_tables(self) -> list[Table]:
        """The tables that this session declares."""
        own = set(map(id, self.session.statements))
        return [table for table in self.all_tables if id(table.statement) in own]

    @cached_property
    def queries(self) -> list[SqlStatement]:
        """The statements that compute: views and INSERTs."""
        return [one for one in self.session.statements if computes(one)]

    @cached_property
    def aliases(self) -> dict[str, list[tuple[Lexeme, ...]]]:
        """Name -> the expressions that are called so somewhere in the session."""
        found: dict[str, list[tuple[Lexeme, ...]]] = {}
        for query in self.queries:
            for name, expression in _aliases(query.parts):
                found.setdefault(name, []).append(expression)
        return found

    @cached_property
    def keys(self) -> frozenset[str]:
        """Columns of some GROUP BY or PARTITION BY of the session."""
        return frozenset(
            column
            for query in self.queries
            for by in ("GROUP", "PARTITION")
            for place in _places(query.words, (by, "BY"))
            for column in _columns(query.parts[place + 2 :])
        )

    @cached_property
    def rankings(self) -> list[Ranking]:
        """Every ranking, in order."""
        return [ranking for query in self.queries for ranking in _rankings(query)]


def shapes_of(unit: Unit) -> list[Shapes]:
    """The shapes of each session of a unit; tables are shared among the sessions."""
    tables = tuple(table for one in unit.statements if (table := _table(one)))
    sinks = frozenset(target(one) for one in unit.statements if one.begins("INSERT"))
    rankings = (one for query in unit.statements if computes(query) for one in _rankings(query))
    rank_names = frozenset(one.alias for one in rankings if one.alias)
    return [Shapes(session, tables, sinks, rank_names) for session in unit.sessions]


def computes(statement: SqlStatement) -> bool:
    """A view or an INSERT."""
    return is_view(statement) or statement.begins("INSERT")


def is_view(statement: SqlStatement) -> bool:
    """CREATE [TEMPORARY] VIEW."""
    return statement.begins("CREATE") and "VIEW" in statement.words[:5]


def target(statement: SqlStatement) -> str:
    """The table of an INSERT."""
    return _last_name(statement.parts[2:])


def created(statement: SqlStatement) -> str:
    """The name of a CREATE TABLE or VIEW."""
    words = statement.words
    start = next(place for place, word in enumerate(words) if word in ("TABLE", "VIEW")) + 1
    if words[start : start + 3] == ("IF", "NOT", "EXISTS"):
        start += 3
    return _last_name(statement.parts[start:])


def _last_name(parts: Sequence[Lexeme]) -> str:
    """`catalog`.db.name: the last."""
    name = parts[0].word if parts else ""
    for dot, after in zip(parts[1::2], parts[2::2], strict=False):
        if dot.text != ".":
            break
        name = after.word
    return name


def closing(parts: Sequence[Lexeme], opening: int) -> int:
    """Place of the bracket that closes the one at `opening`; the end if none does."""
    depth = 0
    for place in range(opening, len(parts)):
        depth += {"(": 1, ")": -1}.get(parts[place].text, 0)
        if depth == 0:
            return place
    return len(parts)


def split_commas(parts: Sequence[Lexeme]) -> Iterator[Sequence[Lexeme]]:
    """The pieces between the commas that stand in no bracket."""
    depth, start = 0, 0
    for place, part in enumerate(parts):
        depth += {"(": 1, ")": -1}.get(part.text, 0)
        if part.text == "," and depth == 0:
            yield parts[start:place]
            start = place + 1
    yield parts[start:]


def _table(statement: SqlStatement) -> Table | None:
    words = statement.words
    if not statement.begins("CREATE") or "TABLE" not in words[:3] or "(" not in words:
        return None
    opening = words.index("(")
    end = closing(statement.parts, opening)
    types: dict[str, str] = {}
    processing: set[str] = set()
    key: tuple[str, ...] = ()
    watermark = False
    for piece in split_commas(statement.parts[opening + 1 : end]):
        piece_words = [part.word for part in piece]
        if "PRIMARY" in piece_words and "(" in piece_words[piece_words.index("PRIMARY") :]:
            opened = piece_words.index("(", piece_words.index("PRIMARY"))
            key = tuple(part.word for part in piece[opened : closing(piece, opened)] if part.kind in NAMES)
        elif "PRIMARY" in piece_words:
            key = (piece_words[0],)
        watermark = watermark or piece_words[:1] == ["WATERMARK"]
        if len(piece) < 2 or (piece_words[0] in _NOT_COLUMNS and piece[0].kind is TokenKind.WORD):
            continue
        types[piece_words[0]] = piece_words[1]
        if piece_words[1] == "AS" and "PROCTIME" in piece_words:
            processing.add(piece_words[0])
    options = dict(literals(statement.parts[end + 1 :]))
    return Table(created(statement), types, frozenset(processing), watermark, key, options, statement)


def literals(parts: Sequence[Lexeme]) -> Iterator[tuple[str, tuple[str, int]]]:
    """`'option' = 'value'` pairs; the value of a placeholder is its text."""
    for option, equals, value in zip(parts, parts[1:], parts[2:], strict=False):
        if option.kind is TokenKind.STRING and equals.text == "=":
            yield option.value, (value.value, option.line)


def _aliases(parts: Sequence[Lexeme]) -> Iterator[tuple[str, tuple[Lexeme, ...]]]:
    """`<expression> AS name`: the expression runs back to the comma or keyword before it."""
    for place, part in enumerate(parts[:-1]):
        if part.word == "AS" and part.kind is TokenKind.WORD and parts[place + 1].kind in NAMES:
            depth, start = 0, place
            while start > 0:
                before = parts[start - 1]
                depth += {")": 1, "(": -1}.get(before.text, 0)
                if depth < 0 or (depth == 0 and (before.text == "," or before.word in ("SELECT", "DISTINCT", "ALL"))):
                    break
                start -= 1
            yield parts[place + 1].word, tuple(parts[start:place])


def _places(words: Sequence[str], wanted: tuple[str, ...]) -> Iterator[int]:
    size = len(wanted)
    yield from (place for place in range(len(words)) if tuple(words[place : place + size]) == wanted)


def _columns(parts: Sequence[Lexeme]) -> tuple[str, ...]:
    """The columns of a BY list, up to where it ends. `t.column` is `COLUMN`; an expression is its type, or `?`."""
    depth, end = 0, len(parts)
    for place, part in enumerate(parts):
        depth += {"(": 1, ")": -1}.get(part.text, 0)
        if depth < 0 or (depth == 0 and part.kind is TokenKind.WORD and part.word in _ENDS):
            end = place
            break
    return tuple(_column(piece) for piece in split_commas(parts[:end]) if piece)


def _column(piece: Sequence[Lexeme]) -> str:
    bare = [part for part in piece if part.kind is TokenKind.QUOTED or part.word not in _DIRECTIONS]
    if bare and bare[-1].kind in NAMES and len(bare) % 2 and all(part.text == "." for part in bare[1::2]):
        return bare[-1].word
    return next((part.word for part in bare if part.word in FLOATS), "?")


FLOATS = frozenset({"FLOAT", "DOUBLE", "REAL"})
_DIRECTIONS = frozenset({"ASC", "DESC", "NULLS", "FIRST", "LAST"})
_ENDS = frozenset(
    {"ORDER", "RANGE", "ROWS", "HAVING", "WHERE", "UNION", "WINDOW", "LIMIT", "INTERSECT", "EXCEPT", "INSERT", "ON"}
)


def _rankings(query: SqlStatement) -> Iterator[Ranking]:
    words, parts = query.words, query.parts
    for place, word in enumerate(words):
        if word not in ("ROW_NUMBER", "RANK", "DENSE_RANK") or words[place + 1 : place + 5] != ("(", ")", "OVER", "("):
            continue
        end = closing(parts, place + 4)
        inside, inside_words = parts[place + 5 : end], words[place + 5 : end]
        partition = [_columns(inside[at + 2 :]) for at in _places(inside_words, ("PARTITION", "BY"))]
        order = [_columns(inside[at + 2 :]) for at in _places(inside_words, ("ORDER", "BY"))]
        alias = parts[end + 2].word if words[end + 1 : end + 2] == ("AS",) and len(parts) > end + 2 else None
        yield Ranking(query, parts[place].line, partition[0] if partition else (), order[0] if order else (), alias)
