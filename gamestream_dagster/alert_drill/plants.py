"""The catalogue of the drill: which condition makes which rules fire."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from gamestream_dagster.alert_drill import conditions, job_conditions
from gamestream_dagster.alert_drill.jobs import ABUSE, BOARDS, INTAKE, RANKS, SECURITY, STREAKS
from gamestream_dagster.alert_drill.scene import Scene

_APIS: Final = ("ingest", "api")
_DAGSTER: Final = (*_APIS, "dagster")


@dataclass(frozen=True)
class Plant:
    """A condition, and the rules that must fire by it."""

    name: str
    what: str
    rules: tuple[str, ...]
    plant: Callable[[Scene], AbstractContextManager[None]]
    jobs: tuple[str, ...] = ()
    """Flink jobs that must run."""
    servers: tuple[str, ...] = ()
    """Servers that must run, beside Kafka, Flink, Postgres and the registry."""
    label: str = ""
    """Only alerts with this text in their id are about the condition."""
    prevents: tuple[str, ...] = ()
    """Commands that rightly say that they cannot run while it holds."""
    clean: Callable[[Scene], None] = lambda _: None
    """Takes away what must stay until the rules have resolved."""
    carriers: tuple[str, ...] = ()
    """Rules without which the others cannot fire."""


def _burns(objective: str) -> tuple[str, ...]:
    return tuple(f"{objective}_burns_{factor}" for factor in ("14_4x", "6x", "1x"))


CATALOGUE: Final = (
    Plant("silence", "silence: no event arrives, and the inbox refuses messages", ("data_freshness", "messages_wait"),
          conditions.silence, carriers=("data_freshness",)),
    Plant("odd-days", "settled days unlike the same weekdays before",
          ("dau_drop", "mau_drop", "purchase_anomaly", "economy_imbalance"), conditions.odd_days,
          clean=conditions.forget_days),
    Plant("bad-sender", "broken events, unknown countries and slow game servers",
          ("high_dlq_rate", "unknown_countries", "game_servers_slow"), conditions.bad_sender, (INTAKE,)),
    Plant("stopped-api", "a stopped serving API", ("server_down", *_burns("availability")), conditions.stopped_api,
          servers=_APIS, label='server="api"'),
    Plant("slow-api", "a serving API that is suspended again and again", ("server_slow",), conditions.slow_api,
          servers=_APIS, label='server="api"'),
    Plant("late-events", "events of an hour ago", ("many_late_events",), conditions.late_events, BOARDS),
    Plant("old-proof", "an old proof", ("proof_is_old",), job_conditions.old_proof, BOARDS),
    Plant("wrong-row", "a row edited by hand, and a proof", _burns("correctness"), job_conditions.wrong_row, BOARDS),
    Plant("locked-table", "a lock on a board's table", ("no_checkpoint",), job_conditions.locked_table, BOARDS,
          label=f'flink_job="{RANKS}"'),
    Plant("slow-job", "a burst of events for a TaskManager that is suspended again and again", ("high_kafka_lag",),
          job_conditions.slow_job, BOARDS),
    Plant("missing-table", "a board's table that is gone", ("flink_job_restarts",), job_conditions.missing_table,
          BOARDS, label=f'flink_job="{STREAKS}"'),
    Plant("hanging-server", "a JobManager that hangs", ("alerts_are_blind",), job_conditions.hanging_server, BOARDS,
          label='source="flink"'),
    Plant("lost-job", "a killed JobManager, and checkpoints out of reach",
          ("flink_job_failed", "job_parked", *_burns("freshness")), job_conditions.lost_job, BOARDS),
    Plant("failed-proofs", "proofs that cannot run, in Dagster", ("proof_could_not_run", "dagster_run_failed"),
          job_conditions.failed_proofs, BOARDS, _DAGSTER, label='dagster_job="reconcile"',
          prevents=("reconcile", "archive")),
    Plant("unexplained-row", "a row that no event explains, and a proof in Dagster",
          ("board_differs", "unexplained_difference"), job_conditions.unexplained_row, BOARDS, _DAGSTER),
    Plant("abuse", "abuse of each kind",
          tuple(f"abuse_{kind}" for kind in ("velocity", "prices", "refunds", "scores", "devices")),
          conditions.abuse, (INTAKE, ABUSE)),
    Plant("attack", "attacks on SSH servers, and log lines that cannot be read", ("ssh_attack", "unread_log_lines"),
          conditions.attack, (SECURITY,), clean=conditions.forget_attacks),
)  # fmt: skip
