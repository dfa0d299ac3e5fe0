"""Answers with an ETag: the same content is sent once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson
from fastapi import Request
from starlette.responses import Response

_HEADERS: Final = {
    "Cache-Control": "private, no-cache",  # kept, but asked for again each time
    "X-Content-Type-Options": "nosniff",
    "Vary": "Authorization",
}


def answer(request: Request, data: Mapping[str, Any]) -> Response:
    """The data as JSON, or 304 where a GET names what the client has already.

    The tag leaves out `read_at`: rows and cut that stayed the same are the same answer.
    """
    content = orjson.dumps(data)
    lasting = content if "read_at" not in data else orjson.dumps({**data, "read_at": None})
    tag = f'W/"{hashlib.sha256(lasting).hexdigest()[:32]}"'
    headers = {**_HEADERS, "ETag": tag}
    if request.method == "GET" and _has(request, tag):
        return Response(None, 304, headers)
    return Response(content, 200, headers, "application/json")


def _has(request: Request, tag: str) -> bool:
    given = [part.strip() for line in request.headers.getlist("if-none-match") for part in line.split(",")]
    # a weak comparison, as RFC 9110 has it
    return "*" in given or tag.removeprefix("W/") in {one.removeprefix("W/") for one in given}
