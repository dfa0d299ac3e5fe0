"""What the archives hold of a day, counted by the live outputs' own queries: all of it, and by cause."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path

import duckdb

from gamestream_dagster.archive.reader import with_derived
from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.catalogue.metrics import LiveOutput
from gamestream_dagster.catalogue.sources import Source
from gamestream_dagster.metrics.compute import MetricsDatabase, millis_of
from gamestream_dagster.metrics.source import ArchivedUpto
from gamestream_dagster.reconciliation.errors import BoardNotUsableError
from gamestream_dagster.reconciliation.live.comparisons import Group
from gamestream_dagster.reconciliation.live.model import DayCause
from gamestream_dagster.reconciliation.recompute.statements import statement

Sums = Mapping[Group, tuple[int, ...]]
"""By group, the sum of each column."""


class Part(StrEnum):
    """Events of a day that are added up."""

    LIVE = "live"  # those that live metrics count
    SETTLED = "settled"  # those that the archive has by now
    SINCE = "since"  # of these, those that were archived after the day was settled
    ERASED_LIVE = "erased_live"  # those of erased players that live metrics had counted, if kept
    ERASED_SETTLED = "erased_settled"  # those of erased players that the day had settled, if kept


@dataclass(frozen=True)
class Erased:
    """Files of what erased records gave to counts (`erased_counts`)."""

    live: Sequence[Path] = ()
    """Of the newest chapter of the stream of live metrics."""
    settled: Sequence[Path] = ()
    """Of the chapter of game events that the day was settled from."""


NOBODY_ERASED = Erased()


class DayArchives:
    """Both archives of one day in DuckDB; see `open_day`.

    Args:
        database: with the relations of sql/.
        enriched: the stream of live metrics.
    """

    def __init__(self, database: duckdb.DuckDBPyConnection, enriched: Source) -> None:
        self._db = database
        self._enriched = enriched
        rows = self._db.execute("SELECT DISTINCT cause FROM told WHERE cause IS NOT NULL ORDER BY cause").fetchall()
        self.causes = tuple(DayCause(row[0]) for row in rows)
        """Causes of single events."""

    def sums(self, board: Board, live: LiveOutput, part: Part) -> Sums:
        """What an output's query makes of a part of the day.

        Raises:
            BoardNotUsableError: the query does not run.
        """
        return self._summed(board, live, _FROM[part])

    def of_cause(self, board: Board, live: LiveOutput, cause: DayCause) -> Sums:
        """How much more live counts than settled because of a cause.

        Raises:
            BoardNotUsableError: the query does not run.
        """
        told = _told(f"cause = '{cause.value}'")
        more = self._summed(board, live, f"FROM live_events{told}")
        less = self._summed(board, live, f"FROM settled_events{told}")
        none = (0,) * len(live.sums)
        return {
            group: tuple(a - b for a, b in zip(more.get(group, none), less.get(group, none), strict=True))
            for group in {*more, *less}
        }

    def _summed(self, board: Board, live: LiveOutput, events: str) -> Sums:
        by = list(live.by.values())
        listed = ", ".join([*by, *(f"sum({one.of})::HUGEINT" for one in live.sums.values())])
        body = board.recompute_sql.rstrip().rstrip(";")
        with_derived(self._db.sql(events), self._enriched.derived).create_view("events", replace=True)
        try:
            # identifiers of the catalogue, and the output's own query
            found = self._db.execute(f"SELECT {listed} FROM (\n{body}\n) GROUP BY ALL").fetchall()  # noqa: S608
        except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
            raise BoardNotUsableError(f"{board.recompute_file} does not run over a day: {error}") from error
        return {tuple(map(str, row[: len(by)])): tuple(value or 0 for value in row[len(by) :]) for row in found}


def _told(condition: str) -> str:
    """Limits events to those of `told`; both have the same rule for events without a player."""
    return (
        f" AS event WHERE EXISTS (FROM told WHERE {condition} AND told.event_id = event.event_id"
        " AND told.user_id = coalesce(event.user_id, '') AND told.event_type = event.event_type)"
    )


_FROM = {
    Part.LIVE: "FROM live_events",
    Part.SETTLED: "FROM settled_events",
    Part.SINCE: f"FROM settled_events{_told('since')}",
    Part.ERASED_LIVE: "FROM erased_live",
    Part.ERASED_SETTLED: "FROM erased_settled",
}


@contextmanager
def open_day(
    database: MetricsDatabase,
    day: date,
    enriched: Source,
    archive: Path,
    settled: ArchivedUpto | None,
    *,
    erased: Erased = NOBODY_ERASED,
) -> Generator[DayArchives]:
    """The archives of a day, and what each event is told by.

    Args:
        database: over the archive of game events.
        day: UTC.
        enriched: the stream of live metrics.
        archive: folder of its archive.
        settled: up to where the archive of game events was read when the day was settled.
        erased: what is known of erased players' events.

    Raises:
        ArchiveError, MetricError: an archive cannot be read.
    """
    database.attach("enriched", archive, enriched, erased.live)
    upto = settled or ArchivedUpto(0, {})
    with database.of_day(day, upto) as link:
        link.execute(f"SET VARIABLE day_begins = {millis_of(day)}::BIGINT")
        link.execute(f"SET VARIABLE day_ends = {millis_of(day + timedelta(days=1))}::BIGINT")
        link.execute("CREATE OR REPLACE TEMP VIEW watermark AS SELECT NULL::BIGINT AS millis")
        link.execute(statement("live/live_events"))
        link.execute(statement("live/settled_events"))
        link.execute(statement("live/erased_live"))
        if erased.settled:
            link.read_parquet([str(path) for path in erased.settled], union_by_name=True).create_view(
                "counts", replace=True
            )
            link.execute(statement("live/erased_settled"))
        else:
            link.execute("CREATE OR REPLACE TEMP VIEW erased_settled AS FROM settled_events WHERE false")
        link.execute(statement("live/told"), {"chapter": upto.chapter, "history": upto.of_history(day)})
        yield DayArchives(link, enriched)
