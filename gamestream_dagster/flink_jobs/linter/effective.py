"""Effective tables and options at each statement, after the statements before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gamestream_dagster.flink_jobs.linter.lexemes import SqlStatement
from gamestream_dagster.flink_jobs.linter.source import Option
from gamestream_dagster.flink_jobs.linter.statements import Kind
from gamestream_dagster.flink_jobs.linter.tables import (
    NAMES,
    Table,
    changed,
    closing,
    created,
    declared,
    excluded,
    inherited,
    last_name,
    like,
    options_of,
    query_place,
    setting,
)


@dataclass(frozen=True)
class Moment:
    """A statement with the options in effect when it runs."""

    statement: SqlStatement
    settings: Mapping[str, Option]


@dataclass
class Course:
    """A session after all statements. `versions`: each table as statements can read or write it, also by hint."""

    moments: list[Moment] = field(default_factory=list["Moment"])
    versions: list[Table] = field(default_factory=list["Table"])
    unknown: list[tuple[SqlStatement, str]] = field(default_factory=list[tuple[SqlStatement, str]])
    tables: dict[str, Table] = field(default_factory=dict[str, Table])


def run_through(
    statements: Sequence[SqlStatement], settings: Mapping[str, Option], known: Mapping[str, Table]
) -> Course:
    """Process the statements in order.

    Args:
        statements: of one session.
        settings: options in effect before the first one.
        known: tables that other scripts declare.
    """
    walk = _Walk(Course(tables=dict(known)), dict(settings))
    for statement in statements:
        walk.take(statement)
    return walk.course


class _Walk:
    def __init__(self, course: Course, settings: dict[str, Option]) -> None:
        self.course = course
        self._settings = settings
        self._views: dict[str, SqlStatement] = {}
        self._used: set[int] = set()

    def take(self, statement: SqlStatement) -> None:
        course = self.course
        course.moments.append(Moment(statement, dict(self._settings)))
        if statement.unknown:
            course.unknown.append((statement, statement.unknown))
        self._use(statement)
        match statement.kind:
            case Kind.SET:
                self._settings |= dict(filter(None, [setting(statement)]))
            case Kind.RESET:
                self._reset(statement)
            case Kind.TABLE:
                self._create(statement)
            case Kind.VIEW:
                self._views[created(statement)] = statement
            case Kind.ALTER:
                self._alter(statement)
            case Kind.DROP if "TABLE" in statement.words[:4]:
                course.tables.pop(last_name(statement.parts[-1:]), None)
            case _:
                return

    def _use(self, statement: SqlStatement) -> None:
        """Record the tables that a statement reads and writes, through views too, and the effect of its hints."""
        if statement.kind in (Kind.INSERT, Kind.QUERY) or query_place(statement) is not None:
            todo, seen = [statement], set[str]()
            while todo:
                names = todo.pop().named - seen
                seen |= names
                todo += [self._views[name] for name in names & self._views.keys()]
            self._used |= {id(self.course.tables[name]) for name in seen & self.course.tables.keys()}
        for name, options in _hinted_options(statement):
            base = self.course.tables.get(name) or Table(name, {}, frozenset(), False, (), {}, statement)
            self.course.versions.append(replace(base, options={**base.options, **options}, statement=statement))

    def _reset(self, statement: SqlStatement) -> None:
        if len(statement.parts) == 1:
            self._settings.clear()
        self._settings.pop("".join(part.value for part in statement.parts[1:]), None)

    def _create(self, statement: SqlStatement) -> None:
        made = declared(statement)
        base_name = like(statement)
        if base_name is not None:
            base = self.course.tables.get(base_name)
            if base is None:
                why = f"it is LIKE {base_name.lower()}, which is declared nowhere here, so its options are not known"
                self.course.unknown.append((statement, why))
            else:
                made = inherited(made, base, excluded(statement))
        self._add(made)

    def _add(self, table: Table) -> None:
        self.course.tables[table.name] = table
        self.course.versions.append(table)

    def _alter(self, statement: SqlStatement) -> None:
        name = created(statement)
        base = self.course.tables.get(name) or Table(name, {}, frozenset(), False, (), {}, statement)
        altered = changed(base, statement)
        if altered is None:
            self.course.unknown.append((statement, "no rule follows this change of a table"))
            return
        if id(base) not in self._used and base in self.course.versions:
            self.course.versions.remove(base)  # nothing ever read this version
        self.course.tables.pop(name, None)
        self._add(altered)


def _hinted_options(statement: SqlStatement) -> Iterator[tuple[str, dict[str, Option]]]:
    """The table and the options of each `/*+ OPTIONS(...) */`."""
    name = ""
    for part in statement.parts:
        if part.kind in NAMES:
            name = part.word
        for place, piece in enumerate(part.hinted):
            if piece.word == "OPTIONS":
                inside = part.hinted[place : closing(part.hinted, place + 1)]
                yield name, options_of(inside, statement.file)
