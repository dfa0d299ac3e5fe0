"""The same alerts for Prometheus and Alertmanager, and the same cases for promtool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from gamestream_dagster.alerts.cases import Case, run_case, seconds_of, values_of
from gamestream_dagster.alerts.machine import AlertState
from gamestream_dagster.alerts.rules import Book, Route, Rule

RULES_FILE: Final = "gamestream.rules.yml"
TESTS_FILE: Final = "gamestream.{every}.tests.yml"
"""One for each step: promtool evaluates all tests of a file at one interval."""
ROUTES_FILE: Final = "alertmanager.yml"
RAISED: Final = "gamestream_alert_raised"
"""Series of the exporter: 1 for each active alert that a sensor raised, by id."""
_HEAD: Final = "# Written by `gamestream alerts export` from alerts.yaml; change that and export again.\n"


def prometheus_rules(book: Book) -> dict[str, Any]:
    """A rule file of Prometheus."""
    return {
        "groups": [{"name": "gamestream", "rules": [_rule(rule) for rule in book.rules]}],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    pattern = rule.raised_as.replace("\\", "\\\\").replace('"', '\\"')
    made: dict[str, Any] = {
        "alert": rule.name,
        "expr": rule.condition or f'{RAISED}{{alert_id=~"{pattern}.*"}} == 1',
    }
    if rule.lasts:
        made["for"] = f"{int(rule.lasts.total_seconds())}s"
    made["labels"] = {"severity": rule.severity.value}
    made["annotations"] = {"summary": rule.message, "runbook": rule.runbook}
    return made


def alertmanager_routes(book: Book) -> dict[str, Any]:
    """A configuration of Alertmanager: one webhook for each route, whose address it reads from a file.

    The last route that takes a severity ends the search; those before it go on, as each of our routes gets a message.
    """
    routes = [
        {
            "receiver": route.name,
            "matchers": [f'severity=~"{"|".join(sorted(one.value for one in route.severities))}"'],
            "continue": position < len(book.routes),
        }
        for position, route in enumerate(book.routes, start=1)
    ]
    return {
        "route": {
            "receiver": "nobody",
            "group_by": ["alertname"],
            "group_wait": "10s",
            "group_interval": "5m",
            "repeat_interval": "4h",
            "routes": routes,
        },
        "receivers": [{"name": "nobody"}, *(_receiver(route) for route in book.routes)],
    }


def _receiver(route: Route) -> dict[str, Any]:
    address = {"url_file": f"/etc/alertmanager/secrets/{route.name}", "send_resolved": True}
    return {"name": route.name, "webhook_configs": [address]}


def promtool_tests(book: Book, cases: Iterable[Case], every: str) -> dict[str, Any]:
    """Our cases with one step as a test file of promtool. Only firing and not firing can be asked there."""
    return {
        "rule_files": [RULES_FILE],
        "evaluation_interval": every,
        "tests": [_test(book.rule(case.rule), case, run_case(case, book).messages) for case in cases],
    }


def _test(rule: Rule, case: Case, messages: Mapping[float, str]) -> dict[str, Any]:
    asked: list[dict[str, Any]] = []
    for at, state in case.states.items():
        if state is AlertState.NO_DATA and any(one is AlertState.FIRING for one in case.states.values()):
            break  # an open alert without data: Prometheus resolves it, we do not
        fires = state is AlertState.FIRING
        told = {"summary": messages.get(seconds_of(at), ""), "runbook": rule.runbook}
        alert = {"exp_labels": {**case.labels, "severity": rule.severity.value}, "exp_annotations": told}
        asked.append({"eval_time": at, "alertname": rule.name, "exp_alerts": [alert] if fires else []})
    return {
        "name": f"{rule.name}: {case.says}",
        "interval": case.every,
        "input_series": [{"series": name, "values": _values(text)} for name, text in case.series.items()],
        "alert_rule_test": asked,
    }


def _values(text: str) -> str:
    """A gap is the end of a series here: Prometheus would look five minutes back."""
    parts: list[str] = []
    for value in values_of(text):
        parts.append("stale" if value is None else f"{value:.12g}")
    return " ".join(parts)


def write(folder: Path, book: Book, cases: Iterable[Case]) -> list[Path]:
    """Write all files; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    steps: dict[str, list[Case]] = {}
    for case in cases:
        steps.setdefault(case.every, []).append(case)
    contents: dict[str, dict[str, Any]] = {
        RULES_FILE: prometheus_rules(book),
        ROUTES_FILE: alertmanager_routes(book),
        **{TESTS_FILE.format(every=every): promtool_tests(book, of, every) for every, of in steps.items()},
    }
    for name, content in contents.items():
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
        (folder / name).write_text(_HEAD + text, encoding="utf-8")
    return [folder / name for name in contents]
