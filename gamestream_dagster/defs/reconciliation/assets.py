"""Reconciliation: every number on a board, against an independent recompute of the same events."""

from typing import Any

import dagster as dg

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.sources import by_source, stack_sources
from gamestream_dagster.components.keys import (
    DEFAULT_OWNER,
    PROVEN_WITHIN,
    RECONCILIATION,
    Group,
    archive_key,
    board_key,
    table_key,
)
from gamestream_dagster.components.markdown import markdown_table
from gamestream_dagster.components.proof_checks import keep_alert, ledger_check
from gamestream_dagster.components.reconciliation_sensor import LOOKED, NO_UNEXPLAINED
from gamestream_dagster.reconciliation.model.proof import ReconciliationRun
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.reconciliation.results import report_view
from gamestream_dagster.resources.failures import explained
from gamestream_dagster.resources.reconciliation import Reconciler
from gamestream_dagster.resources.verdicts import Verdicts
from gamestream_dagster.settings import load_settings

BOARDS = {name: one for name, one in load_boards(season=load_settings().season).items() if one.proven}
VERDICT = "verdict"
LEDGER = "ledger_balances"
CHECKS = {
    VERDICT: "The verdict is MATCH; EXPLAINED, by causes that the policy accepts, is a warning.",
    NO_UNEXPLAINED: "Every row that differs has a known cause.",
    LEDGER: "Every event that entered is accounted for once, by the archive's count and by each job's own.",
    LOOKED: "Reconciliation can look: it fails when two runs in a row could not.",
}
ALERT = "reconciliation/leaderboards"
_ERROR, _WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
# what a run writes; an alert of our own, because a failed asset check starts no failure sensor
TABLES = ("reconciliation_runs", "reconciliation_topics", "differences", "ledger", "alerts")


@dg.asset(
    key=RECONCILIATION,
    description="Every row of every board compared with an independent recompute of the "
    "archived events at a bracket of cuts, while the stream runs.",
    group_name=Group.RECONCILIATION.value,
    owners=[DEFAULT_OWNER],
    kinds={"duckdb", "postgres"},
    tags={"layer": "proof"},
    freshness_policy=PROVEN_WITHIN,
    deps=[
        *(board_key(board) for board in BOARDS),
        *(archive_key(topic) for topic in by_source(BOARDS.values(), stack_sources(load_settings()))),
        *(table_key(table) for table in TABLES),
    ],
    check_specs=[
        dg.AssetCheckSpec(name, asset=RECONCILIATION, description=description) for name, description in CHECKS.items()
    ],
)
def reconcile_leaderboards(
    reconciler: dg.ResourceParam[Reconciler], verdicts: dg.ResourceParam[Verdicts]
) -> dg.MaterializeResult:
    """Compare once. Differences fail the checks of the boards; only a run that could not look fails the run."""
    with explained("reconcile the boards"):
        run = reconciler.run()
        _keep_alert(verdicts, run)
    if run.verdict is Verdict.COULD_NOT_RUN:
        # the next tick of the schedule is the retry: what stood in the way is rarely gone in seconds
        raise dg.Failure(
            description=run.reason if any(one.looked for one in run.topics) else f"Nothing was compared: {run.reason}",
            metadata={"reconciliation": run.run_id, "verdict": run.verdict.value},
            allow_retries=False,
        )
    metadata = describe_run(run)
    metadata["data_docs"] = dg.MetadataValue.url(verdicts.data_docs_url())
    if run.report_path is not None:
        metadata["report"] = dg.MetadataValue.url(verdicts.report_url(run.report_path))
    return dg.MaterializeResult(metadata=metadata, check_results=check_run(run))


def describe_run(run: ReconciliationRun) -> dict[str, Any]:
    """Metadata of a finished run: verdict, causes, cut, rows, ledger."""
    boards = [
        (one.board, one.sink.value, one.rows_compared, one.rows_different, len(one.differences)) for one in run.boards
    ]
    jobs = [(cut.job, cut.checkpoint_id or "savepoint", cut.flink_job_id, cut.fingerprint) for cut in run.jobs]
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
        "cut": _cuts(run),
    }
    if run.differences:
        causes = [
            (one.cause, one.rows, one.policy, " ".join(one.meanings), "; ".join(one.actions))
            for one in report_view.causes(run.differences)
        ]
        metadata["causes"] = markdown_table(("cause", "rows", "policy", "what it means", "what to do"), causes)
    if run.ledgers:
        outcomes = [
            (one.topic, one.records, one.accepted, one.duplicate, one.late, one.dead_lettered) for one in run.ledgers
        ]
        columns = ("topic", "in", "accepted", "duplicate", "late", "dead-lettered")
        metadata["ledger"] = markdown_table(columns, outcomes)
        metadata["ledger_balanced"] = run.balanced
    return metadata


def _cuts(run: ReconciliationRun) -> dg.MarkdownMetadataValue:
    """A line for each partition of each topic; a job that does not read the topic has no low cut there."""
    names = list(dict.fromkeys(one.job for one in run.jobs))
    lines: list[tuple[Any, ...]] = []
    for proof in run.topics:
        lows = {cut.job: cut.low for cut in proof.jobs}
        for partition in sorted(set(proof.high).union(*lows.values())):
            low = (lows[name].get(partition, 0) if name in lows else "" for name in names)
            lines.append((proof.topic, partition, *low, proof.high.get(partition, 0)))
    return markdown_table(("topic", "partition", *(f"low of {name}" for name in names), "high"), lines)


def check_run(run: ReconciliationRun) -> list[dg.AssetCheckResult]:
    """The checks of a run that could look."""
    fine = run.verdict is Verdict.MATCH
    verdict = dg.AssetCheckResult(
        check_name=VERDICT,
        passed=fine,
        severity=_WARN if fine or run.verdict is Verdict.EXPLAINED else _ERROR,
        description=_summary(run),
        metadata={"verdict": run.verdict.value, "rows_different": run.rows_different},
    )
    unexplained = sorted({one.board for one in run.differences if one.unexplained})
    explained_all = dg.AssetCheckResult(
        check_name=NO_UNEXPLAINED,
        passed=not unexplained,
        severity=_ERROR,
        description=f"UNEXPLAINED rows on {', '.join(unexplained)}: look at the report." if unexplained else "",
        metadata={"rows_unexplained": run.rows_unexplained},
    )
    looked = dg.AssetCheckResult(check_name=LOOKED, passed=True, severity=_ERROR)
    return [verdict, explained_all, ledger_check(LEDGER, _ledger_faults(run)), looked]


def _ledger_faults(run: ReconciliationRun) -> list[str]:
    faults = [fault.sentence for fault in run.ledger_faults]
    faults += [f"There is no ledger of {one.topic}." for one in run.topics if one.ledger is None]
    if not run.balanced and not faults:
        faults = ["The four outcomes do not add up to what entered."]
    return faults


def _keep_alert(verdicts: Verdicts, run: ReconciliationRun) -> None:
    report = verdicts.report_url(run.report_path) if run.report_path else ""
    details = {"run_id": run.run_id, "verdict": run.verdict.value, "reason": run.reason, "report": report}
    keep_alert(verdicts, ALERT, run.verdict, _summary(run), details)


def _summary(run: ReconciliationRun) -> str:
    counted = f"{run.verdict.value}: {run.rows_compared} rows compared, {run.rows_different} differ"
    if run.verdict is Verdict.MATCH:
        return ". ".join((counted, *run.left_out))
    return f"{counted}. {run.reason}" if run.reason else counted
