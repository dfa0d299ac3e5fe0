"""Smaller limits and shorter spans for the rules of a drill: nobody waits three days for a burn rate.

What is measured, and how it is compared, stays as shipped. A changed text must occur in the rule, or the drill stops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from gamestream_dagster.alerts.rules import ALERTS_FILE, BURN_RATES, FEWEST_READINGS, Book, Rule
from gamestream_dagster.drill.errors import DrillError

LASTS: Final = "2s"
LONG, SHORT, READINGS = "60s", "15s", 3
"""Windows of a burn rate, and the fewest readings in the long one."""

SMALLER: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "high_kafka_lag": (("> 100000", "> 2000"),),
    "flink_job_restarts": ((">= 5", ">= 2"),),
    "no_checkpoint": (("> 300", "> 12"),),
    "data_freshness": (("> 1", "> 0.004"),),
    "proof_is_old": (("> 3600", "> 20"),),
    "unknown_countries": ((">= 100", ">= 50"),),
    "server_slow": (("[5m]", "[15s]"), ("> 1 ", "> 0.3 "), (">= 3", ">= 1")),
}
"""Texts of conditions by rule, and what the drill writes instead."""


def paced(rule: Rule, objectives: Iterable[str]) -> str:
    """The condition of a rule at the pace of a drill.

    Raises:
        DrillError: the rule no longer has the text to replace.
    """
    changes = SMALLER.get(rule.name, ())
    for factor, long, short, _ in BURN_RATES:
        if rule.name in {f"{name}_burns_{factor:g}x".replace(".", "_") for name in objectives}:
            # the long window first: of the slowest alert the short one is the long one of another
            changes = ((f"[{long}]", f"[{LONG}]"), (f"[{short}]", f"[{SHORT}]"),
                       (f">= {FEWEST_READINGS[long]}", f">= {READINGS}"))  # fmt: skip
    condition = rule.condition
    for old, new in changes:
        if old not in condition:
            raise DrillError(f"{rule.name} has no {old!r} in its condition; change alert_drill/pace.py with the rule")
        condition = condition.replace(old, new)
    return condition


def entry(rule: Rule, objectives: Iterable[str]) -> dict[str, Any]:
    """An entry of a stack's own `alerts.yaml`."""
    made: dict[str, Any] = {
        "name": rule.name,
        "condition": paced(rule, objectives),
        "severity": rule.severity.value,
        "message": rule.message,
        "runbook": rule.runbook,
    }
    if rule.lasts:
        made["for"] = LASTS
    return made


def write_paced(home: Path, book: Book, names: Iterable[str]) -> None:
    """Give a stack's own file these rules at the pace of a drill; every other rule keeps its limits."""
    objectives = [one.name for one in book.objectives]
    rules = [rule for rule in book.rules if rule.name in set(names) and rule.condition]
    text = yaml.safe_dump({"alerts": [entry(rule, objectives) for rule in rules]}, sort_keys=False)
    (home / ALERTS_FILE).write_text(text, encoding="utf-8")
