"""How each rule is made to fire: a condition that is planted on a stack, and lifted again.

A plant is a context: what its body sees is planted, and afterwards it is lifted.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from gamestream_dagster.alert_drill.scene import Scene
from gamestream_dagster.flink_jobs.control import manager as jobs
from gamestream_dagster.flink_jobs.plan.model import Choice

BURNS: Final = ("14_4x", "6x", "1x")
STREAKS: Final = "hot_streaks_v1"
RANKS: Final = "leaderboards_v1"


@dataclass(frozen=True)
class Plant:
    """A condition, and the rules that must fire by it."""

    name: str
    what: str
    rules: tuple[str, ...]
    plant: Callable[[Scene], AbstractContextManager[None]]


@contextmanager
def silence(scene: Scene) -> Iterator[None]:
    """Nobody sends an event, and the webhook refuses what people should be told."""
    scene.inbox.refuses = True
    try:
        yield
    finally:
        scene.inbox.refuses = False
        scene.events.scores(20)
        scene.events.games(20)


@contextmanager
def bad_sender(scene: Scene) -> Iterator[None]:
    """A sender without countries, with broken events, whose servers are slow."""
    scene.events.broken(60)
    scene.events.games(300)
    scene.events.reports(40, latency_ms=2_000)
    yield
    scene.events.games(9_000, country="DE")
    scene.events.reports(1_500, latency_ms=20)


@contextmanager
def late_events(scene: Scene) -> Iterator[None]:
    """Events that are an hour old, counted by a proof."""
    scene.events.scores(100)
    scene.wait_read()
    scene.events.scores(300, behind=timedelta(hours=1))
    scene.prove()
    yield
    scene.events.scores(12_000)
    scene.prove()


@contextmanager
def wrong_row(scene: Scene) -> Iterator[None]:
    """A row of a board is written by hand, and a proof finds it."""
    scene.wait_read()
    with scene.database() as link:
        changed = "UPDATE top_players SET total_score = total_score + 1 WHERE rnk = (SELECT min(rnk) FROM top_players)"
        link.execute(text(changed))
    scene.prove()
    yield
    scene.command("repair", "--yes")
    scene.prove()


@contextmanager
def old_proof(scene: Scene) -> Iterator[None]:
    """Nobody proves the boards."""
    scene.prove()
    yield
    scene.prove()


@contextmanager
def locked_table(scene: Scene) -> Iterator[None]:
    """Somebody holds a lock on a board's table: the job waits for it."""
    with scene.database() as link:
        link.execute(text("LOCK TABLE top_players IN ACCESS EXCLUSIVE MODE"))
        scene.events.scores(60_000)
        yield


@contextmanager
def missing_table(scene: Scene) -> Iterator[None]:
    """A board's table is gone: its job fails at each write."""
    with scene.database() as link:
        link.execute(text("ALTER TABLE hot_streaks RENAME TO hot_streaks_of_the_drill"))
    try:
        with scene.steady_scores():
            yield
    finally:
        with scene.database() as link:
            link.execute(text("ALTER TABLE hot_streaks_of_the_drill RENAME TO hot_streaks"))
        scene.wait_running(STREAKS)
        jobs.apply_job(scene.settings, STREAKS, Choice.REDEPLOY)  # a new Flink job has no failures behind it


@contextmanager
def lost_job(scene: Scene) -> Iterator[None]:
    """The JobManager is killed and a job's states are out of reach: the job manager must not start it without them."""
    aside = scene.settings.checkpoints_dir.with_name("out-of-reach")
    scene.settings.checkpoints_dir.rename(aside)
    try:
        scene.kill("flink-jobmanager")
        scene.wait_service("flink-jobmanager")
        jobs.look_and_plan(scene.settings, STREAKS)
        yield
    finally:
        scene.put_back(aside)
        for job in scene.jobs:
            jobs.apply_job(scene.settings, job, Choice.HEAL)
            scene.wait_running(job)
            jobs.look_and_plan(scene.settings, job)


@contextmanager
def hanging_server(scene: Scene) -> Iterator[None]:
    """A server hangs: who asks it gets no answer."""
    scene.signal("flink-jobmanager", signal.SIGSTOP)
    try:
        yield
    finally:
        scene.signal("flink-jobmanager", signal.SIGCONT)


