"""Routes that every HTTP server has: health, metrics, the page of the API; and what routes with keys share."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, Request
from jinja2 import Environment, FileSystemLoader
from pydantic import BaseModel, Field
from starlette.responses import Response

from gamestream_dagster.http_server import metrics
from gamestream_dagster.http_server.errors import bad_request

NO_STORE: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_CSP: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

common = APIRouter()


class Problem(BaseModel, extra="forbid"):
    """A request refused as a whole: nothing of it was stored."""

    code: str = Field(description="A fixed word for programs.")
    message: str = Field(description="What happened, and what to do next.")


class Health(BaseModel, extra="forbid"):
    """The server runs."""

    status: str


@common.get("/healthz", summary="Whether the server runs", response_model=Health)
async def get_health() -> Response:
    """Answers as long as the process can serve requests."""
    return Response(b'{"status":"ok"}', 200, NO_STORE, "application/json")


@common.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def get_metrics(request: Request) -> Response:
    """In Prometheus's text format."""
    return Response(request.app.state.parts.metrics.text(), 200, NO_STORE, metrics.MEDIA_TYPE)


@common.get("/docs", include_in_schema=False)
async def get_docs(request: Request) -> Response:
    """The OpenAPI document as a page that needs nothing from other hosts."""
    await request.app.state.parts.rates.request_from(address_of(request))
    page = _template("docs.html.jinja").render(api=request.app.openapi())
    return Response(page, 200, {**NO_STORE, "Content-Security-Policy": _CSP}, "text/html; charset=utf-8")


def address_of(request: Request) -> str:
    """The client's address, as far as it is known."""
    return request.client.host if request.client else ""


def bearer_of(request: Request) -> str | None:
    """The key in the header `Authorization`; None without the header or where it holds something else.

    Raises:
        RequestRefusedError: 400, the header is given twice.
    """
    given = request.headers.getlist("authorization")
    if len(given) > 1:
        raise bad_request("REPEATED_HEADER", "The header authorization is given more than once; send it once.")
    scheme, _, token = (given[0] if given else "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


@cache
def _template(name: str) -> Any:
    folder = Path(__file__).parent
    return Environment(loader=FileSystemLoader(folder), autoescape=True, trim_blocks=True).get_template(name)
