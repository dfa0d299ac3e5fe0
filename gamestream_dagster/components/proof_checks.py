"""What every proof does with what it found: the check of its ledger, and the alert of a difference."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from gamestream_dagster.alerts.store import Severity
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.resources.verdicts import Verdicts

_FAULTS_TOLD = 5


def ledger_check(name: str, faults: Sequence[str]) -> dg.AssetCheckResult:
    """The check `name`, which holds without a fault; the first ones are told."""
    more = len(faults) - _FAULTS_TOLD
    return dg.AssetCheckResult(
        check_name=name,
        passed=not faults,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join([*faults[:_FAULTS_TOLD], *([f"and {more} more"] if more > 0 else [])]),
        metadata={"faults": len(faults)},
    )


def keep_alert(verdicts: Verdicts, alert: str, verdict: Verdict, summary: str, details: Mapping[str, Any]) -> None:
    """The alert of a difference that nothing excuses. A proof that could not look says nothing about it."""
    if verdict is Verdict.COULD_NOT_RUN:
        return
    if verdict is Verdict.DIFFERENT:
        verdicts.raise_alert(alert, Severity.CRITICAL, summary, details)
    else:
        verdicts.clear_alert(alert)
