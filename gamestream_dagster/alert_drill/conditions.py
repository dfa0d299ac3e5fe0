"""Conditions in events, settled days and HTTP APIs.

Each is a context: while its body runs the condition holds, and afterwards it is lifted, also after an error.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from gamestream_dagster.alert_drill.jobs import ABUSE, SECURITY
from gamestream_dagster.alert_drill.scene import Scene
from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.events.abuse_play import AbuseOptions
from gamestream_dagster.events.abuse_simulation import simulate_abuse
from gamestream_dagster.flink_jobs.control import manager as jobs
from gamestream_dagster.security.simulation import LogOptions, labelled_lines

_UNREADABLE: Final = '{"timestamp": 1790000000, "log": "no log line \\u0000"}'
_QUIET: Final = "Sep 21 14:13:20 gate-1 cron[7]: (root) CMD (true)"
_QUIET_LINES: Final = 3_000
LATE: Final = sa.text("SELECT coalesce(sum(records), 0) FROM ledger WHERE topic = 'user-score'")
"""Records of which a share must be late: at most those of an hour."""


@contextmanager
def silence(scene: Scene) -> Iterator[None]:
    """Nobody sends an event, and the inbox refuses messages."""
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
    try:
        scene.events.broken(60)
        scene.events.games(300)
        scene.events.reports(40, latency_ms=2_000)
        yield
    finally:
        scene.events.games(9_000, country="DE")
        scene.events.reports(1_500, latency_ms=20)


@contextmanager
def late_events(scene: Scene) -> Iterator[None]:
    """Events that are an hour old, counted by a proof."""
    scene.prove()
    with scene.database() as link:
        late = max(300, int(link.scalar(LATE) or 0) // 10)
    scene.wait_read()
    try:
        scene.events.scores(late, behind=timedelta(hours=1))
        scene.prove()
        yield
    finally:
        scene.events.scores(25 * late)
        scene.prove()


@contextmanager
def abuse(scene: Scene) -> Iterator[None]:
    """Purchases, prices, refunds, scores and accounts that no honest game gives."""
    options = AbuseOptions(start_ms=int(time.time() * 1000), seed=int(time.time()), players=1, repeats=1)
    outputs = _outputs(ABUSE)
    try:
        simulate_abuse(scene.settings, options)
        scene.wait_for("game_alerts_v1 has found all kinds of abuse", lambda: all(map(scene.has_rows, outputs)))
        yield
    finally:
        # a row would stand for an hour; without its job nobody writes it anew
        _stop(scene, ABUSE)
        _delete(scene, ABUSE)


@contextmanager
def attack(scene: Scene) -> Iterator[None]:
    """A log of SSH servers under attack, and lines that nobody can read."""
    now = int(time.time() * 1000)
    try:
        scene.events.log(
            line.text for line in labelled_lines(LogOptions(seed=now, start_ms=now - 3_600_000, lines=300))
        )
        scene.events.log(_UNREADABLE for _ in range(150))
        found = ("attacks", "log_lines_1min")
        scene.wait_for("security_v1 has found the attacks", lambda: all(map(scene.has_rows, found)))
        yield
    finally:
        scene.events.log(_QUIET for _ in range(_QUIET_LINES))
        scene.wait_for("security_v1 has read quiet lines", lambda: _lines(scene) >= _QUIET_LINES)
        _stop(scene, SECURITY)
        # ten minutes pass; without its job nobody writes the rows anew
        scene.execute("UPDATE attacks SET as_of = as_of - INTERVAL '1 hour'")


def forget_attacks(scene: Scene) -> None:
    """Delete what was found in the log of the drill."""
    _delete(scene, SECURITY)


def _lines(scene: Scene) -> int:
    with scene.database() as link:
        return int(link.scalar(sa.text("SELECT coalesce(sum(lines), 0) FROM log_lines_1min")) or 0)


def _outputs(job: str) -> list[str]:
    return [name for name, board in load_boards().items() if board.job == job]


def _stop(scene: Scene, job: str) -> None:
    jobs.suspend_job(scene.settings, job)
    scene.jobs.remove(job)


def _delete(scene: Scene, job: str) -> None:
    with scene.database() as link:
        for name in _outputs(job):
            link.execute(sa.table(name).delete())


@contextmanager
def odd_days(scene: Scene) -> Iterator[None]:
    """Settled days of which the newest differs from the same weekdays before; afterwards it is like them."""
    newest, *before = _days()
    try:
        for day in before:
            _settle(scene, day, odd=False)
        _settle(scene, newest, odd=True)
        yield
    finally:
        _settle(scene, newest, odd=False)


def forget_days(scene: Scene) -> None:
    """Delete the settled days of the drill."""
    for day in _days():
        _unsettle(scene, day)


def _days() -> list[date]:
    """Yesterday, and the same weekday of four weeks before; newest first."""
    newest = datetime.now(UTC).date() - timedelta(days=1)
    return [newest - timedelta(weeks=weeks) for weeks in range(5)]


def _settle(scene: Scene, day: date, *, odd: bool) -> None:
    _unsettle(scene, day)
    with scene.database() as link:
        for table, values in _rows(odd=odd).items():
            columns = [sa.column(name) for name in ("date", *values)]
            link.execute(sa.table(table, *columns).insert().values({"date": day, **values}))


def _unsettle(scene: Scene, day: date) -> None:
    with scene.database() as link:
        for name in _rows(odd=False):
            table = sa.table(name, sa.column("date"))
            link.execute(table.delete().where(table.c.date == day))


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


@contextmanager
def stopped_api(scene: Scene) -> Iterator[None]:
    """The serving API is stopped."""
    try:
        scene.supervisor.stop("api")
        yield
    finally:
        scene.supervisor.start("api")
        scene.wait_service("api")


@contextmanager
def slow_api(scene: Scene) -> Iterator[None]:
    """The serving API is suspended for most of the time."""
    with scene.slowed("api", suspended=1.5, running=0.2):
        yield
