"""Runs of the project's own assets with fakes for the servers, and what such a run says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg

from gamestream_dagster.dead_letters.rate import Rate
from gamestream_dagster.reconciliation.model.proof import JobCut, LedgerBalance, ReconciliationRun, TopicProof
from gamestream_dagster.reconciliation.model.values import BoardResult, Difference, DifferenceKind, Mode, Sink, Verdict
from tests.support.fakes.dagster_facades import (
    FakeArchive,
    FakeBoards,
    FakeDashboard,
    FakeDeadLetters,
    FakeEnrichment,
    FakeFlinkJobs,
    FakeProvisioner,
    FakeQuality,
    FakeReconciler,
)
from tests.support.fakes.verdicts import FakeVerdicts, finished

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIFFERENCE = Difference(
    board="top_teams",
    sink=Sink.POSTGRES,
    kind=DifferenceKind.VALUE,
    rank=1,
    entity=("t1",),
    column="total_score",
    streamed=5,
    recomputed=4,
    explanation="no cut gives 5",
)


BALANCED = LedgerBalance("user-score", 10, 9, 0, 0, 1, {"NOT_JSON": 1})


def reconciled(
    verdict: Verdict, reason: str = "", ledger: LedgerBalance | None = BALANCED, **changes: Any
) -> ReconciliationRun:
    differences = (replace(DIFFERENCE, **changes),) if verdict in (Verdict.DIFFERENT, Verdict.EXPLAINED) else ()
    return ReconciliationRun(
        run_id="r1",
        mode=Mode.BRACKET,
        verdict=verdict,
        reason=reason,
        started_at=NOW,
        seconds=1.5,
        topics=(
            TopicProof(
                topic="user-score",
                verdict=verdict,
                reason=reason,
                about=("top_teams",),
                boards=(BoardResult("top_teams", Sink.POSTGRES, 10, differences),),
                jobs=(JobCut("leaderboards_v1", "f" * 32, "abcd", 7, {0: 10, 1: 20}),),
                high={0: 12, 1: 20},
                bracket_events=2,
                ledger=ledger,
            ),
        ),
        report_path=Path("/reports/r1.html"),
    )


@cache
def project() -> tuple[list[dg.AssetsDefinition], list[dg.AssetChecksDefinition]]:
    """The project's own definitions."""
    from gamestream_dagster.definitions import defs

    found = defs()
    assets = [one for one in found.assets or [] if isinstance(one, dg.AssetsDefinition)]
    return assets, list(found.asset_checks or [])


def launch(
    *assets: str,
    checks: bool = False,
    config: dict[str, Any] | None = None,
    tags: dict[str, str] | None = None,
    **fakes: Any,
) -> dg.ExecuteInProcessResult:
    """Run assets of the project, with or without the checks that stand beside them, with fakes for the servers."""
    wanted = {dg.AssetKey(name.split("/")) for name in assets}
    known, beside = project()
    chosen: list[Any] = [one for one in known if one.keys & wanted]
    if checks:
        chosen += [one for one in beside if {key.asset_key for key in one.check_keys} & wanted]
    defaults: dict[str, Any] = {
        "provisioner": FakeProvisioner(),
        "flink_jobs": FakeFlinkJobs(),
        "boards": FakeBoards(),
        "archive": FakeArchive(RuntimeError("not asked for")),
        "reconciler": FakeReconciler(reconciled(Verdict.MATCH)),
        "verdicts": FakeVerdicts(finished()),
        "quality": FakeQuality(),
        "dashboard": FakeDashboard(),
        "dead_letters": FakeDeadLetters(Rate(records=1000, dead=0, limit=0.05)),
        "enrichment": FakeEnrichment(),
    }
    external = {key for key in wanted if not any(key in one.keys for one in known)}
    selection = dg.AssetSelection.assets(*(wanted - external))
    if external:  # nothing to materialise: its checks alone
        selection |= dg.AssetSelection.checks(
            *(key for one in beside for key in one.check_keys if key.asset_key in external)
        )
    return dg.materialize(
        chosen,
        selection=selection,
        resources={**defaults, **fakes},
        run_config=config,
        tags=tags,
        raise_on_error=False,
    )


def provisioned() -> list[str]:
    """Every topic, subject and table."""
    assets, _ = project()
    group = [spec for one in assets for spec in one.specs if spec.group_name == "provisioning"]
    return [spec.key.to_user_string() for spec in group if spec.key.path[0] != "enrichment"]


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    [event] = result.asset_materializations_for_node(
        next(
            e.node_name
            for e in result.get_asset_materialization_events()
            if e.asset_key == dg.AssetKey(asset.split("/"))
        )
    )[:1]
    return {name: value.value for name, value in event.metadata.items()}


def evaluations(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    found = result.get_asset_check_evaluations()
    return {(one.asset_key.to_user_string(), one.check_name): one for one in found}


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What the one failed step says."""
    [event] = [one for one in result.all_events if one.is_step_failure]
    assert event.step_failure_data.user_failure_data is not None, event.step_failure_data.error
    return event.step_failure_data.user_failure_data.description or ""


def tries(result: dg.ExecuteInProcessResult) -> int:
    """How often the step was tried."""
    return 1 + sum(one.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY for one in result.all_events)
