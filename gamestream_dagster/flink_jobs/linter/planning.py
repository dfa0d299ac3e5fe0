"""Plans of the linted statements from Flink's real planner. Nothing is started, created or reached but the gateway."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gamestream_dagster.clients.errors import TerminalServiceError
from gamestream_dagster.clients.flink_literal import literal
from gamestream_dagster.clients.flink_sql_gateway import GatewaySession, SqlGateway
from gamestream_dagster.flink_jobs.linter.shapes import Shapes, Table, created, is_view, shapes_of, target
from gamestream_dagster.flink_jobs.linter.source import SqlStatement, Unit
from gamestream_dagster.flink_jobs.render import Bindings, render

_PLANNING_OPTIONS = ("table.", "execution.runtime-mode", "parallelism.default")
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
_SEASON = {"season_length_millis": "86400000", "season_shift_millis": "0"}
_VALUES = ("kafka_bootstrap", "registry_url", "jdbc_url", "postgres_user", "postgres_password", "group_id", "job")


@dataclass(frozen=True)
class Planned:
    """What the planner made of one INSERT or of a job's whole statement set: a plan, or a refusal."""

    inserts: tuple[SqlStatement, ...]
    shapes: Shapes
    plan: str = ""
    refusal: str = ""
    refused: SqlStatement | None = None


def plans_of(unit: Unit, gateway: SqlGateway) -> Iterator[Planned]:
    """One plan for a job's statement set, one for each INSERT of plain scripts.

    Raises:
        TransientServiceError: the gateway gives no answer.
        RenderError: a placeholder of a job has no value.
    """
    shapes = shapes_of(unit)
    if unit.job is not None:
        yield _job_plan(unit, shapes[0], gateway)
        return
    with gateway.session("lint", {}) as session:
        refusals = _define(unit, shapes[0], session)
        for one in shapes:
            yield from (Planned((), one, "", reason, at) for at, reason in refusals if at in one.session.statements)
            yield from _script_plans(one, session)


def _job_plan(unit: Unit, shapes: Shapes, gateway: SqlGateway) -> Planned:
    assert unit.job is not None  # noqa: S101 - the caller asked
    values = {**{name: name for name in _VALUES}, **_SEASON, "jdbc_url": "jdbc:postgresql://b:1/d"}
    bindings = Bindings({**values, "score_format_options": {"format": "json"}})
    rendered = render(unit.job, bindings)
    inserts = tuple(one for one in unit.statements if one.begins("INSERT"))
    with gateway.session("lint", unit.job.flink) as session:
        try:
            for definition in rendered.definitions:
                session.execute(definition)
            return Planned(inserts, shapes, session.explain(rendered.statement_set_body))
        except TerminalServiceError as error:
            return Planned(inserts, shapes, "", error.reason, inserts[0])


def _define(unit: Unit, shapes: Shapes, session: GatewaySession) -> list[tuple[SqlStatement, str]]:
    """Create the tables and views of all scripts for this session alone; what was refused, and why."""
    refusals: list[tuple[SqlStatement, str]] = []
    seen: set[str] = set()
    for statement in unit.statements:
        table = next((one for one in shapes.all_tables if one.statement is statement), None)
        if not (table or is_view(statement)) or created(statement) in seen:
            continue
        seen.add(created(statement))
        text = _for_planning(statement, table) if table else _temporary(statement)
        try:
            session.execute(text)
        except TerminalServiceError as error:
            refusals.append((statement, error.reason))
    return refusals


def _temporary(statement: SqlStatement) -> str:
    """Created for the session, under its bare name: the script's catalogs are not there."""
    parts = statement.parts
    kind = "VIEW" if is_view(statement) else "TABLE"
    start = statement.words.index(kind)
    name = created(statement)
    place = next(at for at, part in enumerate(parts) if at > start and part.word == name)
    text = re.sub(r"=\s*\$\{(\w+)\}", r"= '\1'", statement.text_from(place))
    return f"CREATE TEMPORARY {kind} {text}"


def _for_planning(statement: SqlStatement, table: Table) -> str:
    text = _temporary(statement)
    options = _CONNECTORS.get(table.options.get("connector", ("", 0))[0])
    places = [found.start() for found in re.finditer(r"\bWITH\s*\(", text, re.IGNORECASE)]
    return f"{text[: places[-1]]} WITH ({options})" if options and places else text


def _script_plans(shapes: Shapes, session: GatewaySession) -> Iterator[Planned]:
    options = {
        option: value
        for option, (value, _, _) in shapes.session.settings.items()
        if option.startswith(_PLANNING_OPTIONS)
    }
    for option, value in options.items():
        session.execute(f"SET {literal(option)} = {literal(value)}")
    try:
        for insert in (one for one in shapes.session.statements if one.begins("INSERT")):
            yield _insert_plan(insert, shapes, session)
    finally:
        for option in options:
            session.reset(option)


def _insert_plan(insert: SqlStatement, shapes: Shapes, session: GatewaySession) -> Planned:
    name = target(insert)
    place = next(at for at, part in enumerate(insert.parts) if at > 1 and part.word == name)
    try:
        return Planned((insert,), shapes, session.explain(f"INSERT INTO {insert.text_from(place)}"))
    except TerminalServiceError as error:
        return Planned((insert,), shapes, "", error.reason, insert)
