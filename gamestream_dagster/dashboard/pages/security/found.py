"""What the job `security_v1` has written, in one look at Postgres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

ROWS: Final = 20
_TABLES: Final = frozenset({"attacks", "attacks_by_host", "attempts_by_source", "log_lines_1min"})

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """The last 24 hours. `lines` is None where the job was never deployed."""

    read_at: datetime
    lines: Row | None
    attacks: Sequence[Row] = ()
    hosts: Sequence[Row] = ()
    sources: Sequence[Row] = ()


def read_found(link: Connection, present: frozenset[str]) -> Found:
    """Attacks, machines and sources, the newest or greatest first."""
    now = link.execute(text("SELECT now()")).scalar_one()
    if not present >= _TABLES:
        return Found(now, None)

    def rows(query: str) -> list[Row]:
        return [dict(row) for row in link.execute(text(query), {"rows": ROWS}).mappings()]

    (lines,) = rows(
        "SELECT coalesce(sum(lines), 0) AS lines, coalesce(sum(unread), 0) AS unread, "
        "coalesce(sum(ssh_lines), 0) AS ssh_lines, coalesce(sum(ssh_unread), 0) AS ssh_unread "
        "FROM log_lines_1min WHERE minute > now() - INTERVAL '1 day'"
    )
    return Found(
        now,
        lines,
        rows(
            "SELECT rule, level, host, source, country, attempts, as_of FROM attacks "
            "WHERE as_of > now() - INTERVAL '1 day' ORDER BY as_of DESC, rule, host, source LIMIT :rows"
        ),
        rows(
            "SELECT host, rule, sum(repeat_count) AS repeat_count, "
            "string_agg(DISTINCT country, ', ' ORDER BY country) AS countries, max(as_of) AS as_of "
            "FROM attacks_by_host WHERE as_of > now() - INTERVAL '1 day' "
            "GROUP BY host, rule ORDER BY repeat_count DESC, host, rule LIMIT :rows"
        ),
        rows(
            "SELECT source, max(country) AS country, sum(failed) AS failed, sum(succeeded) AS succeeded, "
            "max(as_of) AS as_of FROM attempts_by_source WHERE as_of > now() - INTERVAL '1 day' "
            "GROUP BY source ORDER BY failed DESC, source LIMIT :rows"
        ),
    )
