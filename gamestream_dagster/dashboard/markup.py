"""HTML of the pages from Jinja2 templates with autoescape: names of players and teams are hostile input."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gamestream_dagster.dashboard.navigation import Page
from gamestream_dagster.dashboard.parts import Badge, Panel, Tile

FOLDER = Path(__file__).parent
STYLE = FOLDER / "style.css"


def markup(template: str, **values: Any) -> str:
    """The text of `<template>.html.j2`, every value escaped; one of a page is `<page>/<template>`."""
    return _environment().get_template(f"{template}.html.j2").render(**values)


def header(
    page: Page,
    theme: str,
    links: Sequence[tuple[str, str]],
    *,
    read_at: datetime | None = None,
    badges: Sequence[Badge] = (),
    remark: str = "",
) -> str:
    """The head that all pages share.

    Args:
        page: whose title and sentence it shows.
        theme: `light`, `dark` or `auto`.
        links: names and addresses.
        read_at: when the page's numbers were read.
        badges: the state of the whole page.
        remark: stands after the time.
    """
    return markup("header", page=page, theme=theme, links=links, read_at=read_at, badges=badges, remark=remark)


def panels(theme: str, tiles: Sequence[Tile], shown: Sequence[Panel]) -> str:
    """Tiles, and the panels under them."""
    return markup("panels", theme=theme, tiles=tiles, panels=shown)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader([FOLDER / "templates", FOLDER / "pages"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
