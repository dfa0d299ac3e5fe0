"""Reads a board for the serving API: its rows, verdict and season from one Postgres snapshot, between two cuts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.catalogue.seasons import SeasonSpan, season_at
from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.observe.table_shape import check_tables
from gamestream_dagster.reconciliation.results.proofs import FinishedRun, newest_by_board
from gamestream_dagster.serving.queries import loaded, season_rows, shown_rows
from gamestream_dagster.serving_api.cuts import Cuts
from gamestream_dagster.serving_api.views import Row, View, faults_of, window_end
from gamestream_dagster.settings import Season
from gamestream_dagster.warehouse.tables import closed_seasons, differences, reconciliation_runs

TORN_TRIES: Final = 4
TORN_PAUSE_SECONDS: Final = 0.05
MOST_SEASONS: Final = 100
_MOST_CAUSES: Final = 1000


class BoardUnreadableError(CouldNotLookError):
    """The board's table does not exist, or is not as `output.yaml` describes it."""


class NoSuchSeasonError(CouldNotLookError):
    """The board holds no rows of the season."""


@dataclass(frozen=True)
class _Read:
    """What one snapshot of Postgres holds."""

    rows: tuple[Row, ...]
    season: SeasonSpan | None
    closed_at: datetime | None
    proof: FinishedRun | None
    differing: Mapping[int | None, tuple[str, ...]]


class BoardReader:
    """Reads boards. Its methods block, and are safe in several threads.

    Args:
        engine: of the stack's Postgres.
        cuts: gives the bracket.
        topics: topic of each board's events, by the board's name.
        season: the stack's setting.
        sleep: between two reads of a board that contradicts itself.
    """

    def __init__(
        self,
        engine: Engine,
        cuts: Cuts,
        topics: Mapping[str, str],
        season: Season,
        sleep: Any = time.sleep,
    ) -> None:
        self._engine = engine
        self._cuts = cuts
        self._topics = topics
        self._season = season
        self._sleep = sleep

    def read(self, board: Board, season: SeasonSpan | None = None) -> View:
        """The board as it stands; of a board of seasons the newest one, or the one given.

        The sink writes the rows of a change one after the other, so that a snapshot can hold somebody twice or not at
        all. Such a board is read again at once; what stays is served with its faults.

        Raises:
            ServiceError: Postgres does not answer.
            BoardUnreadableError: the table is missing or was changed.
            NoSuchSeasonError: there are no rows of the season given.
        """
        for left in reversed(range(TORN_TRIES)):
            view = self._read(board, season)
            if not view.faults or not left:
                return view
            self._sleep(TORN_PAUSE_SECONDS)
        raise AssertionError

    def _read(self, board: Board, wanted: SeasonSpan | None) -> View:
        before, state = self._cuts.before(board.job, self._topics[board.name])
        with self._snapshot() as link:
            read_at = datetime.now(UTC)
            found = self._look(link, board, wanted)
        view = View(
            board=board,
            season=found.season,
            rows=found.rows,
            bracket=self._cuts.after(board.job, before, state),
            read_at=read_at,
            proof=found.proof,
            differing=found.differing,
            settled_until=window_end(board, found.rows),
            closed_at=found.closed_at,
            faults=faults_of(board, found.rows),
        )
        if found.season is not None and found.closed_at is not None:
            return replace(view, settled_until=datetime.fromtimestamp(found.season.end / 1000, UTC))
        return view

    def seasons(self, board: Board) -> list[SeasonSpan]:
        """The newest seasons with rows, newest first, at most `MOST_SEASONS`; none for a board of all time.

        Raises:
            ServiceError: Postgres does not answer.
            BoardUnreadableError: the table is missing or was changed.
        """
        if board.season_column is None:
            return []
        with self._snapshot() as link:
            _check(link, board)
            return _seasons(link, board, self._season)

    def check(self) -> None:
        """See that Postgres answers.

        Raises:
            ServiceError: it does not.
        """
        with self._snapshot() as link:
            link.execute(sa.select(1))

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        try:
            with self._engine.connect().execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            ) as link:
                yield link
        except DBAPIError as error:
            reason = str(error.orig).splitlines()[0] if error.orig else "no reason given"
            raise TransientServiceError("Postgres", reason, "see `gamestream status` and `gamestream plan`") from error
        except PoolTimeoutError as error:
            raise TransientServiceError("Postgres", "every connection is in use", "try again") from error

    def _look(self, link: Connection, board: Board, wanted: SeasonSpan | None) -> _Read:
        _check(link, board)
        if wanted is None:
            rows = shown_rows(link, board)
        else:
            at = datetime.fromtimestamp(wanted.start / 1000, UTC)
            ranked = sorted(season_rows(link, board, at), key=lambda row: row.values[board.rank_column])
            rows = ranked[: board.rows]
        shown = tuple(loaded(board, row) for row in rows)
        if wanted is not None and not shown:
            raise NoSuchSeasonError(
                f"{board.name} has no rows of the season {wanted.label}", "GET /v1/boards lists the seasons"
            )
        season = wanted or self._season_of(board, shown)
        present = set(sa.inspect(link).get_table_names())
        closed_at = _closed_at(link, board, season) if season and closed_seasons.name in present else None
        proof = None
        # a run compares the newest season and those that can still change
        about = wanted is None or _seasons(link, board, self._season, 1) == [wanted]
        if about and present >= {reconciliation_runs.name, differences.name}:
            proof = newest_by_board(link, [board.name]).get(board.name)
        return _Read(shown, season, closed_at, proof, _differing(link, board, proof) if proof else {})

    def _season_of(self, board: Board, rows: tuple[Row, ...]) -> SeasonSpan | None:
        """The season of rows that are all of one; None where they are not of the stack's seasons."""
        if board.season_column is None or not rows:
            return None
        start = rows[0][board.season_column]
        if not isinstance(start, datetime):
            return None
        span = season_at(self._season, _millis(start))
        return span if span.start == _millis(start) else None


def _check(link: Connection, board: Board) -> None:
    try:
        check_tables(link, [board])
    except CouldNotLookError as error:
        raise BoardUnreadableError(error.reason, error.instruction) from error


def _seasons(link: Connection, board: Board, season: Season, most: int = MOST_SEASONS) -> list[SeasonSpan]:
    column = sa.column(board.season_column or "", sa.TIMESTAMP(timezone=True))
    # an edited row may hold an infinite season, which the driver cannot load
    held = sa.select(column).select_from(sa.table(board.name)).where(sa.func.isfinite(column)).distinct()
    starts = [_millis(start) for start in link.scalars(held.order_by(column.desc()).limit(most))]
    spans = [season_at(season, start) for start in starts]
    return [span for span, start in zip(spans, starts, strict=True) if span.start == start]


def _closed_at(link: Connection, board: Board, season: SeasonSpan) -> datetime | None:
    start = datetime.fromtimestamp(season.start / 1000, UTC)
    closed = closed_seasons.c
    return link.scalar(sa.select(closed.closed_at).where(closed.board == board.name, closed.season_id == start))


def _differing(link: Connection, board: Board, proof: FinishedRun) -> dict[int | None, tuple[str, ...]]:
    found = differences.c
    query = sa.select(found.rnk, found.cause).where(found.run_id == proof.run_id, found.board == board.name)
    causes: dict[int | None, tuple[str, ...]] = {}
    for rank, cause in link.execute(query.distinct().order_by(found.rnk, found.cause).limit(_MOST_CAUSES)):
        causes[rank] = (*causes.get(rank, ()), cause)
    return causes


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
