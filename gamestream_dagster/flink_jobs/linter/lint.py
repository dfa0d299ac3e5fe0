"""The linter: text rules always, the planner's rules when a SQL gateway is given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gamestream_dagster.clients.flink_sql_gateway import SqlGateway
from gamestream_dagster.flink_jobs.linter.findings import Finding, Severity
from gamestream_dagster.flink_jobs.linter.plan_rules import plan_findings, proven_orders, refused
from gamestream_dagster.flink_jobs.linter.planning import plans_of
from gamestream_dagster.flink_jobs.linter.shapes import shapes_of
from gamestream_dagster.flink_jobs.linter.source import Unit, unit_of_job
from gamestream_dagster.flink_jobs.linter.text_rules import TEXT_RULES
from gamestream_dagster.flink_jobs.spec import JobSpec

_REFUSED = "GS16"  # a preflight hears that from the planner itself, with the values of this stack


@dataclass(frozen=True)
class Report:
    """The findings in the order of file and line, and how many plans the planner made or refused (None: not asked)."""

    findings: tuple[Finding, ...]
    plans: int | None


def lint(units: Iterable[Unit], gateway: SqlGateway | None) -> Report:
    """Lint every unit.

    Raises:
        TransientServiceError: the gateway gives no answer.
        TerminalFlinkJobError: a placeholder of a job has no value, or the gateway's answer is no plan.
    """
    found: set[Finding] = set()
    plans = 0
    for unit in units:
        text = text_findings(unit)
        if gateway is not None:
            for planned in plans_of(unit, gateway):
                plans += 1
                proven = {(one.statement.file, one.line) for one in proven_orders(planned)}
                text = [one for one in text if one.code != "GS04" or (one.file, one.line) not in proven]
                text += [*refused(planned), *plan_findings(planned)]
        found |= set(_once(text))
    ordered = sorted(found, key=lambda one: (one.file, one.line, one.code, one.message))
    return Report(tuple(ordered), plans if gateway is not None else None)


def errors_of(spec: JobSpec, root: Path, gateway: SqlGateway) -> tuple[str, ...]:
    """The errors in a job's SQL that its job.yaml does not accept, a sentence each.

    Warnings, and what is accepted, are left to `gamestream lint`.

    Raises:
        TransientServiceError: the gateway gives no answer.
    """
    found = lint([unit_of_job(root / spec.name, spec)], gateway).findings
    passed_over = {_REFUSED, *spec.lint_accepts}
    errors = [one for one in found if one.severity is Severity.ERROR and one.code not in passed_over]
    return tuple(f"{one.code} {Path(one.file).relative_to(root)}:{one.line}: {one.message}" for one in errors)


def text_findings(unit: Unit) -> list[Finding]:
    """What the text rules find."""
    return [finding for shapes in shapes_of(unit) for rule in TEXT_RULES.values() for finding in rule(shapes)]


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """GS04 comes from the text and from the plan: the last, the plan's, says more."""
    return list(
        {(one.file, one.line, one.code, "" if one.code == "GS04" else one.message): one for one in findings}.values()
    )
