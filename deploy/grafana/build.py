"""Writes the Grafana dashboards of `deploy/grafana/dashboards`: `make dashboards`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueGraphMode, LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef

FOLDER: Final = Path(__file__).parent / "dashboards"
DATASOURCE: Final = DataSourceRef(type_val="prometheus", uid="gamestream")


@dataclass(frozen=True)
class Query:
    """One query of a panel; `legend` holds places such as `{{region}}`."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel; a single number where `number`, else lines over time."""

    title: str
    meaning: str
    queries: tuple[Query, ...]
    unit: str = "short"
    number: bool = False
    span: int = 8


@dataclass(frozen=True)
class Board:
    """One dashboard: rows of panels, by the row's title."""

    uid: str
    title: str
    meaning: str
    rows: dict[str, tuple[Panel, ...]] = field(default_factory=dict)


def lines(title: str, meaning: str, *queries: tuple[str, str], unit: str = "short", span: int = 8) -> Panel:
    """A panel of lines over time."""
    return Panel(title, meaning, tuple(Query(*one) for one in queries), unit, span=span)


def number(title: str, meaning: str, expr: str, unit: str = "short") -> Panel:
    """A panel with one number."""
    return Panel(title, meaning, (Query(expr, title),), unit, number=True, span=4)


LIVE_OPS: Final = Board(
    "gamestream-live-ops",
    "gamestream: live ops",
    "What players do now, and whether the numbers about it can be trusted.",
    {
        "Now": (
            number("Events per minute", "Game events that Kafka took, over ten minutes.", "total_events_per_minute"),
            number(
                "Refused",
                "Share of refused game events.",
                "dlq_events_per_minute / total_events_per_minute",
                "percentunit",
            ),
            number("Hours since an event", "Of the topic that waits longest.", "max(hours_since_last_event)", "h"),
            number("Waiting records", "Kafka records that no job has read yet.", "sum(kafka_consumer_lag)"),
            number(
                "Boards proven right",
                "Share of boards whose newest proof is MATCH or EXPLAINED.",
                "avg(board_is_correct)",
                "percentunit",
            ),
            number("Active alerts", "Alerts in gamestream's own table.", "sum(gamestream_alert_raised) or vector(0)"),
        ),
        "Players": (
            lines(
                "Events per minute by region",
                "Over ten minutes of event time.",
                ("region_events_per_minute", "{{region}}"),
                span=12,
            ),
            lines(
                "Events per minute by type",
                "Over ten minutes of event time.",
                ("topk(12, game_events_per_minute)", "{{event_type}}"),
                span=12,
            ),
            lines("Revenue per minute", "Before refunds, by currency.", ("revenue_per_minute", "{{currency}}")),
            lines(
                "Feature uses per minute", "The twelve most used.", ("topk(12, feature_uses_per_minute)", "{{feature}}")
            ),
            lines(
                "Exposures per minute",
                "By experiment and variant.",
                ("experiment_exposures_per_minute", "{{experiment}} {{variant}}"),
            ),
        ),
        "Quality": (
            lines("Refused events per minute", "Dead letters.", ("dlq_events_per_minute", "refused")),
            lines(
                "Late events",
                "Share of the newest hour in the ledger.",
                ("late_event_share", "{{topic}}"),
                unit="percentunit",
            ),
            lines(
                "Unknown country",
                "Share of the newest events about a player.",
                ("unknown_country_share", "unknown"),
                unit="percentunit",
            ),
            lines(
                "Events by verdict of intake",
                "Per second.",
                ("sum by (verdict) (rate(gamestream_ingest_events_total[5m]))", "{{verdict}}"),
                unit="eps",
                span=12,
            ),
            lines(
                "Age of the newest proof",
                "One is due every 15 minutes.",
                ("reconciliation_age_seconds", "{{board}}"),
                unit="s",
                span=12,
            ),
        ),
    },
)

