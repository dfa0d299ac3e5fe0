"""What `gamestream alerts` prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from gamestream_dagster.cli.tables import print_table

if TYPE_CHECKING:
    from gamestream_dagster.alerts.backtest import Episode, Score
    from gamestream_dagster.alerts.overview import Line
    from gamestream_dagster.alerts.silences import Silence


def print_lines(lines: Iterable[Line]) -> None:
    """The table of alerts."""
    rows = [
        (
            line.alert_id,
            line.state,
            line.severity,
            moment(line.since) or "",
            f"{line.message} ({line.why})" if line.why else line.message,
        )
        for line in lines
    ]
    print_table_of(("ALERT", "STATUS", "SEVERITY", "SINCE", "MESSAGE"), rows)


def print_silences(found: Iterable[Silence]) -> None:
    """The table of silences."""
    rows = [
        (
            one.silence_id,
            one.rule,
            ",".join(f"{name}={value}" for name, value in one.labels.items()),
            moment(one.ends_at.timestamp()) or "",
            one.reason,
        )
        for one in found
    ]
    print_table_of(("SILENCE", "ALERT", "LABELS", "UNTIL", "REASON"), rows)


def print_episodes(episodes: Iterable[Episode]) -> None:
    """The table of a backtest."""
    rows = [
        (one.alert_id, moment(one.began_at) or "", moment(one.ended_at) or "still", one.message) for one in episodes
    ]
    print_table_of(("ALERT", "FROM", "TO", "MESSAGE"), rows)


def silence_data(one: Silence) -> dict[str, Any]:
    """A silence as JSON."""
    return {
        "silence_id": one.silence_id,
        "alert": one.rule,
        "labels": dict(one.labels),
        "until": moment(one.ends_at.timestamp()),
        "reason": one.reason,
    }


def backtest_data(episodes: Sequence[Episode], found: Score, missing: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """A backtest as JSON."""
    return {
        "episodes": [
            {
                "alert": one.rule,
                "alert_id": one.alert_id,
                "from": moment(one.began_at),
                "to": moment(one.ended_at),
                "message": one.message,
                "explained": one not in found.false,
            }
            for one in episodes
        ],
        "missed": [one.name for one in found.missed],
        "precision": found.precision,
        "recall": found.recall,
        "not_tried": {name: list(series) for name, series in missing.items() if series},
    }


def share(value: float | None) -> str:
    """A share with two digits; `none` where there is nothing to divide by."""
    return "none" if value is None else f"{value:.2f}"


def moment(at: float | None) -> str | None:
    """A time for people and programs."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") if at is not None else None


def print_table_of(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table of texts."""
    table = Table(*headings, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    print_table(table)
