"""The demo's settled days: a week of simulated lives in the history, settled, and the numbers of the newest day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from rich.table import Table

from gamestream_dagster.cli.options import CouldNotRun
from gamestream_dagster.cli.tables import print_table

if TYPE_CHECKING:
    from gamestream_dagster.settings import Settings

DAYS, PLAYERS = 7, 400
_MOST_ROWS = 1_000
_ONE_ROW = ("active_users", "sessions_daily", "revenue_daily")


def live_a_week(settings: Settings) -> int:
    """Backfill simulated lives up to the last whole day, where nothing was backfilled before.

    Returns:
        events that were added.
    """
    from gamestream_dagster.archive.backfill_lives import backfill_lives
    from gamestream_dagster.archive.history import load_runs
    from gamestream_dagster.events.lives.options import LivesOptions

    if load_runs(settings):
        return 0
    options = LivesOptions(start=_last_day() - timedelta(days=DAYS - 1), days=DAYS, players=PLAYERS)
    folder = settings.home / "truth" / options.name
    rejects = settings.home / "rejects" / f"{options.name}.jsonl"
    return backfill_lives(settings, options, by="demo", truth=folder, rejects=rejects).accepted


def settle_the_week(settings: Settings, note: Callable[[str], None]) -> None:
    """Settle every metric of the last days.

    Raises:
        CouldNotRun: a day could not be settled.
    """
    from gamestream_dagster.catalogue.metrics import load_metrics
    from gamestream_dagster.metrics.backfill import Step, backfill
    from gamestream_dagster.metrics.settle import open_settler

    metrics, last = load_metrics(), _last_day()
    with open_settler(settings, metrics) as settler:

        def show(step: Step, total: int) -> None:
            note(f"{step.day} {step.metric}")

        done = backfill(settler, metrics, last - timedelta(days=DAYS - 1), last, show)
    errors = [step.error for step in done.steps if step.settlement is None]
    if errors:
        raise CouldNotRun(f"A day could not be settled: {errors[0]}")
    rows = sum(step.settlement.rows for step in done.steps if step.settlement is not None)
    note(f"{len(metrics)} metrics, {rows:,} rows")


def show_newest_day(settings: Settings) -> None:
    """Print the numbers of the newest settled day; nothing where there is none."""
    from gamestream_dagster.catalogue.metrics import load_metrics
    from gamestream_dagster.metrics.store import open_store

    metrics = load_metrics()
    with open_store(settings) as store:
        day = max((one.day for one in store.newest(["active_users"])), default=None)
        if day is None:
            return
        found = {name: store.rows(metrics[name], day, _MOST_ROWS) for name in (*_ONE_ROW, "retention")}
    users, sessions, revenue = (next(iter(found[name]), {}) for name in _ONE_ROW)
    first_days = [row for row in found["retention"] if row["day_n"] == 1]
    players = sum(row["players"] for row in first_days)
    returned = sum(row["retained"] for row in first_days)
    table = Table(box=None, title=f"settled day {day}", title_justify="left")
    cells = {
        "DAU": f"{users.get('dau', 0):,}",
        "WAU": f"{users.get('wau', 0):,}",
        "sessions": f"{sessions.get('sessions', 0):,}",
        "median minutes": f"{sessions.get('p50_minutes') or 0:.1f}",
        "purchases": f"{revenue.get('purchases', 0):,}",
        "net USD": f"{revenue.get('net_usd', 0):,.2f}",
        "D1 retention": f"{returned / players:.0%}" if players else "",
    }
    for name in cells:
        table.add_column(name, justify="right")
    table.add_row(*cells.values())
    print_table(table)


def _last_day() -> date:
    """The newest day that can be complete."""
    from gamestream_dagster.metrics.completeness import GRACE

    return (datetime.now(UTC) - GRACE).date() - timedelta(days=1)
