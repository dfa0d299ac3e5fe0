"""How `gamestream metrics` prints."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table

from gamestream_dagster.cli.console import PlainConsole, styled
from gamestream_dagster.cli.tables import print_table

if TYPE_CHECKING:
    from gamestream_dagster.catalogue.metrics import Metric
    from gamestream_dagster.metrics.backfill import Step
    from gamestream_dagster.metrics.explain import Explained
    from gamestream_dagster.metrics.model import Settled

data = PlainConsole(width=None if sys.stdout.isatty() else 200)
_VERSION = ("settle_version", "reason", "settled_at", "rows", "late_events")


def summaries(metrics: Mapping[str, Metric], settled: Sequence[Settled]) -> list[dict[str, Any]]:
    """One row for each metric."""
    rows: list[dict[str, Any]] = []
    for metric in metrics.values():
        days = [one for one in settled if one.metric == metric.name]
        outdated = [one.day for one in days if one.fingerprint != metric.fingerprint]
        broken = [one.day for one in days if one.failed_checks]
        rows.append(
            {
                "metric": metric.name,
                "title": metric.title,
                "reads": list(metric.reads),
                "days": len(days),
                "first": min((one.day for one in days), default=None),
                "last": max((one.day for one in days), default=None),
                "resettled": sum(one.version > 1 for one in days),
                "outdated": outdated,
                "failed_checks": broken,
                "status": _status(days, outdated, broken),
            }
        )
    return rows


def _status(days: Sequence[Settled], outdated: Sequence[date], broken: Sequence[date]) -> str:
    if not days:
        return "NOT_SETTLED"
    if broken:
        return "CHECKS_FAILED"
    return "OUTDATED" if outdated else "SETTLED"


def print_summaries(rows: Sequence[Mapping[str, Any]]) -> None:
    """The table of `metrics list`."""
    table = Table("METRIC", "READS", "DAYS", "FIRST", "LAST", "RESETTLED", "STATUS", "TITLE", box=None, pad_edge=False)
    for row in rows:
        shown = (row["days"], row["first"] or "", row["last"] or "", row["resettled"])
        table.add_row(row["metric"], ", ".join(row["reads"]), *map(str, shown), row["status"], row["title"])
    print_table(table)


def definition(metric: Metric) -> dict[str, Any]:
    """What a metric is."""
    return {
        "metric": metric.name,
        "title": metric.title,
        "owner": metric.owner,
        "grain": metric.grain,
        "definition": " ".join(metric.definition.split()),
        "source": metric.source,
        "key": list(metric.key),
        "reads": list(metric.reads),
        "windows": {name: metric.window_of(name) for name in metric.upstream},
        "columns": {
            name: {"type": one.type.value, "unit": one.unit, "meaning": one.meaning}
            for name, one in metric.columns.items()
        },
        "checks": {name: {"severity": one.severity.value, "holds": one.holds} for name, one in metric.rules.items()},
    }


def newest_days(settled: Sequence[Settled], most: int) -> list[dict[str, Any]]:
    """The newest settled days, newest first."""
    newest = sorted(settled, key=lambda one: one.day, reverse=True)[:most]
    return [
        {
            "day": one.day,
            "settle_version": one.version,
            "reason": one.reason.value,
            "settled_at": one.settled_at,
            "rows": one.rows,
            "late_events": one.late_events,
            "failed_checks": list(one.failed_checks),
        }
        for one in newest
    ]


def print_definition(told: Mapping[str, Any]) -> None:
    """The page of `metrics show METRIC`."""
    data.print(styled("[bold]{}[/]  {}", told["metric"], told["title"]))
    data.print(told["definition"], soft_wrap=True)
    data.print(f"grain    {told['grain']}; key {', '.join(told['key'])}", soft_wrap=True)
    windows = told["windows"]
    read = [f"{name} ({windows[name]} days)" if windows.get(name, 1) > 1 else name for name in told["reads"]]
    data.print(f"reads    {', '.join(read)}")
    data.print(f"source   {told['source']}", soft_wrap=True)
    columns = Table("COLUMN", "TYPE", "UNIT", "MEANING", box=None, pad_edge=False)
    for name, one in told["columns"].items():
        columns.add_row(name, one["type"], one["unit"], one["meaning"])
    print_table(columns)
    checks = Table("CHECK", "SEVERITY", "HOLDS", box=None, pad_edge=False)
    for name, one in told["checks"].items():
        checks.add_row(name, one["severity"], one["holds"])
    print_table(checks)
    if not told["settled"]:
        data.print("No day is settled.")
        return
    days = Table(
        "DAY", "VERSION", "REASON", "SETTLED AT", "ROWS", "LATE EVENTS", "FAILED CHECKS", box=None, pad_edge=False
    )
    for one in told["settled"]:
        shown = (one["day"], one["settle_version"], one["reason"], f"{one['settled_at']:%Y-%m-%d %H:%M:%S}")
        days.add_row(*map(str, shown), f"{one['rows']:,}", f"{one['late_events']:,}", ", ".join(one["failed_checks"]))
    print_table(days)


def one_day(
    metric: Metric,
    day: date,
    versions: Sequence[Mapping[str, Any]],
    causes: Mapping[int, Sequence[Mapping[str, Any]]],
) -> dict[str, Any]:
    """How a day came about."""
    return {
        "metric": metric.name,
        "day": day,
        "versions": [
            {
                **{name: one[name] for name in _VERSION},
                "archived_upto": one["archived_upto"],
                "complete_at": one["complete_at"],
                "inputs": one["inputs"],
                "failed_checks": one["failed_checks"],
                "late": [_cause(event) for event in causes.get(one["settle_version"], ())],
            }
            for one in versions
        ],
    }


def _cause(event: Mapping[str, Any]) -> dict[str, Any]:
    position = f"p{event['partition_id']}@{event['record_offset']}"
    return {"position": position, **{name: event[name] for name in ("event_id", "user_id", "event_type", "event_time")}}


def print_day(told: Mapping[str, Any]) -> None:
    """The page of `metrics show METRIC --day DAY`."""
    for one in told["versions"]:
        late = f", {one['late_events']:,} late events" if one["late_events"] else ""
        data.print(
            f"version {one['settle_version']}  {one['reason']}  settled {one['settled_at']:%Y-%m-%d %H:%M:%S} UTC  "
            f"{one['rows']:,} rows{late}"
        )
        for event in one["late"]:
            data.print(
                f"  LATE   {event['position']}  {event['event_type']} of {event['user_id'] or 'a server'} at "
                f"{event['event_time']:%Y-%m-%d %H:%M:%S}  id {event['event_id']}",
                soft_wrap=True,
            )
        if one["late_events"] > len(one["late"]):
            data.print(f"  and {one['late_events'] - len(one['late']):,} more in metric_settlement_events")
        for check in one["failed_checks"]:
            data.print(styled("  [red]CHECK[/]  {} does not hold", check))
    rows = told["rows"]
    if not rows:
        data.print("The day has no row.")
        return
    table = Table(*(name.upper() for name in rows[0]), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    print_table(table)


def step(done: Step) -> dict[str, Any]:
    """One step of a backfill."""
    made = done.settlement
    if made is None:
        return {"metric": done.metric, "day": done.day, "error": done.error}
    return {
        "metric": done.metric,
        "day": done.day,
        "settle_version": made.version,
        "changed": made.changed,
        "reason": made.reason.value,
        "rows": made.rows,
        "late_events": made.late_events,
        "failed_checks": [one.name for one in made.failed],
        "seconds": round(made.seconds, 3),
    }


def print_step(done: Step) -> None:
    """One line for each step of a backfill."""
    made = done.settlement
    if made is None:
        data.print(styled("[red]ERROR[/]    {}  {}  {}", done.day, done.metric, done.error), soft_wrap=True)
        return
    what = "same" if not made.changed else made.reason.value
    late = f"  {made.late_events:,} late events" if made.late_events else ""
    data.print(
        f"settled  {done.day}  {done.metric}  v{made.version}  {what}  {made.rows:,} rows{late}  {made.seconds:.2f} s"
    )
    for check in made.failed:
        data.print(styled("[red]CHECK[/]    {}  {}  {}: {} rows", done.day, done.metric, check.holds, check.broken))


def explained(found: Explained) -> dict[str, Any]:
    """The answers about one player."""
    return {
        "player": found.player,
        "installed_at": found.installed_at,
        "known_until": found.known_until,
        "answers": [
            {
                "day_n": one.day_n,
                "product": one.product,
                "retained": one.retained,
                "begins": one.begins,
                "ends": one.ends,
                "event": one.event,
            }
            for one in found.answers
        ],
    }


def print_explained(found: Explained) -> None:
    """The answers about one player, and why some are not ours."""
    data.print(
        f"player {found.player}  first event {_at(found.installed_at)} UTC, settled until {_at(found.known_until)} UTC",
        soft_wrap=True,
    )
    products = list(dict.fromkeys(one.product for one in found.answers))
    table = Table("DAY", *products, box=None, pad_edge=False)
    for day_n in dict.fromkeys(one.day_n for one in found.answers):
        words = {one.product: _RETAINED[one.retained] for one in found.answers if one.day_n == day_n}
        table.add_row(f"D{day_n}", *(words[product] for product in products))
    print_table(table)
    for day_n in dict.fromkeys(one.day_n for one in found.answers):
        for one in found.differing(day_n):
            when = f"the player came at {_at(one.event)}" if one.event else "the player did not come then"
            data.print(
                f"D{day_n}  {one.product} says {_RETAINED[one.retained]}: its day is {_at(one.begins)} to "
                f"{_at(one.ends)} UTC, and {when}",
                soft_wrap=True,
            )


_RETAINED = {True: "yes", False: "no", None: "not known yet"}


def _at(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"
