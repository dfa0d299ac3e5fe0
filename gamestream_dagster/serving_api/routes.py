"""The routes of the serving API."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from gamestream_dagster.catalogue.boards import Board
from gamestream_dagster.catalogue.seasons import SeasonError, SeasonSpan, season_named
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.http_server import body
from gamestream_dagster.http_server.errors import bad_request, not_found, unavailable
from gamestream_dagster.http_server.keys import Scope
from gamestream_dagster.http_server.routes import Health
from gamestream_dagster.serving_api import live
from gamestream_dagster.serving_api.admitted import admitted, only, parts_in, problems
from gamestream_dagster.serving_api.answers import answer
from gamestream_dagster.serving_api.asked import Asked
from gamestream_dagster.serving_api.cursors import Cursor, expired, parse_cursor
from gamestream_dagster.serving_api.explaining import MOST_LINES
from gamestream_dagster.serving_api.models import (
    MOST_ID_CHARACTERS,
    AmongAnswer,
    AroundAnswer,
    BoardsAnswer,
    Ids,
    MetricAnswer,
    PageAnswer,
    RowAnswer,
    WhyAnswer,
)
from gamestream_dagster.serving_api.reading import BoardUnreadableError, NoSuchSeasonError
from gamestream_dagster.serving_api.views import View, tie_rule

if TYPE_CHECKING:
    from gamestream_dagster.serving_api.app import Parts

MOST_ROWS: Final = 1000
MOST_WINDOW: Final = 100
_IDS: Final = {"required": True, "content": {"application/json": {"schema": Ids.model_json_schema()}}}


async def _reader(request: Request) -> bytes:
    """Check limits and key; gives the request's body."""
    post = request.method == "POST"
    _, form, sent = await admitted(request, Scope.READ, body.form_of if post else None)
    return sent if form is None else body.inflate(sent, form)


Body = Annotated[bytes, Depends(_reader)]
SeasonName = Annotated[
    str | None, Query(max_length=40, description="Start of a season, such as 2026-11-21; default: the newest.")
]
router = APIRouter()


def _route(path: str, model: Any, summary: str, *statuses: int, method: str = "GET", **extra: Any) -> Any:
    usual = (304, 400, 401, 403, 429, 503)
    return router.api_route(
        path,
        methods=[method],
        summary=summary,
        response_model=model,
        responses=problems(*sorted({*usual, *statuses}), absent=model in (RowAnswer, AroundAnswer)),
        openapi_extra={"security": [{"key": []}], **extra},
    )


@_route("/v1/boards", BoardsAnswer, "List the boards")
async def get_boards(request: Request, _: Body, __: Annotated[None, only()]) -> Response:
    """Every board with its columns, order and seasons."""
    parts = parts_in(request)
    found = [await _about(parts, board) for board in parts.boards.values()]
    return answer(request, {"boards": found})


@_route("/v1/boards/{board}", PageAnswer, "A page of a board", 404, 410)
async def get_board(
    request: Request,
    board: str,
    _: Body,
    __: Annotated[None, only("season", "limit", "cursor")],
    season: SeasonName = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS, description="Most rows of the page.")] = 100,
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> Response:
    """The rows by rank. The pages that `next` leads to are of the same moment: they neither overlap nor skip."""
    parts = parts_in(request)
    if cursor is None:
        view, place = await _view(parts, board, season), 0
    else:
        view, place = _pinned(parts, _board(parts, board), season, parse_cursor(cursor))
    end = place + limit
    more = end < len(view.rows)
    if more:
        parts.views.pin(view)
    page = {"rows": view.data[place:end], "rows_total": len(view.rows)}
    return answer(request, {**view.standing, **page, "next": str(Cursor(view.view_id, end)) if more else None})


@_route("/v1/boards/{board}/players/{player:path}", RowAnswer, "The row of a player or team", 404)
async def get_row(
    request: Request, board: str, player: str, _: Body, __: Annotated[None, only("season")], season: SeasonName = None
) -> Response:
    """Rank, value and the distance to the next better rank."""
    ranks = Asked(parts_in(request).ranks, board, season)
    if (found := await ranks.tried(lambda known: known.row(player))) is not None:
        return answer(request, found)
    view = await _view(parts_in(request), board, season)
    place = view.place_of.get(player)
    if place is None:
        return ranks.absent(view)
    more = {"row": view.data[place], "next": view.ahead(place), "rows_total": len(view.rows)}
    return answer(request, {**view.standing, **more})


@_route("/v1/boards/{board}/around/{player:path}", AroundAnswer, "The rows around a player or team", 404)
async def get_around(
    request: Request,
    board: str,
    player: str,
    _: Body,
    __: Annotated[None, only("season", "window")],
    season: SeasonName = None,
    window: Annotated[int, Query(ge=0, le=MOST_WINDOW, description="Most rows above, and most below.")] = 5,
) -> Response:
    """The row with its neighbours, fewer at the ends of the board."""
    ranks = Asked(parts_in(request).ranks, board, season)
    if (found := await ranks.tried(lambda known: known.around(player, window))) is not None:
        return answer(request, found)
    view = await _view(parts_in(request), board, season)
    place = view.place_of.get(player)
    if place is None or ranks.cut_short(view, place, window):
        return ranks.absent(view)
    rows = view.data[max(0, place - window) : place + window + 1]
    return answer(request, {**view.standing, "id": player, "rows": rows, "rows_total": len(view.rows)})


