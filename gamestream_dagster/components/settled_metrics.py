"""The component `SettledMetrics`: a daily asset for each folder of `batch_sql/`, with its checks."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from gamestream_dagster.catalogue.metrics import (
    HAS_ROWS,
    KEY_IS_UNIQUE,
    CheckSeverity,
    Metric,
    load_metrics,
)
from gamestream_dagster.catalogue.topics import CLOCK_TOPIC, RAW_TOPIC
from gamestream_dagster.components.columns import column_schema
from gamestream_dagster.components.keys import DEVICE_TABLE, Group, archive_key, metric_key, table_key, topic_key
from gamestream_dagster.components.live_comparison import live_comparison
from gamestream_dagster.components.metrics_sensor import metrics_automation
from gamestream_dagster.resources.failures import explained
from gamestream_dagster.resources.metrics import Metrics
from gamestream_dagster.warehouse.described_tables import metric_table
from gamestream_dagster.warehouse.tables import live_comparisons, metric_settlement_events, metric_settlements, system

if TYPE_CHECKING:
    from gamestream_dagster.metrics.compute import CheckResult
    from gamestream_dagster.metrics.model import Settlement

# No archive is older than 2025; partitions of which a metric reads the 400 days before must exist.
DAYS = dg.DailyPartitionsDefinition(start_date="2023-01-01", timezone="UTC")
_SEVERITY = {CheckSeverity.FAIL: dg.AssetCheckSeverity.ERROR, CheckSeverity.WARN: dg.AssetCheckSeverity.WARN}


class SettledMetrics(dg.Component, dg.Model, dg.Resolvable):
    """`metric/<metric>` for each folder of `batch_sql/`: a table in Postgres, a partition a day."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Read the folders; no server is asked."""
        return build_metric_definitions(load_metrics())


def build_metric_definitions(metrics: Mapping[str, Metric]) -> dg.Definitions:
    """The assets of the metrics, and what settles them."""
    assets = dg.Definitions(assets=[_metric_asset(metric) for metric in metrics.values()])
    return dg.Definitions.merge(assets, metrics_automation(metrics, DAYS), live_comparison(metrics))


def _metric_asset(metric: Metric) -> dg.AssetsDefinition:
    name = metric.name

    @dg.asset(
        key=metric_key(name),
        description=f"{' '.join(metric.definition.split())} ({metric.grain}.)",
        group_name=Group.METRICS.value,
        owners=[metric.owner],
        kinds={"duckdb", "postgres"},
        tags={"layer": "metrics", "metric": name},
        metadata={
            "dagster/column_schema": column_schema(metric_table(metric, _scratch())),
            "dagster/partition_expr": metric.partition,
            "grain": metric.grain,
            "source": metric.source,
            "lateness": metric.lateness,
            "windows": dict(metric.windows),
        },
        partitions_def=DAYS,
        deps=_deps(metric),
        check_specs=_check_specs(metric),
        output_required=False,
    )
    def settle_metric(
        context: dg.AssetExecutionContext, metrics: dg.ResourceParam[Metrics]
    ) -> Iterator[dg.MaterializeResult]:
        """Settle the partition's day; equal rows keep their version."""
        with explained(f"settle {name} of {context.partition_key}"):
            settled = metrics.settle(name, date.fromisoformat(context.partition_key))
        yield dg.MaterializeResult(
            metadata=_facts(settled),
            data_version=dg.DataVersion(str(settled.version)),
            check_results=[_check_result(metric, one) for one in settled.checks],
        )

    return settle_metric


def _scratch() -> Any:
    import sqlalchemy as sa

    return sa.MetaData(naming_convention=system.naming_convention)


def _deps(metric: Metric) -> list[dg.AssetDep]:
    deps = [
        dg.AssetDep(
            metric_key(name),
            partition_mapping=dg.TimeWindowPartitionMapping(start_offset=1 - metric.window_of(name), end_offset=0),
        )
        for name in metric.upstream
    ]
    tables = [metric.name, metric_settlements.name, metric_settlement_events.name]
    tables += [live_comparisons.name] if metric.live else []
    deps += [dg.AssetDep(table_key(table)) for table in tables]
    if metric.reads_events:
        deps += [dg.AssetDep(key) for key in (archive_key(RAW_TOPIC), topic_key(CLOCK_TOPIC), DEVICE_TABLE)]
    return deps


def _check_specs(metric: Metric) -> list[dg.AssetCheckSpec]:
    key = ", ".join(metric.key)
    sentences = {HAS_ROWS: "The day has rows.", KEY_IS_UNIQUE: f"({key}) names one row."}
    sentences |= {name: rule.holds for name, rule in metric.rules.items()}
    return [
        dg.AssetCheckSpec(name, asset=metric_key(metric.name), description=holds, blocking=metric.blocks(name))
        for name, holds in sentences.items()
    ]


def _check_result(metric: Metric, found: "CheckResult") -> dg.AssetCheckResult:
    said = found.holds if found.passed else f"{found.holds} Broken by {found.broken:,} rows."
    if found.name == HAS_ROWS and not found.passed:
        said = "The day has no row."
    return dg.AssetCheckResult(
        asset_key=metric_key(metric.name),
        check_name=found.name,
        passed=found.passed,
        severity=_SEVERITY[found.severity],
        description=said,
        metadata={"broken_rows": found.broken},
    )


def _facts(settled: "Settlement") -> dict[str, Any]:
    return {
        "dagster/partition_row_count": settled.rows,
        "settle_version": settled.version,
        "changed": settled.changed,
        "reason": settled.reason.value,
        "late_events": settled.late_events,
        "seconds": round(settled.seconds, 3),
    }
