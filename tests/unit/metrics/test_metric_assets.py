"""The assets of metrics: a partition a day, what they read as lineage, checks that block what reads them."""

from __future__ import annotations

from datetime import date

import dagster as dg

from gamestream_dagster.catalogue.metrics import KEY_IS_UNIQUE, CheckSeverity, load_metrics, with_upstream
from gamestream_dagster.components.settled_metrics import build_metric_definitions
from gamestream_dagster.metrics.compute import CheckResult
from gamestream_dagster.metrics.model import Reason, Settlement

METRICS = with_upstream(("level_metrics", "revenue_daily", "active_users"), load_metrics())


class Facade:
    """Settles nothing, and says that a check of some metric fails."""

    def __init__(self, broken: str = "", severity: CheckSeverity = CheckSeverity.FAIL) -> None:
        self.settled: list[str] = []
        self._broken, self._severity = broken, severity

    def settle(self, name: str, day: date) -> Settlement:
        self.settled.append(name)
        fail = CheckSeverity.FAIL
        checks = [CheckResult(rule, one.severity, one.holds, 0) for rule, one in METRICS[name].rules.items()]
        checks.append(CheckResult("has_rows", METRICS[name].empty, "The day has rows.", 0))
        checks.append(CheckResult(KEY_IS_UNIQUE, fail, "One row.", 3 if name == self._broken else 0))
        return Settlement(name, day, 2, True, Reason.LATE_EVENTS, 7, 1, tuple(checks))


def run(facade: Facade) -> dg.ExecuteInProcessResult:
    assets = list(build_metric_definitions(METRICS).assets or ())
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            assets,  # type: ignore[arg-type]
            partition_key="2026-03-01",
            resources={"metrics": facade},
            instance=instance,
            raise_on_error=False,
        )


def test_a_day_settles_each_metric_once_after_what_it_reads() -> None:
    facade = Facade()
    result = run(facade)
    assert result.success
    assert sorted(facade.settled) == sorted(METRICS)
    for name, metric in METRICS.items():
        assert all(facade.settled.index(one) < facade.settled.index(name) for one in metric.upstream)
    [event] = [one for one in result.get_asset_materialization_events() if one.asset_key.path[-1] == "level_metrics"]
    shown = {name: value.value for name, value in event.materialization.metadata.items()}
    assert (shown["settle_version"], shown["reason"], shown["dagster/partition_row_count"]) == (2, "LATE_EVENTS", 7)
    assert event.partition == "2026-03-01"


def test_a_check_that_fails_stops_what_reads_the_metric() -> None:
    facade = Facade(broken="events")
    assert not run(facade).success
    assert facade.settled == ["events"]
    facade = Facade(broken="level_metrics")
    run(facade)
    assert set(facade.settled) >= {"active_users", "revenue_daily"}, "what does not read it goes on"
