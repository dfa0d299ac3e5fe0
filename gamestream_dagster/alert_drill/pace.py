"""Rules at the pace of a drill: smaller limits and shorter windows, so that nobody waits three days for a burn rate.

Series and comparisons stay as shipped. A text to replace must occur in the rule, or the drill stops. Rules whose
condition is not planted are quiet meanwhile: one plant must not use up the transition of another's alert.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from gamestream_dagster.alerts.rules import (
    ALERTS_FILE,
    BURN_RATES,
    FEWEST_READINGS,
    FEWEST_RECENT,
    Book,
    Rule,
)
from gamestream_dagster.drill.errors import DrillError

LASTS: Final = "2s"
LONG, SHORT, READINGS = "60s", "15s", 3
"""Windows of a burn rate, and the fewest readings in the long one."""
QUIET: Final = "alert_source_up < 0"
"""Never holds, and always has data: an alert that is open resolves."""
SET_ASIDE: Final = f"{ALERTS_FILE}.before-drill"
_HEADER: Final = (
    f"# Written by `gamestream alerts drill`, which restores {SET_ASIDE} at its end, or deletes this file.\n"
)

SMALLER: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "high_kafka_lag": (("> 100000", "> 2000"),),
    "flink_job_restarts": ((">= 5", ">= 1"),),
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
            # the long window first: the short window of the slowest alert is the long one of another
            changes = ((f"[{long}]) >= {FEWEST_READINGS[long]}", f"[{LONG}]) >= {READINGS}"),
                       (f"[{short}]) >= {FEWEST_RECENT[short]}", f"[{SHORT}]) >= 1"),
                       (f"[{long}]", f"[{LONG}]"), (f"[{short}]", f"[{SHORT}]"))  # fmt: skip
    condition = rule.condition
    for old, new in changes:
        if old not in condition:
            raise DrillError(f"{rule.name} has no {old!r} in its condition; change alert_drill/pace.py with the rule")
        condition = condition.replace(old, new)
    return condition


def write_paced(home: Path, book: Book, names: Iterable[str]) -> None:
    """Write a stack's own rules: these at the pace of a drill, all others quiet. Rules that a sensor raises stay."""
    objectives = [one.name for one in book.objectives]
    loud = set(names)
    entries = [
        _entry(rule, paced(rule, objectives) if rule.name in loud else QUIET) for rule in book.rules if rule.condition
    ]
    made = home / f"{ALERTS_FILE}.made"
    made.write_text(_HEADER + yaml.safe_dump({"alerts": entries}, sort_keys=False), encoding="utf-8")
    made.replace(home / ALERTS_FILE)  # at once: a round may be reading it


@contextmanager
def own_rules_set_aside(home: Path) -> Iterator[None]:
    """A stack's own rules are moved aside while the body runs, and restored, also after a drill that was killed."""
    own, aside = home / ALERTS_FILE, home / SET_ASIDE
    if own.exists() and not own.read_text(encoding="utf-8").startswith(_HEADER):
        own.replace(aside)
    try:
        yield
    finally:
        if aside.exists():
            aside.replace(own)
        else:
            own.unlink(missing_ok=True)


def _entry(rule: Rule, condition: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": rule.name,
        "condition": condition,
        "severity": rule.severity.value,
        "message": rule.message,
        "runbook": rule.runbook,
    }
    if rule.lasts and condition != QUIET:
        made["for"] = LASTS
    return made
