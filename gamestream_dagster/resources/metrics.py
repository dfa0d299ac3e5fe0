"""The settled metrics of one stack; DuckDB and Kafka are imported when they work."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from gamestream_dagster.catalogue.metrics import Metric, load_metrics, metric_named
from gamestream_dagster.settings import Settings

if TYPE_CHECKING:
    from gamestream_dagster.metrics.completeness import Completeness
    from gamestream_dagster.metrics.model import Settled, Settlement
    from gamestream_dagster.metrics.watching import LateDays, Scanned
    from gamestream_dagster.reconciliation.live.model import DayProof


class Metrics:
    """The settled days of one stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def settle(self, name: str, day: date) -> "Settlement":
        """Settle one day of one metric.

        Raises:
            MetricError, ArchiveError, ServiceError: as `Settler.settle`.
        """
        from gamestream_dagster.metrics.settle import open_settler

        metrics = load_metrics()
        with open_settler(self._settings, metrics) as settler:
            return settler.settle(metric_named(name, metrics), day)

    def completeness(self, day: date) -> "Completeness":
        """Whether the archive holds the whole day, and what holds it up."""
        from gamestream_dagster.metrics.completeness import day_completeness
        from gamestream_dagster.metrics.source import game_source

        return day_completeness(self._settings, game_source(self._settings), day)

    def settled(self, metrics: Collection[str]) -> "list[Settled]":
        """The newest version of every settled day."""
        from gamestream_dagster.metrics.store import open_store

        with open_store(self._settings) as store:
            return store.newest(metrics)

    def look(self, scanned: "Scanned | None", settled: "Sequence[Settled]") -> "LateDays":
        """What was archived since the last look, by day."""
        from gamestream_dagster.metrics.watching import look

        return look(self._settings, scanned, settled)

    def comparable(self) -> dict[date, dict[str, int]]:
        """Settled days that can be compared with what was streamed of them, and the metrics' versions."""
        from gamestream_dagster.clients.postgres import open_engine
        from gamestream_dagster.metrics.store import open_store
        from gamestream_dagster.reconciliation.live.comparisons import comparable_days, comparisons

        with open_store(self._settings) as store, open_engine(self._settings) as engine:
            return comparable_days(store, engine, comparisons(self._settings))

    def compare_live(self, day: date) -> "DayProof":
        """What was streamed of a settled day against the settled numbers."""
        from gamestream_dagster.reconciliation.live.run import reconcile_day

        return reconcile_day(self._settings, day)

    def drop_old(self, metrics: Mapping[str, Metric], today: date) -> dict[str, list[date]]:
        """Drop the days that are older than their metric keeps them."""
        from gamestream_dagster.metrics.watching import drop_old

        return drop_old(self._settings, metrics, today)


class MetricsResource(dg.ConfigurableResource[Metrics]):
    """Opens the settled metrics of the stack."""

    stack: dg.ResourceDependency[Settings]

    def create_resource(self, context: dg.InitResourceContext) -> Metrics:
        """The metrics of one stack."""
        return Metrics(self.stack)