PLATFORM: Final = Board(
    "gamestream-platform",
    "gamestream: platform",
    "Servers, jobs and the objectives.",
    {
        "Objectives: budget of the last 6 hours that is used, 1 is all of it": tuple(
            lines(
                title,
                f"Readings that were not good, by the budget of {1 - budget:.4g}.",
                (f"(1 - avg_over_time({series}[6h])) / {budget:g}", legend),
            )
            for title, series, budget, legend in (
                ("Correctness", "board_is_correct", 0.001, "{{board}}"),
                ("Freshness", "flink_job_is_fresh", 0.01, "{{flink_job}}"),
                ("Availability", "http_server_up", 0.001, "{{server}}"),
            )
        ),
        "Jobs": (
            lines("Waiting records", "By job.", ("kafka_consumer_lag", "{{flink_job}}")),
            lines(
                "Age of the newest checkpoint",
                "By job.",
                ("flink_job_checkpoint_age_seconds", "{{flink_job}}"),
                unit="s",
            ),
            lines("Failures in five minutes", "By job.", ("flink_job_failures", "{{flink_job}}")),
            lines(
                "Jobs that do not run",
                "Jobs in another state than RUNNING.",
                ('sum by (flink_job, state) (flink_job_state{state!="RUNNING"} == 1)', "{{flink_job}} {{state}}"),
            ),
            lines(
                "Records read per second",
                "By job, of its sources.",
                (
                    "sum by (job_name) (flink_taskmanager_job_task_operator_numRecordsOutPerSecond"
                    '{operator_name=~"Source.*"})',
                    "{{job_name}}",
                ),
                unit="rps",
            ),
            lines(
                "Busy time",
                "Milliseconds a second of the busiest task of each job.",
                ("max by (job_name) (flink_taskmanager_job_task_busyTimeMsPerSecond)", "{{job_name}}"),
                unit="ms",
            ),
            lines(
                "Duration of the last checkpoint",
                "By job.",
                ("max by (job_name) (flink_jobmanager_job_lastCheckpointDuration)", "{{job_name}}"),
                unit="ms",
            ),
            lines(
                "Size of the last checkpoint",
                "By job.",
                ("max by (job_name) (flink_jobmanager_job_lastCheckpointFullSize)", "{{job_name}}"),
                unit="bytes",
            ),
            lines(
                "Restarts",
                "Since the job was submitted.",
                ("max by (job_name) (flink_jobmanager_job_numRestarts)", "{{job_name}}"),
            ),
        ),
        "Servers": (
            lines(
                "Memory of Flink",
                "Heap in use.",
                ("flink_taskmanager_Status_JVM_Memory_Heap_Used", "TaskManager"),
                ("flink_jobmanager_Status_JVM_Memory_Heap_Used", "JobManager"),
                unit="bytes",
            ),
            lines(
                "Load of Flink",
                "Share of the machine's CPU.",
                ("flink_taskmanager_Status_JVM_CPU_Load", "TaskManager"),
                ("flink_jobmanager_Status_JVM_CPU_Load", "JobManager"),
                unit="percentunit",
            ),
            lines("Free slots", "Task slots that no job uses.", ("flink_jobmanager_taskSlotsAvailable", "free")),
            lines(
                "Requests by status",
                "Both HTTP APIs, per second.",
                ("sum by (status) (rate(gamestream_ingest_requests_total[5m]))", "intake {{status}}"),
                ("sum by (status) (rate(gamestream_api_requests_total[5m]))", "serving {{status}}"),
                unit="reqps",
            ),
            lines(
                "Latency, p95",
                "Both HTTP APIs, all routes.",
                (
                    "histogram_quantile(0.95, sum by (le) (rate(gamestream_ingest_request_seconds_bucket[5m])))",
                    "intake",
                ),
                ("histogram_quantile(0.95, sum by (le) (rate(gamestream_api_request_seconds_bucket[5m])))", "serving"),
                unit="s",
            ),
            lines("Ready", "1 while an HTTP API is ready.", ("http_server_up", "{{server}}")),
            lines(
                "Failed runs of Dagster",
                "Jobs whose newest run failed.",
                ('dagster_run_state{state="FAILURE"} == 1', "{{dagster_job}}"),
            ),
            lines("Sources of the alerts", "0: the alerts cannot read it.", ("alert_source_up", "{{source}}")),
            lines(
                "Waiting messages",
                "Messages of alerts that could not be sent.",
                ("alert_messages_waiting", "{{route}}"),
            ),
            lines("Scrapes", "0: Prometheus cannot read it.", ("up", "{{job}} {{instance}}")),
        ),
    },
)

