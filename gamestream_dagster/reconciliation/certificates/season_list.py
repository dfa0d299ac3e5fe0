"""The seasons on the boards, and which of them are closed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TIMESTAMP

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.catalogue.seasons import SeasonError, SeasonSpan, season_at
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.settings import Season, Settings
from gamestream_dagster.warehouse.tables import closed_seasons


@dataclass(frozen=True)
class ListedSeason:
    """One season, the boards with rows of it, and the boards for which it is closed."""

    span: SeasonSpan
    boards: frozenset[str]
    closed: frozenset[str]

    def as_json(self) -> dict[str, Any]:
        """Plain values; times in milliseconds since 1970."""
        return {
            "season": self.span.label,
            "start": self.span.start,
            "end": self.span.end,
            "boards": sorted(self.boards),
            "closed": sorted(self.closed),
        }


def seasons_of(settings: Settings) -> list[ListedSeason]:
    """Every season of the configured length, newest first. Rows of seasons of another length are ignored.

    Raises:
        SeasonError: the stack keeps no seasons.
        ServiceError: Postgres does not answer.
    """
    if settings.season is Season.NONE:
        raise SeasonError("No seasons are kept: set `season` to hourly, daily or weekly in profile.yaml.")
    boards: defaultdict[int, set[str]] = defaultdict(set)
    closed: defaultdict[int, set[str]] = defaultdict(set)
    with open_engine(settings) as engine, engine.connect() as link:
        existing = set(sa.inspect(link).get_table_names())
        for board in load_boards(season=settings.season).values():
            if board.season_column is None or board.name not in existing:
                continue
            season = sa.column(board.season_column, TIMESTAMP(timezone=True))
            # an edited row may hold no season, or an infinite one, which the driver cannot load
            held = sa.select(season).select_from(sa.table(board.name)).where(sa.func.isfinite(season)).distinct()
            for start in link.scalars(held):
                boards[_millis(start)].add(board.name)
        if closed_seasons.name in existing:
            for name, start in link.execute(sa.select(closed_seasons.c.board, closed_seasons.c.season_id)):
                boards[_millis(start)].add(name)
                closed[_millis(start)].add(name)
    spans = {start: season_at(settings.season, start) for start in boards}
    return [
        ListedSeason(spans[start], frozenset(boards[start]), frozenset(closed[start]))
        for start in sorted(boards, reverse=True)
        if spans[start].start == start
    ]


def _millis(moment: Any) -> int:
    return round(moment.timestamp() * 1000)
