"""Asset checks: each board against the last reconciliation, and the Great Expectations suites."""

from collections.abc import Iterator

import dagster as dg

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.topics import SCORE_TOPIC
from gamestream_dagster.components.keys import RECONCILIATION, archive_key, board_key
from gamestream_dagster.components.markdown import markdown_table
from gamestream_dagster.resources.failures import RETRY_TRANSIENT, explained
from gamestream_dagster.resources.quality import QualitySuites
from gamestream_dagster.resources.verdicts import (
    NO_DIFFERENCE,
    SAMPLE_COLUMNS,
    DifferenceSample,
    LastReconciliation,
    Verdicts,
)
from quality.results import Severity, SuiteResult
from quality.suites import ARCHIVE, DIFFERENCES, suite_names

MATCHES = "matches_recompute"
EXPECTATIONS = "expectations"
UNEXPLAINED = "UNEXPLAINED"

_SUBJECTS = {DIFFERENCES: RECONCILIATION, ARCHIVE: archive_key(SCORE_TOPIC)}


def suite_subject(suite: str) -> dg.AssetKey:
    """The asset that a suite is about: a board, the archive, or the reconciliation itself."""
    return _SUBJECTS.get(suite) or board_key(suite)


@dg.multi_asset_check(
    name="boards_match_recompute",
    description="What the last reconciliation found for each board.",
    specs=[
        dg.AssetCheckSpec(
            MATCHES,
            asset=board_key(board),
            additional_deps=[RECONCILIATION],
            description="Every row lies within the bracket of its independent recompute.",
        )
        for board in load_boards()
    ],
    can_subset=True,
    retry_policy=RETRY_TRANSIENT,
)
def boards_match_recompute(
    context: dg.AssetCheckExecutionContext, verdicts: dg.ResourceParam[Verdicts]
) -> Iterator[dg.AssetCheckResult]:
    """One result a board. A run that could not look fails every board: that is never "fine"."""
    with explained("read the last reconciliation"):
        last = verdicts.last()
    for key in sorted(context.selected_asset_check_keys):
        yield board_check(key.asset_key, last)


def board_check(key: dg.AssetKey, last: LastReconciliation | None) -> dg.AssetCheckResult:
    """The result of one board from the last reconciliation."""
    if last is None:
        return _failed(key, "No reconciliation has run yet; launch the job archive_and_reconcile.")
    if last.verdict == "COULD_NOT_RUN":
        return _failed(key, f"The last reconciliation could not look: {last.reason}")
    found = last.boards.get(key.path[-1], NO_DIFFERENCE)
    metadata: dict[str, dg.MetadataValue] = {
        "verdict": dg.MetadataValue.text(last.verdict),
        "differences": dg.MetadataValue.int(found.count),
        "reconciliation": dg.MetadataValue.text(last.run_id),
        "reconciled_at": dg.MetadataValue.timestamp(last.finished_at),
    }
    if last.report_path:
        metadata["report"] = dg.MetadataValue.path(last.report_path)
    if found.count:
        metadata["rows"] = markdown_table(SAMPLE_COLUMNS, found.rows)
    # EXPLAINED is the verdict only when the policy accepts every cause
    passed = not found.count or last.verdict == "EXPLAINED"
    unexplained = found.causes.get(UNEXPLAINED, 0)
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=MATCHES,
        passed=passed,
        severity=dg.AssetCheckSeverity.ERROR if unexplained else dg.AssetCheckSeverity.WARN,
        description=_sentence(found),
        metadata=metadata,
    )


def _failed(key: dg.AssetKey, reason: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=MATCHES,
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description=reason,
    )


def _sentence(found: DifferenceSample) -> str:
    if not found.count:
        return "Every row is what the recompute gives."
    causes = ", ".join(f"{count} {cause}" for cause, count in sorted(found.causes.items()))
    return f"{found.count} {'difference' if found.count == 1 else 'differences'}: {causes}. Look at the report."


@dg.multi_asset_check(
    name="expectations_hold",
    description="The Great Expectations suites, validated in one run with one set of Data Docs.",
    specs=[
        dg.AssetCheckSpec(
            EXPECTATIONS,
            asset=suite_subject(suite),
            additional_deps=[] if suite == DIFFERENCES else [RECONCILIATION],
            description=f"Great Expectations suite `{suite}`; a suite that looked at no row fails.",
        )
        for suite in suite_names()
    ],
    can_subset=True,
    retry_policy=RETRY_TRANSIENT,
)
def expectations_hold(
    context: dg.AssetCheckExecutionContext, quality: dg.ResourceParam[QualitySuites]
) -> Iterator[dg.AssetCheckResult]:
    """One result a suite, with the rows that were evaluated and the Data Docs."""
    wanted = {key.asset_key for key in context.selected_asset_check_keys}
    names = [suite for suite in suite_names() if suite_subject(suite) in wanted]
    with explained(f"run the suites {', '.join(names)}"):
        found = quality.run(names)
    for suite in found.suites:
        yield suite_check(suite, str(found.data_docs))


def suite_check(suite: SuiteResult, data_docs: str) -> dg.AssetCheckResult:
    """The result of one suite: ERROR when a critical expectation fails or nothing was evaluated, else WARN."""
    warned = suite.success and bool(suite.failed(Severity.WARNING))
    failed = [[one.expectation, one.column or "", one.severity, one.unexpected, one.detail] for one in suite.failed()]
    metadata: dict[str, dg.MetadataValue] = {
        "evaluated": dg.MetadataValue.int(suite.evaluated),
        "expectations": dg.MetadataValue.int(len(suite.expectations)),
        "failed": dg.MetadataValue.int(len(failed)),
        "data_docs": dg.MetadataValue.path(data_docs),
    }
    if failed:
        columns = ["expectation", "column", "severity", "rows that break it", "seen"]
        metadata["broken"] = markdown_table(columns, failed)
    return dg.AssetCheckResult(
        asset_key=suite_subject(suite.suite),
        check_name=EXPECTATIONS,
        passed=suite.success and not warned,
        severity=dg.AssetCheckSeverity.WARN if warned else dg.AssetCheckSeverity.ERROR,
        description=suite.sentence(),
        metadata=metadata,
    )