@_route(
    "/v1/boards/{board}/among", AmongAnswer, "The rows of some players or teams", 404, 408, 413, 415, method="POST",
    requestBody=_IDS,
)  # fmt: skip
async def post_among(
    request: Request, board: str, content: Body, __: Annotated[None, only("season")], season: SeasonName = None
) -> Response:
    """Those of a list that are on the board, such as a player's friends."""
    ids = list(dict.fromkeys(_ids(content)))
    ranks = Asked(parts_in(request).ranks, board, season)
    if (found := await ranks.tried(lambda known: known.among(ids))) is not None:
        return answer(request, found)
    view = await _view(parts_in(request), board, season)
    places = sorted(view.place_of[one] for one in ids if one in view.place_of)
    absent = [one for one in ids if one not in view.place_of]
    if absent:
        ranks.require()
    rows = [view.data[place] for place in places]
    return answer(request, {**view.standing, "rows": rows, "absent": absent, "rows_total": len(view.rows)})


@_route("/v1/metrics/{metric}", MetricAnswer, "The minutes of a live metric", 404)
async def get_metric(
    request: Request,
    metric: str,
    *,
    _: Body,
    __: Annotated[None, only("from", "to", "limit", "cursor")],
    since: Annotated[
        datetime | None, Query(alias="from", description="First minute, with a zone; default: an hour ago.")
    ] = None,
    to: Annotated[datetime | None, Query(description="First minute that is no more part of it.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS, description="Most rows of the page.")] = 100,
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> Response:
    """The rows of the minutes from `from` to `to`. A later page is read anew: open minutes may have changed."""
    return answer(
        request, await live.answered(parts_in(request).live, metric, since=since, until=to, cursor=cursor, limit=limit)
    )


@_route("/v1/players/{player:path}/why", WhyAnswer, "Why a player or team has its row", 404)
async def get_why(
    request: Request,
    player: str,
    _: Body,
    __: Annotated[None, only("board", "limit")],
    board: Annotated[str, Query(description="Which board.")],
    limit: Annotated[int, Query(ge=1, le=MOST_LINES, description="Events at each end of a long list.")] = 5,
) -> Response:
    """The events behind a row, those that do not count, and the row by a recompute of them. Takes seconds."""
    parts = parts_in(request)
    view = await _view(parts, board, None)
    found = await parts.explainer.why(view.board, player, limit)
    return answer(request, {**view.standing, "why": orjson.loads(found)})


@router.get("/readyz", summary="Whether boards can be read", response_model=Health, responses=problems(503))
async def get_ready(request: Request) -> Response:
    """503 while Postgres does not answer."""
    try:
        await asyncio.to_thread(parts_in(request).check)
    except ServiceError as error:
        raise unavailable("BOARDS_UNAVAILABLE", str(error)) from error
    return answer(request, {"status": "ready"})


async def _about(parts: Parts, board: Board) -> dict[str, Any]:
    try:
        seasons = await asyncio.to_thread(parts.seasons, board)
    except BoardUnreadableError:
        seasons = []  # the board's own path says why
    except ServiceError as error:
        raise unavailable("BOARDS_UNAVAILABLE", str(error)) from error
    return {
        "name": board.name,
        "title": board.title,
        "description": board.description,
        "rows": board.rows,
        "id_columns": list(board.entity),
        "tie_rule": tie_rule(board),
        "topic": parts.topics[board.name],
        "columns": {
            name: {"type": column.type.value, "role": column.role.value, "meaning": column.meaning}
            for name, column in board.columns.items()
        },
        "seasons": None if board.season_column is None else [season.label for season in seasons],
    }


def _board(parts: Parts, name: str) -> Board:
    if name not in parts.boards:
        raise not_found("NO_SUCH_BOARD", f"There is no such board; the boards are {', '.join(parts.boards)}.")
    return parts.boards[name]


async def _view(parts: Parts, name: str, season: str | None) -> View:
    board = _board(parts, name)
    span = None if season is None else _season(parts, board, season)
    try:
        return await parts.views.view(board, span)
    except NoSuchSeasonError as error:
        raise not_found("NO_SUCH_SEASON", str(error)) from error
    except (ServiceError, BoardUnreadableError) as error:
        raise unavailable("BOARDS_UNAVAILABLE", str(error)) from error


def _season(parts: Parts, board: Board, name: str) -> SeasonSpan:
    if board.season_column is None:
        raise bad_request("NO_SEASONS", f"{board.name} is of all time: leave `season` out.")
    try:
        return season_named(parts.season, name)
    except SeasonError as error:
        raise bad_request("BAD_PARAMETER", str(error)) from error


def _pinned(parts: Parts, board: Board, season: str | None, cursor: Cursor) -> tuple[View, int]:
    view = parts.views.pinned(cursor.view_id)
    if view is None:
        raise expired()
    if view.board.name != board.name or (season is not None and _season(parts, board, season) != view.season):
        raise bad_request("BAD_CURSOR", "The cursor is of another board or season; send `next` of the page before.")
    return view, min(cursor.place, len(view.rows))


def _ids(content: bytes) -> list[str]:
    try:
        ids = Ids.model_validate_json(content, strict=True).ids
    except ValidationError as error:
        first = error.errors()[0]
        raise bad_request(
            "BAD_BODY", f'Send {{"ids": ["p1", "p2"]}} with at most 500 texts: {first["msg"]}.'
        ) from error
    if any(len(one) > MOST_ID_CHARACTERS for one in ids):
        raise bad_request("BAD_BODY", f"An id has at most {MOST_ID_CHARACTERS} characters.")
    return ids
