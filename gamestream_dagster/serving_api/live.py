"""Live metrics for the serving API: the rows of a table by time, page by page, from Postgres."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
import sqlalchemy as sa
from sqlalchemy import Engine, Select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from gamestream_dagster.catalogue.boards import Board, ColumnRole, ColumnType, load_boards
from gamestream_dagster.clients.errors import ServiceError, TransientServiceError
from gamestream_dagster.http_server.errors import bad_request, not_found, unavailable
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.observe.table_shape import check_tables
from gamestream_dagster.reconciliation.results.proofs import FinishedRun, newest_by_board
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.described_tables import BOARD_TYPES
from gamestream_dagster.warehouse.tables import differences, reconciliation_runs

USUAL_SPAN: Final = timedelta(hours=1)
LONGEST_SPAN: Final = timedelta(days=4)
_MOST_CHARACTERS: Final = 2_000
_CALENDAR: Final = (sa.text("'0001-01-02'"), sa.text("'9999-12-30'"))

Row = Mapping[str, Any]


def live_metrics(settings: Settings) -> dict[str, Board]:
    """The live metrics of the stack: outputs by minute that have a table.

    Raises:
        CatalogueError: a description is not usable.
    """
    outputs = load_boards(season=settings.season)
    return {
        name: one for name, one in outputs.items() if time_column(one) is not None and one.sinks.postgres is not None
    }


def time_column(output: Board) -> str | None:
    """The column by which the rows are asked for; None for an output without minutes."""
    named = [column.of for column in output.columns.values() if column.role is ColumnRole.FINAL]
    if output.shrinks:
        named += [name for name in output.entity if output.columns[name].type is ColumnType.TIMESTAMP]
    return next(iter(named), None)


@dataclass(frozen=True)
class Page:
    """Some rows, in the order of their keys."""

    rows: Sequence[Row]
    more: bool
    read_at: datetime
    proof: FinishedRun | None
    """The newest reconciliation that compared the metric."""


class LiveMetrics:
    """Reads live metrics.

    Args:
        engine: of the stack's Postgres.
        metrics: those that are served, by name.
    """

    def __init__(self, engine: Engine, metrics: Mapping[str, Board]) -> None:
        self._engine = engine
        self.metrics = metrics

    def read(self, metric: Board, since: datetime, until: datetime, after: Sequence[Any] | None, most: int) -> Page:
        """The rows of a span of time; blocks.

        Args:
            metric: which one.
            since: first time.
            until: first time that is no more part of it.
            after: values of the key columns behind which the page begins.
            most: rows of the page.

        Raises:
            ServiceError: Postgres does not answer.
            CouldNotLookError: the table is missing or was changed.
        """
        query = page_query(metric, since, until, after, most)
        try:
            with self._engine.connect().execution_options(postgresql_readonly=True) as link:
                check_tables(link, [metric])
                rows = [dict(row) for row in link.execute(query).mappings()]
                present = set(sa.inspect(link).get_table_names())
                known = present >= {reconciliation_runs.name, differences.name}
                proof = newest_by_board(link, [metric.name]).get(metric.name) if known else None
        except DBAPIError as error:
            reason = str(error.orig).splitlines()[0] if error.orig else "no reason given"
            raise TransientServiceError("Postgres", reason, "see `gamestream status` and `gamestream plan`") from error
        except PoolTimeoutError as error:
            raise TransientServiceError("Postgres", "every connection is in use", "try again") from error
        return Page(rows[:most], len(rows) > most, datetime.now(UTC), proof)


def page_query(metric: Board, since: datetime, until: datetime, after: Sequence[Any] | None, most: int) -> Select[Any]:
    """The statement of a page and one row more. A time beyond Python's calendar, written by hand, becomes null."""
    table = sa.table(metric.name, *(sa.column(name, BOARD_TYPES[one.type]) for name, one in metric.columns.items()))
    keys = [table.c[name] for name in metric.key_columns]
    time = table.c[time_column(metric) or metric.key_columns[0]]
    columns = [
        sa.case((table.c[name].between(*_CALENDAR), table.c[name])).label(name)
        if one.type is ColumnType.TIMESTAMP
        else table.c[name]
        for name, one in metric.columns.items()
    ]
    query = sa.select(*columns).where(time >= since, time < until).order_by(*keys).limit(most + 1)
    if after is not None:
        query = query.where(sa.tuple_(*keys) > sa.tuple_(*(sa.bindparam(None, one) for one in after)))
    return query


