"""Asset checks: each board against the last reconciliation, and the Great Expectations suites."""

from collections.abc import Iterator

import dagster as dg

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.metrics import load_metrics
from gamestream_dagster.components.keys import RECONCILIATION, archive_key, board_key, metric_key, table_key
from gamestream_dagster.components.markdown import markdown_table
from gamestream_dagster.resources.failures import explained
from gamestream_dagster.resources.quality import QualitySuites
from gamestream_dagster.resources.verdicts import SAMPLE_COLUMNS, BoardVerdict, DifferenceSample, Verdicts
from gamestream_dagster.settings import load_settings
from quality.results import Severity, SuiteResult, SuiteState
from quality.suites import DIFFERENCES, LEDGER, archive_suites, proof_suites, suite_names

MATCHES = "matches_recompute"
EXPECTATIONS = "expectations"

_SETTINGS = load_settings()
_ERROR, _WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
# Dagster shows a check as not evaluated when its asset was materialised after it. So the suites that run every four
# hours stand on assets that are materialised as rarely: the two tables, not the reconciliation that writes them.
_SUBJECTS = {
    DIFFERENCES: table_key(DIFFERENCES),
    **{suite: archive_key(source.topic) for suite, source in archive_suites(_SETTINGS).items()},
    LEDGER: table_key(LEDGER),
    **{metric: metric_key(metric) for metric in load_metrics()},
}


def suite_subject(suite: str) -> dg.AssetKey:
    """The asset that a suite is about: a board, the archive, or a table of the reconciliation."""
    return _SUBJECTS.get(suite) or board_key(suite)


def suite_check_key(suite: str) -> dg.AssetCheckKey:
    """The check of a suite."""
    return dg.AssetCheckKey(suite_subject(suite), EXPECTATIONS)


DIFFERENCES_CHECK, LEDGER_CHECK = map(suite_check_key, (DIFFERENCES, LEDGER))
ARCHIVE_CHECKS = [suite_check_key(suite) for suite in archive_suites(_SETTINGS)]


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
        for board, described in load_boards(season=_SETTINGS.season).items()
        if described.proven
    ],
    can_subset=True,
)
def boards_match_recompute(
    context: dg.AssetCheckExecutionContext, verdicts: dg.ResourceParam[Verdicts]
) -> Iterator[dg.AssetCheckResult]:
    """One result a board, from the newest run that was about it. A run that could not look is never "fine".

    A board that no run was about has no result: Dagster shows the check as not evaluated, which is what it is.
    """
    keys = sorted(context.selected_asset_check_keys)
    with explained("read the last reconciliation"):
        found = verdicts.of_boards([key.asset_key.path[-1] for key in keys])
    for key in keys:
        last = found.get(key.asset_key.path[-1])
        if last is None:
            board = key.asset_key.path[-1]
            context.log.info(f"Not run yet: no reconciliation has compared {board}; launch archive_and_reconcile.")
            continue
        yield board_check(
            key.asset_key, last, verdicts.report_url(last.run.report_path) if last.run.report_path else None
        )


def board_check(key: dg.AssetKey, last: BoardVerdict, report: str | None) -> dg.AssetCheckResult:
    """The result of one board: ERROR for a difference that the policy does not accept, WARN when it accepts all."""
    if not last.run.looked:
        return _failed(key, f"The last reconciliation could not look: {last.run.reason}")
    found = last.found
    metadata: dict[str, dg.MetadataValue] = {
        "verdict": dg.MetadataValue.text(last.run.verdict),
        "differences": dg.MetadataValue.int(found.count),
        "reconciliation": dg.MetadataValue.text(last.run.run_id),
        "reconciled_at": dg.MetadataValue.timestamp(last.run.finished_at),
    }
    if found.count:  # 96 times a day for every board: what says nothing is left out of the event log
        metadata["accepted"] = dg.MetadataValue.int(found.accepted)
        if report:
            metadata["report"] = dg.MetadataValue.url(report)
        metadata["rows"] = markdown_table(SAMPLE_COLUMNS, found.rows)
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=MATCHES,
        passed=not found.count,
        severity=_ERROR if found.accepted < found.count else _WARN,
        description=_sentence(found),
        metadata=metadata,
    )


