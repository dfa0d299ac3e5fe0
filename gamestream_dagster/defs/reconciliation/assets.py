"""Reconciliation: every number on a board, against an independent recompute of the same events."""

from typing import Any

import dagster as dg

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.topics import SCORE_TOPIC
from gamestream_dagster.components.keys import (
    DEFAULT_OWNER,
    RECONCILIATION,
    Group,
    archive_key,
    board_key,
    table_key,
)
from gamestream_dagster.components.markdown import markdown_table
from gamestream_dagster.reconciliation.model import ReconciliationRun, Verdict
from gamestream_dagster.resources.failures import RETRY_TRANSIENT, explained
from gamestream_dagster.resources.reconciliation import Reconciler
from gamestream_dagster.resources.verdicts import Verdicts

VERDICT = "verdict"
ALERT = "reconciliation/leaderboards"
# what a run writes; an alert of our own, because a failed asset check starts no failure sensor
TABLES = ("reconciliation_runs", "differences", "ledger", "alerts")


@dg.asset(
    key=RECONCILIATION,
    description="Every row of every board compared with an independent recompute of the "
    "archived events at a bracket of cuts, while the stream runs.",
    group_name=Group.RECONCILIATION.value,
    owners=[DEFAULT_OWNER],
    kinds={"duckdb", "postgres"},
    tags={"layer": "proof"},
    deps=[
        *(board_key(board) for board in load_boards()),
        archive_key(SCORE_TOPIC),
        *(table_key(table) for table in TABLES),
    ],
    check_specs=[
        dg.AssetCheckSpec(VERDICT, asset=RECONCILIATION, description="The verdict is MATCH, or EXPLAINED by policy.")
    ],
    retry_policy=RETRY_TRANSIENT,
)
def reconcile_leaderboards(
    reconciler: dg.ResourceParam[Reconciler], verdicts: dg.ResourceParam[Verdicts]
) -> dg.MaterializeResult:
    """Compare once. Differences fail the checks of the boards; only a run that could not look fails the run."""
    with explained("reconcile the boards"):
        run = reconciler.run(list(load_boards()))
        _keep_alert(verdicts, run)
    if run.verdict is Verdict.COULD_NOT_RUN:
        # the next tick of the schedule is the retry: what stood in the way is rarely gone in seconds
        raise dg.Failure(
            description=f"Nothing was compared: {run.reason}",
            metadata={"reconciliation": run.run_id, "verdict": run.verdict.value},
            allow_retries=False,
        )
    return dg.MaterializeResult(metadata=describe_run(run), check_results=[_verdict_check(run)])


def describe_run(run: ReconciliationRun) -> dict[str, Any]:
    """Metadata of a finished run: verdict, cut, rows, ledger, report."""
    boards = [
        (one.board, one.sink.value, one.rows_compared, one.rows_different, len(one.differences)) for one in run.boards
    ]
    jobs = [(cut.job, cut.checkpoint_id, cut.flink_job_id, cut.fingerprint) for cut in run.jobs]
    partitions = sorted(set(run.high).union(*(cut.low for cut in run.jobs)))
    cut = [(p, *(one.low.get(p, 0) for one in run.jobs), run.high.get(p, 0)) for p in partitions]
    metadata: dict[str, Any] = {
        "verdict": run.verdict.value,
        "rows_compared": run.rows_compared,
        "rows_equal": run.rows_equal,
        "rows_different": run.rows_different,
        "rows_unexplained": run.rows_unexplained,
        "bracket_events": run.bracket_events,
        "seconds": round(run.seconds, 2),
        "mode": run.mode.value,
        "reconciliation": run.run_id,
        "boards": markdown_table(("board", "sink", "rows", "rows that differ", "differences"), boards),
        "jobs": markdown_table(("job", "checkpoint", "Flink job", "fingerprint"), jobs),
        "cut": markdown_table(("partition", *(f"low of {one.job}" for one in run.jobs), "high"), cut),
    }
    if run.ledger is not None:
        counts = run.ledger
        outcome = (counts.records, counts.accepted, counts.duplicate, counts.late, counts.dead_lettered)
        metadata["ledger"] = markdown_table(("in", "accepted", "duplicate", "late", "dead-lettered"), [outcome])
        metadata["ledger_balanced"] = counts.balanced
    if run.report_path is not None:
        metadata["report"] = dg.MetadataValue.path(run.report_path)
    return metadata


def _verdict_check(run: ReconciliationRun) -> dg.AssetCheckResult:
    faults = [] if run.ledger is None or run.ledger.balanced else [fault.sentence for fault in run.ledger.faults] or ["the ledger is unequal"]
    return dg.AssetCheckResult(
        check_name=VERDICT,
        passed=run.verdict in (Verdict.MATCH, Verdict.EXPLAINED) and not faults,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join([_summary(run), *faults]),
        metadata={"verdict": run.verdict.value, "rows_different": run.rows_different},
    )


def _keep_alert(verdicts: Verdicts, run: ReconciliationRun) -> None:
    if run.verdict in (Verdict.MATCH, Verdict.EXPLAINED):
        verdicts.clear_alert(ALERT)
        return
    severity = "critical" if run.verdict is Verdict.DIFFERENT else "warning"
    details = {"run_id": run.run_id, "verdict": run.verdict.value, "report": str(run.report_path or "")}
    verdicts.raise_alert(ALERT, severity, _summary(run), details)


def _summary(run: ReconciliationRun) -> str:
    if run.verdict is Verdict.COULD_NOT_RUN:
        return f"Reconciliation could not run: {run.reason}"
    return f"{run.verdict.value}: {run.rows_compared} rows compared, {run.rows_different} differ"
