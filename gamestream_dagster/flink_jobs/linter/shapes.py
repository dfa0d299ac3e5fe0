"""Facts about a script for the text rules: tables with columns and options, sinks, aliases, keys, rankings.

Names are upper case. This recognises common shapes, not all of SQL: where it cannot follow, the rules report nothing,
and the planner's rules cover what the text hides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from gamestream_dagster.flink_jobs.linter.effective import Course, run_through
from gamestream_dagster.flink_jobs.linter.lexemes import Lexeme, SqlStatement
from gamestream_dagster.flink_jobs.linter.source import Session, Unit
from gamestream_dagster.flink_jobs.linter.statements import Kind
from gamestream_dagster.flink_jobs.linter.tables import (
    NAMES,
    Table,
    closing,
    declared,
    last_name,
    query_place,
    split_commas,
)
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec
from gamestream_dagster.flink_jobs.spec.sql_text import TokenKind

WINDOW_COLUMNS = frozenset({"WINDOW_START", "WINDOW_END", "WINDOW_TIME"})


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
    """One session of a unit, with the tables that it uses from other scripts."""

    session: Session
    course: Course
    foreign: tuple[Table, ...]
    sinks: frozenset[str]
    rank_names: frozenset[str]  # aliases of the rankings of the unit
    job: JobSpec | None = None

    @cached_property
    def versions(self) -> tuple[Table, ...]:
        """The session's own tables in every usable version; a job declares a source once per format."""
        return tuple(self.course.versions)

    @cached_property
    def all_tables(self) -> tuple[Table, ...]:
        """With those of the other scripts."""
        return (*self.versions, *self.foreign)

    @cached_property
    def queries(self) -> list[SqlStatement]:
        """The statements that compute: views and INSERTs."""
        return [one for one in self.session.statements if computes(one)]

    @cached_property
    def aliases(self) -> dict[str, list[tuple[Lexeme, ...]]]:
        """Name -> the expressions with that alias in the session."""
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
    """The shapes of each session of a unit."""
    declared_by = [{one.name: one for one in map(declared, _tables(session))} for session in unit.sessions]
    sinks = frozenset(target(one) for one in unit.statements if one.kind is Kind.INSERT)
    rankings = (one for query in unit.statements if computes(query) for one in _rankings(query))
    rank_names = frozenset(one.alias for one in rankings if one.alias)
    made: list[Shapes] = []
    for number, session in enumerate(unit.sessions):
        foreign = _foreign(declared_by, number) if unit.job is None else {}
        course = run_through(session.statements, session.settings, foreign)
        made.append(Shapes(session, course, tuple(foreign.values()), sinks, rank_names, unit.job))
    return made


def _tables(session: Session) -> list[SqlStatement]:
    return [one for one in session.statements if one.kind is Kind.TABLE]


def _foreign(declared_by: Sequence[Mapping[str, Table]], number: int) -> dict[str, Table]:
    """The tables of the other scripts; of two with the same name, that of the nearest script before."""
    found: dict[str, Table] = {}
    for other in (*declared_by[number + 1 :][::-1], *declared_by[:number]):
        found |= other
    return {name: one for name, one in found.items() if name not in declared_by[number]}


def computes(statement: SqlStatement) -> bool:
    """A query: in a view, an INSERT, a CREATE TABLE ... AS, or alone."""
    return statement.kind in (Kind.VIEW, Kind.INSERT, Kind.QUERY) or query_place(statement) is not None


def is_view(statement: SqlStatement) -> bool:
    """CREATE or ALTER VIEW."""
    return statement.kind is Kind.VIEW


def target(statement: SqlStatement) -> str:
    """The table of an INSERT."""
    return last_name(statement.parts[2:])


def _aliases(parts: Sequence[Lexeme]) -> Iterator[tuple[str, tuple[Lexeme, ...]]]:
    """`<expression> AS name`: the expression extends back to the comma or keyword before it."""
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
    """The columns of a BY list. `t.column` is `COLUMN`; an expression is its type, or `?`."""
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