def _failed(key: dg.AssetKey, reason: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(asset_key=key, check_name=MATCHES, passed=False, severity=_ERROR, description=reason)


def _sentence(found: DifferenceSample) -> str:
    if not found.count:
        return "Every row is what the recompute gives."
    causes = ", ".join(f"{count} {cause}" for cause, count in sorted(found.causes.items()))
    policy = "The policy accepts them." if found.accepted == found.count else "Look at the report."
    return f"{found.count} {'difference' if found.count == 1 else 'differences'}: {causes}. {policy}"


@dg.multi_asset_check(
    name="expectations_hold",
    description="The Great Expectations suites, validated in one run with one set of Data Docs.",
    specs=[
        dg.AssetCheckSpec(
            suite_check_key(suite).name,
            asset=suite_subject(suite),
            additional_deps=[RECONCILIATION],
            description=f"Great Expectations suite `{suite}`. Without rows it holds only where none are right.",
        )
        for suite in proof_suites(_SETTINGS)
    ],
    can_subset=True,
)
def expectations_hold(
    context: dg.AssetCheckExecutionContext,
    quality: dg.ResourceParam[QualitySuites],
    verdicts: dg.ResourceParam[Verdicts],
) -> Iterator[dg.AssetCheckResult]:
    """One result a suite, with the rows that were evaluated and the Data Docs; none for a suite that cannot run yet."""
    yield from _validated(context, quality, verdicts)


@dg.multi_asset_check(
    name="metric_expectations_hold",
    description="The Great Expectations suites of the settled metrics over their newest days, with Data Docs.",
    specs=[
        dg.AssetCheckSpec(
            EXPECTATIONS,
            asset=metric_key(metric),
            description=f"Great Expectations suite `{metric}` over the newest settled day.",
        )
        for metric in load_metrics()
    ],
    can_subset=True,
)
def metric_expectations_hold(
    context: dg.AssetCheckExecutionContext,
    quality: dg.ResourceParam[QualitySuites],
    verdicts: dg.ResourceParam[Verdicts],
) -> Iterator[dg.AssetCheckResult]:
    """One result a metric, as `expectations_hold`."""
    yield from _validated(context, quality, verdicts)


def _validated(
    context: dg.AssetCheckExecutionContext, quality: QualitySuites, verdicts: Verdicts
) -> Iterator[dg.AssetCheckResult]:
    names = [suite for suite in suite_names(_SETTINGS) if suite_check_key(suite) in context.selected_asset_check_keys]
    with explained(f"run the suites {', '.join(names)}"):
        found = quality.run(names)
    for suite in found.suites:
        if suite.state is SuiteState.NOT_RUN:
            context.log.info(f"{suite.suite}: {suite.sentence()}")
            continue
        yield suite_check(suite, verdicts.report_url(found.data_docs))


def suite_check(suite: SuiteResult, data_docs: str) -> dg.AssetCheckResult:
    """The result of one suite that ran: ERROR when a critical expectation fails or rows are missing, else WARN."""
    warned = suite.success and bool(suite.failed(Severity.WARNING))
    failed = [[one.expectation, one.column or "", one.severity, one.unexpected, one.detail] for one in suite.failed()]
    metadata: dict[str, dg.MetadataValue] = {
        "evaluated": dg.MetadataValue.int(suite.evaluated),
        "expectations": dg.MetadataValue.int(len(suite.expectations)),
        "failed": dg.MetadataValue.int(len(failed)),
        "data_docs": dg.MetadataValue.url(data_docs),
    }
    if failed:
        columns = ["expectation", "column", "severity", "rows that break it", "seen"]
        metadata["broken"] = markdown_table(columns, failed)
    return dg.AssetCheckResult(
        asset_key=suite_subject(suite.suite),
        check_name=suite_check_key(suite.suite).name,
        passed=suite.success and not warned,
        severity=_WARN if warned else _ERROR,
        description=suite.sentence(),
        metadata=metadata,
    )