@contextmanager
def stopped_api(scene: Scene) -> Iterator[None]:
    """An HTTP API is stopped."""
    scene.supervisor.stop("api")
    try:
        yield
    finally:
        scene.supervisor.start("api")
        scene.wait_service("api")


@contextmanager
def slow_api(scene: Scene) -> Iterator[None]:
    """An HTTP API stands still for most of the time."""
    ended = threading.Event()

    def stutter() -> None:
        while not ended.is_set():
            scene.signal("api", signal.SIGSTOP)
            ended.wait(1.5)
            scene.signal("api", signal.SIGCONT)
            ended.wait(0.2)

    thread = threading.Thread(target=stutter, name="drill-stutter", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def odd_days(scene: Scene) -> Iterator[None]:
    """Settled days of which the newest is unlike the same weekdays before."""
    newest = datetime.now(UTC).date() - timedelta(days=1)
    days = [newest - timedelta(weeks=weeks) for weeks in range(5)]
    with scene.database() as link:
        for day in days:
            for table, values in _rows(odd=day == newest).items():
                scene.insert(link, table, {"date": day, **values})
    try:
        yield
    finally:
        scene.forget_days(days)


def _rows(*, odd: bool) -> dict[str, dict[str, Any]]:
    """Rows of one day, by table."""
    players = {"dau": 300 if odd else 1_000, "wau": 4_000, "mau": 4_000 if odd else 5_000}
    purchases = 500 if odd else 50
    return {
        "active_users": players,
        "purchases_daily": {
            "dau": 1_000, "purchases": purchases, "payers": 50, "new_payers": 0, "revenue_usd": purchases,
        },
        "economy_daily": {
            "currency": "drill_gems", "players": 10, "earned": 5_000 if odd else 0, "spent": 0,
            "opening_supply": 10_000, "closing_supply": 15_000 if odd else 10_000, "inflation": 0.5 if odd else 0.0,
        },
    }  # fmt: skip


CATALOGUE: Final = (
    Plant("silence", "no event, and a webhook that refuses", ("data_freshness", "messages_wait"), silence),
    Plant("bad-sender", "broken events, no countries, slow game servers",
          ("high_dlq_rate", "unknown_countries", "game_servers_slow"), bad_sender),
    Plant("odd-days", "settled days unlike the same weekdays",
          ("dau_drop", "mau_drop", "purchase_anomaly", "economy_imbalance"), odd_days),
    Plant("stopped-api", "the serving API stopped",
          ("server_down", *(f"availability_burns_{one}" for one in BURNS)), stopped_api),
    Plant("slow-api", "the serving API stopped in its tracks again and again", ("server_slow",), slow_api),
    Plant("old-proof", "no proof", ("proof_is_old",), old_proof),
    Plant("late-events", "events of an hour ago", ("many_late_events",), late_events),
    Plant("wrong-row", "a board's row edited by hand, and a proof", tuple(f"correctness_burns_{one}" for one in BURNS),
          wrong_row),
    Plant("locked-table", "a board's table locked, and a burst of events", ("no_checkpoint", "high_kafka_lag"),
          locked_table),
    Plant("missing-table", "a board's table renamed", ("flink_job_restarts",), missing_table),
    Plant("hanging-server", "the JobManager stopped in its tracks", ("alerts_are_blind",), hanging_server),
    Plant("lost-job", "the JobManager killed, its checkpoints out of reach",
          ("flink_job_failed", "job_parked", *(f"freshness_burns_{one}" for one in BURNS)), lost_job),
)  # fmt: skip

_BY_DAGSTER: Final = "Dagster raises it, and a drill starts none; tests/unit/dagster tries its sensor and check"
NOT_TRIED: Final[Mapping[str, str]] = {
    "dagster_run_failed": "a drill starts no Dagster, so no run can fail; `gamestream alerts test` tries the rule",
    "board_differs": f"{_BY_DAGSTER}. The plant wrong-row makes the same difference fire correctness_burns",
    "unexplained_difference": f"{_BY_DAGSTER}. No fault that a drill can plant stays unexplained for sure",
    "proof_could_not_run": _BY_DAGSTER,
}
"""Rules that a drill does not make fire, and why."""
