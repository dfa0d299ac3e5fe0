"""The check that what was streamed of a day equals the settled numbers, or differs by known causes alone."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from gamestream_dagster.catalogue.metrics import LIVE_EQUALS_SETTLED, Metric
from gamestream_dagster.components.keys import metric_key
from gamestream_dagster.components.markdown import markdown_table
from gamestream_dagster.components.proof_checks import keep_alert
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.resources.failures import explained
from gamestream_dagster.resources.metrics import Metrics
from gamestream_dagster.resources.verdicts import Verdicts

if TYPE_CHECKING:
    from gamestream_dagster.reconciliation.live.model import DayProof, LiveNumber

JOB = "compare_live_with_settled"
SENSOR = "settled_days_to_compare"
OP = "live_equals_settled_numbers"
ALERT = "metrics/live"
INTERVAL_SECONDS = 300
_SHOWN = 20


class ComparedDay(dg.Config):
    """Which day is compared."""

    day: str = ""
    """UTC, such as 2026-11-25; empty: the newest settled one that is kept live."""


def live_comparison(metrics: Mapping[str, Metric]) -> dg.Definitions:
    """The check of each metric with `live`, its job, and the sensor that runs it once for each settled version."""
    compared = [metric for metric in metrics.values() if metric.live]
    if not compared:
        return dg.Definitions()

    @dg.multi_asset_check(
        name=OP,
        description="Numbers of a settled day against what was streamed of it; each difference has a cause.",
        specs=[
            dg.AssetCheckSpec(
                LIVE_EQUALS_SETTLED,
                asset=metric_key(metric.name),
                description=f"{', '.join(name for live in metric.live for name in live.sums)} of a settled day differ "
                f"from {', '.join(live.output for live in metric.live)} by known causes alone.",
            )
            for metric in compared
        ],
        can_subset=True,
    )
    def live_equals_settled(
        context: dg.AssetCheckExecutionContext,
        config: ComparedDay,
        metrics: dg.ResourceParam[Metrics],
        verdicts: dg.ResourceParam[Verdicts],
    ) -> Iterator[dg.AssetCheckResult]:
        """One result for each metric that could be compared."""
        with explained("compare live and settled numbers"):
            day = date.fromisoformat(config.day) if config.day else newest(metrics)
            proof = metrics.compare_live(day)
            details = {"verdict": proof.verdict.value, "reason": proof.reason, "day": day.isoformat()}
            keep_alert(verdicts, ALERT, proof.verdict, f"{day}: {proof.verdict.value}. {proof.reason}", details)
        if proof.verdict is Verdict.COULD_NOT_RUN:
            raise dg.Failure(description=f"Nothing was compared: {proof.reason}", allow_retries=False)
        for name, why in proof.left_out.items():
            context.log.info(f"Not compared: {name}: {why}")
        selected = {key.asset_key for key in context.selected_asset_check_keys}
        yield from (one for one in results(proof) if one.asset_key in selected)

    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.checks(live_equals_settled),
        description="Compare what was streamed of a settled day with the settled numbers.",
        tags={"gamestream/part": "metrics"},
    )

    @dg.sensor(
        name=SENSOR,
        job=job,
        minimum_interval_seconds=INTERVAL_SECONDS,
        description="Compares each settled version of a day that is still kept live with what was streamed of it.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def settled_days_to_compare(
        context: dg.SensorEvaluationContext, metrics: dg.ResourceParam[Metrics]
    ) -> dg.SensorResult:
        return tick(metrics)

    return dg.Definitions(asset_checks=[live_equals_settled], jobs=[job], sensors=[settled_days_to_compare])


def newest(metrics: Metrics) -> date:
    """The newest settled day that is kept live.

    Raises:
        Failure: there is none.
    """
    days = list(metrics.comparable())
    if not days:
        raise dg.Failure(
            description="No settled day is kept live: deploy the jobs of the live metrics (`gamestream jobs apply "
            "game_metrics_v1`), and settle a day that they have counted.",
            allow_retries=False,
        )
    return days[-1]


def tick(metrics: Metrics) -> dg.SensorResult:
    """Request each version of a day once: Dagster leaves out run keys that it knows.

    Raises:
        GamestreamError: Postgres could not be asked; the next tick asks again.
    """
    days = metrics.comparable()
    if not days:
        return dg.SensorResult(skip_reason="No settled day is kept live: no job counts live, or no day is settled.")
    return dg.SensorResult(run_requests=[_request(day, versions) for day, versions in days.items()])


def _request(day: date, versions: Mapping[str, int]) -> dg.RunRequest:
    named = ",".join(f"{metric} {version}" for metric, version in sorted(versions.items()))
    return dg.RunRequest(
        run_key=f"{day}: {named}",
        run_config={"ops": {OP: {"config": {"day": day.isoformat()}}}},
        tags={"gamestream/day": day.isoformat()},
    )


def results(proof: "DayProof") -> list[dg.AssetCheckResult]:
    """One result for each compared metric."""
    return [_result(proof, metric, [one for one in proof.numbers if one.metric == metric]) for metric in proof.versions]


def _result(proof: "DayProof", metric: str, numbers: "Sequence[LiveNumber]") -> dg.AssetCheckResult:
    differing = [one for one in numbers if one.causes]
    wrong = [one.name for one in differing if any(cause.unexplained for cause in one.causes)]
    metadata: dict[str, dg.MetadataValue] = {
        "day": dg.MetadataValue.text(proof.day.isoformat()),
        "settle_version": dg.MetadataValue.int(proof.versions[metric]),
        "numbers": dg.MetadataValue.int(len(numbers)),
        "differing": dg.MetadataValue.int(len(differing)),
    }
    if differing:
        metadata["differences"] = markdown_table(
            ("output", "number", "live", "settled", "causes"), map(_row, differing[:_SHOWN])
        )
    said = f"UNEXPLAINED: {', '.join(wrong[:_SHOWN])}." if wrong else "Live and settled are equal."
    if differing and not wrong:
        said = f"{len(differing)} numbers differ, and the causes add up."
    return dg.AssetCheckResult(
        asset_key=metric_key(metric),
        check_name=LIVE_EQUALS_SETTLED,
        passed=not wrong,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{proof.day}: {said}",
        metadata=metadata,
    )


def _row(one: "LiveNumber") -> tuple[str, ...]:
    causes = ", ".join(f"{cause.value} {more:+}" for cause, more in one.causes.items())
    return one.output, one.name, str(one.live), str(one.settled), causes
