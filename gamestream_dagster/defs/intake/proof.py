"""The proof of intake: every game event has one fate, by the archive's judgement and by the topics."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.components.keys import (
    DEFAULT_OWNER,
    INTAKE_PROOF,
    Group,
    archive_key,
    job_key,
    table_key,
    topic_key,
)
from gamestream_dagster.components.markdown import markdown_table
from gamestream_dagster.components.proof_checks import keep_alert, ledger_check
from gamestream_dagster.fates.outputs import INTAKE_JOB, OUTPUT_TOPICS, SCORES_TOPIC, Fate
from gamestream_dagster.reconciliation.intake.model import Held, IntakeProof
from gamestream_dagster.reconciliation.model.values import Cause, Verdict
from gamestream_dagster.resources.failures import explained
from gamestream_dagster.resources.reconciliation import Reconciler
from gamestream_dagster.resources.verdicts import Verdicts

ONE_FATE = "one_fate"
NO_UNEXPLAINED = "no_unexplained"
LEDGER = "ledger_balances"
CHECKS = {
    ONE_FATE: "Every record of the raw topic is in one output, where the archive's judgement puts it. Differences that "
    "the policy accepts are a warning.",
    NO_UNEXPLAINED: "Every difference has a known cause.",
    LEDGER: "In each minute of the last hour HTTP, raw topic, outputs and scores add up.",
}
ALERT = "intake/fates"
_ERROR, _WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
_PROVEN_HOURLY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=5), warn_window=timedelta(hours=3))


@dg.asset(
    key=INTAKE_PROOF,
    description="Every record of the raw topic against the topics that intake writes: one fate each, by the archive's "
    "own judgement, at a cut while the stream runs.",
    group_name=Group.RECONCILIATION.value,
    owners=[DEFAULT_OWNER],
    kinds={"duckdb", "kafka"},
    tags={"layer": "proof"},
    freshness_policy=_PROVEN_HOURLY,
    deps=[
        job_key(INTAKE_JOB),
        archive_key(RAW_TOPIC),
        archive_key(SCORES_TOPIC),
        *(topic_key(topic) for topic in OUTPUT_TOPICS.values()),
        table_key("job_ledger"),
        table_key("ingest_counts"),
        table_key("ingest_journals"),
        table_key("alerts"),
    ],
    check_specs=[
        dg.AssetCheckSpec(name, asset=INTAKE_PROOF, description=description) for name, description in CHECKS.items()
    ],
)
def reconcile_intake(
    reconciler: dg.ResourceParam[Reconciler], verdicts: dg.ResourceParam[Verdicts]
) -> dg.MaterializeResult:
    """Compare once. Differences fail the checks; only a proof that could not look fails the run."""
    with explained("reconcile intake"):
        proof = reconciler.prove_intake()
        details = {"verdict": proof.verdict.value, "reason": proof.reason}
        keep_alert(verdicts, ALERT, proof.verdict, _summary(proof), details)
    if proof.verdict is Verdict.COULD_NOT_RUN:
        raise dg.Failure(
            description=f"Nothing was compared: {proof.reason}",
            metadata={"verdict": proof.verdict.value},
            allow_retries=False,
        )
    return dg.MaterializeResult(metadata=describe(proof), check_results=check(proof))


def describe(proof: IntakeProof) -> dict[str, Any]:
    """Metadata of a proof that could look."""
    cut = [(part, proof.low.get(part, 0), end) for part, end in sorted(proof.high.items())]
    outputs = [(one.topic, one.records, one.superseded, one.unreadable) for one in proof.outputs]
    metadata: dict[str, Any] = {
        "verdict": proof.verdict.value,
        "records": proof.judged,
        **{fate.name.lower(): proof.fates.get(fate, 0) for fate in Fate},
        **{f"not_judged_{why.value}": proof.held.get(why, 0) for why in Held},
        "scores": proof.scores,
        "seconds": round(proof.seconds, 2),
        "cut": markdown_table(("partition", "low", "high"), cut),
        "outputs": markdown_table(("topic", "records", "superseded", "not of the job"), outputs),
    }
    if proof.faults:
        rows = [(one.kind.value, one.records, one.cause.value, one.sentence) for one in proof.faults]
        metadata["faults"] = markdown_table(("fault", "records", "cause", "what"), rows)
    return metadata


def check(proof: IntakeProof) -> list[dg.AssetCheckResult]:
    """The checks of a proof that could look."""
    fine = proof.verdict is Verdict.MATCH
    unexplained = sum(one.records for one in proof.faults if one.cause is Cause.UNEXPLAINED)
    return [
        dg.AssetCheckResult(
            check_name=ONE_FATE,
            passed=fine,
            severity=_WARN if fine or proof.verdict is Verdict.EXPLAINED else _ERROR,
            description=_summary(proof),
            metadata={kind.value: records for kind, records in proof.fault_records.items()},
        ),
        dg.AssetCheckResult(
            check_name=NO_UNEXPLAINED,
            passed=not unexplained,
            severity=_ERROR,
            description=f"{unexplained} records with an UNEXPLAINED fault." if unexplained else "",
            metadata={"records_unexplained": unexplained},
        ),
        ledger_check(LEDGER, _ledger_faults(proof)),
    ]


def _ledger_faults(proof: IntakeProof) -> Sequence[str]:
    return ["There is no ledger."] if proof.ledger is None else proof.ledger.faults


def _summary(proof: IntakeProof) -> str:
    return f"{proof.verdict.value}: {proof.judged} records judged. {proof.reason}"


prove_intake = dg.define_asset_job(
    "prove_intake",
    selection=dg.AssetSelection.assets(INTAKE_PROOF),
    description="Compare every game event's fate with the archive's own judgement.",
    tags={"gamestream/part": "reconcile"},
)

prove_intake_every_hour = dg.ScheduleDefinition(
    name="prove_intake_every_hour",
    job=prove_intake,
    cron_schedule="23 * * * *",
    execution_timezone="UTC",
    description="Proves intake every hour.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