GAME: Final = Board(
    "gamestream-game",
    "gamestream: game",
    "Settled days: players, money, economy, levels; and the game's servers.",
    {
        "Newest settled day": (
            number("DAU", "Players of the day.", "dau"),
            number(
                "DAU by the usual",
                "Against the same weekday of the four weeks before.",
                "dau / dau_usual",
                "percentunit",
            ),
            number("MAU", "Players of 30 days.", "mau"),
            number("Stickiness", "DAU / MAU.", "dau / mau", "percentunit"),
            number("Purchases", "Of the day.", "daily_purchases"),
            number("Revenue", "Less refunds.", "daily_revenue_usd", "currencyUSD"),
        ),
        "Players": (
            lines("Players", "By settled day, and the usual.", ("dau", "DAU"), ("dau_usual", "usual"), span=12),
            lines(
                "Retention",
                "Of the newest cohort, by day.",
                ("retention_rate", "day {{day_n}}"),
                unit="percentunit",
                span=12,
            ),
            lines(
                "Purchases",
                "By settled day, and the usual.",
                ("daily_purchases", "purchases"),
                ("daily_purchases_usual", "usual"),
            ),
            lines("Purchases per minute", "Live, by currency.", ("purchases_per_minute", "{{currency}}")),
            lines(
                "Inflation",
                "Change of the supply within a day, by currency.",
                ("economy_inflation", "{{currency}}"),
                unit="percentunit",
            ),
        ),
        "Levels and servers": (
            lines(
                "Hardest levels",
                "Share of attempts that were completed, the ten lowest.",
                ("bottomk(10, level_pass_rate)", "level {{level_id}}"),
                unit="percentunit",
            ),
            lines("Supply", "At the beginning of the settled day, by currency.", ("economy_supply", "{{currency}}")),
            lines(
                "Latency of game servers, p95",
                "As they report it, over ten minutes.",
                ("server_latency_p95_ms", "{{region}}"),
                unit="ms",
            ),
        ),
    },
)
BOARDS: Final = (LIVE_OPS, PLATFORM, GAME)


def rendered(board: Board) -> str:
    """The JSON of a dashboard."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.meaning)
        .tags(["gamestream"])
        .readonly()
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("utc")
    )
    ids = count(1)
    for title, panels in board.rows.items():
        made.with_row(dashboard.Row(title).id(next(ids)))
        for one in panels:
            made.with_panel(_panel(one, next(ids)))
    return json.dumps(made.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _panel(one: Panel, number_of: int) -> stat.Panel | timeseries.Panel:
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    made: stat.Panel | timeseries.Panel
    if one.number:
        newest = common.ReduceDataOptions().calcs(["lastNotNull"])
        made = stat.Panel().graph_mode(BigValueGraphMode.NONE).reduce_options(newest)
    else:
        made = timeseries.Panel().legend(legend.show_legend(True))
    made.id(number_of).title(one.title).description(one.meaning).unit(one.unit)
    made.span(one.span).height(4 if one.number else 8).datasource(DATASOURCE).no_value("no data")
    for position, query in enumerate(one.queries):
        target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(chr(ord("A") + position))
        made.with_target(target.instant() if one.number else target.range())
    return made


def write(folder: Path) -> list[Path]:
    """Write every dashboard into a folder; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for board in BOARDS:
        paths.append(folder / f"{board.uid}.json")
        paths[-1].write_text(rendered(board), encoding="utf-8")
    return paths


if __name__ == "__main__":
    write(FOLDER)