async def answered(
    live: LiveMetrics, name: str, *, since: datetime | None, until: datetime | None, cursor: str | None, limit: int
) -> dict[str, Any]:
    """The answer to `GET /v1/metrics/{metric}`.

    Raises:
        RequestRefusedError: 400, 404 or 503.
    """
    if name not in live.metrics:
        raise not_found("NO_SUCH_METRIC", f"There is no such live metric; they are {', '.join(live.metrics)}.")
    metric = live.metrics[name]
    first, last = _span(since, until)
    try:
        page = await asyncio.to_thread(live.read, metric, first, last, _after(metric, cursor), limit)
    except (ServiceError, CouldNotLookError) as error:
        raise unavailable("METRICS_UNAVAILABLE", str(error)) from error
    rows = [{key: _cell(value) for key, value in row.items()} for row in page.rows]
    return {
        "metric": name,
        "title": metric.title,
        "from": first.isoformat(),
        "to": last.isoformat(),
        "read_at": page.read_at.isoformat(),
        "verified_by": None if page.proof is None else _proof(page.proof),
        "columns": {
            key: {"type": one.type.value, "role": one.role.value, "meaning": one.meaning}
            for key, one in metric.columns.items()
        },
        "rows": rows,
        "next": _cursor([rows[-1][key] for key in metric.key_columns]) if page.more else None,
    }


def _span(since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    for one in (since, until):
        if one is not None and one.tzinfo is None:
            raise bad_request("BAD_PARAMETER", "A time has a zone, such as 2026-11-25T12:00:00Z.")
    now = datetime.now(UTC)
    try:
        first = since or (until or now) - USUAL_SPAN
        last = until or max(now, first) + USUAL_SPAN  # a client's clock may be ahead by so much
        if timedelta() <= last - first <= LONGEST_SPAN:
            return first.astimezone(UTC), last.astimezone(UTC)
    except OverflowError:
        pass
    raise bad_request("BAD_PARAMETER", "`from` is before `to`, and at most 4 days before it.")


def _proof(run: FinishedRun) -> dict[str, Any]:
    return {"run": run.run_id, "verdict": run.verdict, "finished_at": run.finished_at.isoformat()}


def _cell(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def _cursor(key: Sequence[Any]) -> str:
    return urlsafe_b64encode(orjson.dumps([2, *key])).decode().rstrip("=")


def _after(metric: Board, cursor: str | None) -> list[Any] | None:
    """The key in a cursor.

    Raises:
        RequestRefusedError: 400, the text is no cursor of this metric.
    """
    if cursor is None:
        return None
    try:
        found = orjson.loads(urlsafe_b64decode(cursor[:_MOST_CHARACTERS] + "=" * (-len(cursor) % 4)))
        match found:
            case [2, *key] if len(key) == len(metric.key_columns) and all(isinstance(one, str) for one in key):
                kinds = [metric.columns[name].type for name in metric.key_columns]
                return [
                    datetime.fromisoformat(one).astimezone(UTC) if kind is ColumnType.TIMESTAMP else one
                    for one, kind in zip(key, kinds, strict=True)
                ]
            case _:
                pass
    except (ValueError, OverflowError, Base64Error):
        pass
    raise bad_request("BAD_CURSOR", "The cursor is none of this metric; send `next` of the page before as it is.")
