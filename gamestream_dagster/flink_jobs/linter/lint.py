"""The linter: text rules always, planner rules when a SQL gateway is given."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, replace
from pathlib import Path

from gamestream_dagster.clients.flink_sql_gateway import SqlGateway
from gamestream_dagster.flink_jobs.linter.findings import Finding, Severity
from gamestream_dagster.flink_jobs.linter.plan_rules import plan_findings, proven_orders, refused
from gamestream_dagster.flink_jobs.linter.planning import Answers, plans_of
from gamestream_dagster.flink_jobs.linter.shapes import shapes_of
from gamestream_dagster.flink_jobs.linter.source import Unit, unit_of_job
from gamestream_dagster.flink_jobs.linter.text_rules import TEXT_RULES, odd_statements
from gamestream_dagster.flink_jobs.spec.job_spec import JobSpec

_REFUSED = "GS16"  # at submission the planner itself reports this, with the values of this stack


@dataclass(frozen=True)
class Report:
    """The findings by file and line, and how many plans the planner made or refused (None: not asked)."""

    findings: tuple[Finding, ...]
    plans: int | None


def lint(units: Iterable[Unit], gateway: SqlGateway | None) -> Report:
    """Lint every unit.

    Raises:
        TransientServiceError: the gateway does not answer.
        TerminalFlinkJobError: a placeholder of a job has no value, or the gateway's reply is not a plan.
    """
    found: set[Finding] = set()
    plans = 0
    for unit in units:
        answers = plans_of(unit, gateway) if gateway is not None else Answers()
        text = text_findings(unit, answers.judged)
        for planned in answers.planned:
            plans += 1
            proven = {(one.statement.file, one.line) for one in proven_orders(planned)}
            text = [one for one in text if one.code != "GS04" or (one.file, one.line) not in proven]
            text += [*refused(planned), *plan_findings(planned)]
        found |= set(_once(_with_followers(text, unit, answers)))
    ordered = sorted(found, key=lambda one: (one.file, one.line, one.code, one.message))
    return Report(tuple(ordered), plans if gateway is not None else None)


def errors_of(spec: JobSpec, root: Path, gateway: SqlGateway) -> tuple[str, ...]:
    """The errors in a job's SQL that its job.yaml does not accept, a sentence each.

    `gamestream lint` also reports warnings and accepted errors.

    Raises:
        TransientServiceError: the gateway does not answer.
    """
    found = lint([unit_of_job(root / spec.name, spec)], gateway).findings
    passed_over = {_REFUSED, *spec.lint_accepts}
    errors = [one for one in found if one.severity is Severity.ERROR and one.code not in passed_over]
    return tuple(f"{one.code} {Path(one.file).relative_to(root)}:{one.line}: {one.message}" for one in errors)


def text_findings(unit: Unit, judged: Set[int] = frozenset()) -> list[Finding]:
    """Findings of the text rules; for statements that the planner `judged`, syntax findings are left out."""
    every = shapes_of(unit)
    found = [finding for shapes in every for rule in TEXT_RULES.values() for finding in rule(shapes)]
    odd = [pair for shapes in every for pair in odd_statements(shapes)]
    return [*found, *(finding for statement, finding in odd if id(statement) not in judged)]


def _with_followers(findings: list[Finding], unit: Unit, answers: Answers) -> list[Finding]:
    """Root errors with the number of statements that fail only because of them."""
    counts = {(one.file, one.line): answers.followers.get(id(one), 0) for one in unit.statements}
    found: list[Finding] = []
    for one in findings:
        number = counts.get((one.file, one.line), 0) if one.code in (_REFUSED, "GS17") else 0
        noun = "statement" if number == 1 else "statements"
        more = f"; also caused by this: {number} {noun}" if number else ""
        found.append(replace(one, message=one.message + more))
    return found


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """GS04 comes from the text and from the plan; the plan's, which comes last, is more precise."""
    return list(
        {(one.file, one.line, one.code, "" if one.code == "GS04" else one.message): one for one in findings}.values()
    )
