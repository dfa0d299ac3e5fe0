"""Plans of the linted statements from Flink's real planner. Nothing is started, created or reached but the gateway."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gamestream_dagster.catalogue.sources import load_sources
from gamestream_dagster.clients.errors import TerminalServiceError
from gamestream_dagster.clients.flink_literal import literal
from gamestream_dagster.clients.flink_sql_gateway import GatewaySession, SqlGateway
from gamestream_dagster.flink_jobs.linter.lexemes import SqlStatement
from gamestream_dagster.flink_jobs.linter.shapes import Shapes, shapes_of, target
from gamestream_dagster.flink_jobs.linter.source import Unit
from gamestream_dagster.flink_jobs.linter.statements import Kind
from gamestream_dagster.flink_jobs.linter.tables import (
    clauses_place,
    closing,
    columns_place,
    created,
    last_name,
    name_place,
    query_place,
    setting,
)
from gamestream_dagster.flink_jobs.spec.fixed import PARALLELISM
from gamestream_dagster.flink_jobs.target.render import OWN_FORMATS, Bindings, format_placeholder, render

_PLANNING_OPTIONS = ("table.", "execution.runtime-mode", PARALLELISM)
# Enough for the planner: it reads the kind of connector, not what is behind it. No secret leaves the script.
_KAFKA = (
    "'connector' = 'kafka', 'topic' = 't', 'properties.bootstrap.servers' = 'b:1', 'format' = 'json',"
    " 'scan.startup.mode' = 'earliest-offset'"
)
_UPSERT_KAFKA = (
    "'connector' = 'upsert-kafka', 'topic' = 't', 'properties.bootstrap.servers' = 'b:1', 'key.format' = 'json',"
    " 'value.format' = 'json'"
)
_JDBC = "'connector' = 'jdbc', 'url' = 'jdbc:postgresql://b:1/d', 'table-name' = 't'"
_CONNECTORS = {"kafka": _KAFKA, "upsert-kafka": _UPSERT_KAFKA, "jdbc": _JDBC}
_FIXED = {"season_length_millis": "86400000", "season_shift_millis": "0", "erased_players": "", "erased_salt": ""}
_VALUES = ("kafka_bootstrap", "registry_url", "jdbc_url", "postgres_user", "postgres_password", "group_id", "job")
_OPTIONS_HINT = re.compile(r"/\*\+\s*OPTIONS\s*\([^)]*\)\s*\*/", re.IGNORECASE)


@dataclass(frozen=True)
class Planned:
    """What the planner made of one query or of a job's whole statement set: a plan, or a refusal."""

    inserts: tuple[SqlStatement, ...]
    shapes: Shapes
    plan: str = ""
    refusal: str = ""
    refused: SqlStatement | None = None


@dataclass
class Answers:
    """All that the planner said of a unit."""

    planned: list[Planned] = field(default_factory=list["Planned"])
    judged: set[int] = field(default_factory=set[int])  # ids of the statements that it took or refused itself
    followers: dict[int, int] = field(default_factory=dict[int, int])  # id of a statement -> others that it broke


def plans_of(unit: Unit, gateway: SqlGateway) -> Answers:
    """One plan for a job's statement set, one for each query of plain scripts, each script in a session of its own.

    Raises:
        TransientServiceError: the gateway gives no answer.
        RenderError: a placeholder of a job has no value.
    """
    shapes = shapes_of(unit)
    answers = Answers()
    if unit.job is not None:
        answers.planned.append(_job_plan(unit, shapes[0], gateway))
        answers.judged |= set(map(id, unit.statements))
        return answers
    for one in shapes:
        with gateway.session("lint", {}) as session:
            _Script(one, session, answers).run(_foreign(unit, one))
    return answers


def _job_plan(unit: Unit, shapes: Shapes, gateway: SqlGateway) -> Planned:
    assert unit.job is not None  # noqa: S101 - the caller asked
    values = {**{name: name for name in _VALUES}, **_FIXED, "jdbc_url": "jdbc:postgresql://b:1/d?currentSchema=s"}
    formats = {name: {"format": "json"} for name in (*map(format_placeholder, load_sources()), *OWN_FORMATS)}
    bindings = Bindings({**values, **formats})
    rendered = render(unit.job, bindings)
    inserts = tuple(one for one in shapes.session.statements if one.kind is Kind.INSERT)
    with gateway.session("lint", unit.job.flink) as session:
        try:
            for definition in rendered.definitions:
                session.execute(definition)
            return Planned(inserts, shapes, session.explain(rendered.statement_set_body))
        except TerminalServiceError as error:
            return Planned(inserts, shapes, "", error.reason, (inserts or unit.statements)[0])


def _foreign(unit: Unit, shapes: Shapes) -> list[SqlStatement]:
    """Tables and views of the other scripts that this one needs, in their order."""
    own = {created(one) for one in shapes.session.statements if one.kind in (Kind.TABLE, Kind.VIEW)}
    others = [
        one
        for session in unit.sessions
        if session is not shapes.session
        for one in session.statements
        if one.kind in (Kind.TABLE, Kind.VIEW) and created(one) not in own
    ]
    tables = {id(one.statement) for one in shapes.foreign}
    offered = [one for one in others if one.kind is Kind.VIEW or id(one) in tables]
    needed, names = set[int](), set[str]().union(*(one.named for one in shapes.session.statements))
    while more := [one for one in offered if created(one) in names and id(one) not in needed]:
        needed |= set(map(id, more))
        names = set[str]().union(*(one.named for one in more))
    return [one for one in offered if id(one) in needed]


class _Script:
    """One script in one session, statement by statement.

    A statement that fails over a name that an earlier one should have made is counted with that one.
    """

    def __init__(self, shapes: Shapes, session: GatewaySession, answers: Answers) -> None:
        self._shapes = shapes
        self._session = session
        self._answers = answers
        self._broken: dict[str, SqlStatement] = {}
        self._made: set[str] = set()
        self._qualifiers = _qualifiers(shapes)

    def run(self, foreign: Sequence[SqlStatement]) -> None:
        for statement in foreign:
            try:
                self._define(statement)
            except TerminalServiceError:  # found where it is written
                self._broken[created(statement)] = statement
        for statement in self._shapes.session.statements:
            self._take(statement)

    def _take(self, statement: SqlStatement) -> None:
        match statement.kind:
            case Kind.TABLE | Kind.VIEW if query_place(statement) is None:
                self._try(statement, lambda: self._define(statement))
            case Kind.TABLE:
                self._try(statement, lambda: self._query_of_table(statement))
            case Kind.INSERT | Kind.QUERY:
                self._try(statement, lambda: self._explain(statement))
            case Kind.ALTER if statement.words[columns_place(statement) :][:1] not in (("SET",), ("RESET",)):
                self._try(
                    statement,
                    lambda: self._session.execute(self._text(statement, name_place(statement), "ALTER TABLE ")),
                )
            case Kind.DROP:
                self._drop(statement)
            case Kind.SET if (pair := setting(statement)) and pair[0].startswith(_PLANNING_OPTIONS):
                self._session.execute(f"SET {literal(pair[0])} = {literal(pair[1].value)}")
            case Kind.RESET:
                self._reset(statement)
            case Kind.UNKNOWN | Kind.FUNCTION:
                self._broken |= dict.fromkeys(_made_by(statement), statement)
            case _:
                return

    def _try(self, statement: SqlStatement, act: Callable[[], object]) -> None:
        self._answers.judged.add(id(statement))
        try:
            act()
        except TerminalServiceError as error:
            root = next((self._broken[name] for name in sorted(statement.named & self._broken.keys())), None)
            if statement.kind in (Kind.TABLE, Kind.VIEW):
                self._broken[created(statement)] = root or statement
            if root is None:
                own = (statement,) if statement.kind in (Kind.INSERT, Kind.QUERY) else ()
                self._answers.planned.append(Planned(own, self._shapes, "", error.reason, statement))
            else:
                self._answers.followers[id(root)] = self._answers.followers.get(id(root), 0) + 1

    def _define(self, statement: SqlStatement) -> None:
        name = created(statement)
        again = statement.words[1:3] in (("OR", "REPLACE"), ("OR", "ALTER")) or statement.words[0] in (
            "ALTER",
            "REPLACE",
        )
        if name in self._made and "IF" in statement.words[:5]:
            return
        if name in self._made and again:
            self._forget(name, statement.kind)
        self._session.execute(self._definition(statement))
        self._made.add(name)

    def _definition(self, statement: SqlStatement) -> str:
        """Created for the session, under its bare name: the script's catalogs are not there."""
        place = name_place(statement)
        if statement.kind is Kind.VIEW:
            return self._text(statement, place, "CREATE TEMPORARY VIEW ")
        table = self._shapes.course.tables.get(created(statement))
        declared = next((one for one in self._shapes.all_tables if one.statement is statement), table)
        head = "CREATE TEMPORARY TABLE " if "TEMPORARY" in statement.words[:4] else "CREATE TABLE "
        connector = declared.options.get("connector") if declared else None
        options = _CONNECTORS.get(connector.value if connector else "")
        clause = _with_place(statement)
        if not options or clause is None:
            return self._text(statement, place, head)
        tail = closing(statement.parts, clause + 1) + 1
        behind = f" {statement.text_from(tail)}" if tail < len(statement.parts) else ""
        return f"{self._text(statement, place, head, clause)} WITH ({options}){behind}"

    def _query_of_table(self, statement: SqlStatement) -> None:
        """CREATE TABLE ... AS: its query, under the table's name for those who read it."""
        at = query_place(statement) or 0
        query = self._text(statement, at)
        self._plan(statement, query)
        self._session.execute(f"CREATE TEMPORARY VIEW `{self._written(created(statement))}` AS {query}")

    def _explain(self, statement: SqlStatement) -> None:
        if statement.kind is Kind.QUERY:
            self._plan(statement, self._text(statement, 0))
            return
        name = target(statement)
        place = next(at for at, part in enumerate(statement.parts) if at > 1 and part.word == name)
        self._plan(statement, self._text(statement, place, f"INSERT {statement.words[1]} "))

    def _plan(self, statement: SqlStatement, text: str) -> None:
        # options of a hint belong to the real connector and not to the one that stands for it
        plan = self._session.explain(_OPTIONS_HINT.sub(" ", text))
        self._answers.planned.append(Planned((statement,), self._shapes, plan))

    def _drop(self, statement: SqlStatement) -> None:
        name = last_name(statement.parts[-1:])
        self._forget(name, Kind.VIEW if "VIEW" in statement.words[:3] else Kind.TABLE)
        self._broken.pop(name, None)

    def _forget(self, name: str, kind: Kind) -> None:
        for temporary in ("TEMPORARY ", ""):
            try:
                self._session.execute(f"DROP {temporary}{kind.value.upper()} IF EXISTS `{self._written(name)}`")
            except TerminalServiceError:  # it is of the other sort
                continue
        self._made.discard(name)

    def _written(self, name: str) -> str:
        """A name as the script writes it: Flink's are case-sensitive."""
        parts = (part for one in self._shapes.session.statements for part in one.parts if part.word == name)
        return next((part.text.strip("`") for part in parts), name)

    def _reset(self, statement: SqlStatement) -> None:
        option = "".join(part.value for part in statement.parts[1:])
        if not option or option.startswith(_PLANNING_OPTIONS):
            self._session.execute(f"RESET {literal(option)}" if option else "RESET")

    def _text(self, statement: SqlStatement, start: int, head: str = "", end: int | None = None) -> str:
        """A statement's text from a part on, its placeholders as literals and its tables without their catalogs."""
        stop = len(statement.parts) if end is None else end
        text, place = head, start
        while place < stop:
            if skipped := self._qualified(statement, place):
                place += skipped
                continue
            text += statement.text_from(place, place + 1)
            place += 1
        return re.sub(r"=\s*\$\{(\w+)\}", r"= '\1'", text)

    def _qualified(self, statement: SqlStatement, place: int) -> int:
        """How many parts of a qualifier, with its dots, begin here."""
        for qualifier in self._qualifiers:
            size = 2 * len(qualifier)
            if statement.words[place : place + size] == tuple(piece for name in qualifier for piece in (name, ".")):
                return size
        return 0


def _qualifiers(shapes: Shapes) -> list[tuple[str, ...]]:
    """The catalogs and databases that the script writes before the names of its tables, the longest first."""
    found: set[tuple[str, ...]] = set()
    for one in shapes.session.statements:
        if one.kind in (Kind.TABLE, Kind.VIEW):
            place = name_place(one)
            words = one.words[place : columns_place(one)]
            found |= {words[:-2:2]} if len(words) > 2 else set()
    found |= {one[1:] for one in found if len(one) == 2}
    return sorted(found, key=len, reverse=True)


def _with_place(statement: SqlStatement) -> int | None:
    words = statement.words
    places = (
        place for place in range(clauses_place(statement), len(words)) if words[place : place + 2] == ("WITH", "(")
    )
    return next(places, None)


def _made_by(statement: SqlStatement) -> frozenset[str]:
    """Names that a statement which is not run may have been meant to make."""
    return statement.named - {"CREATE", "TABLE", "FUNCTION", "VIEW", "AS", "SELECT", "FROM", "INTO", "INSERT", "STRING"}
