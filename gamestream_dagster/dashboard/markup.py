"""HTML of the pages from Jinja2 templates with autoescape: names of players and teams are hostile input."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER = Path(__file__).parent
STYLE = FOLDER / "style.css"


def markup(template: str, **values: Any) -> str:
    """The text of `templates/<template>.html.j2`, every value escaped."""
    return _environment().get_template(f"{template}.html.j2").render(**values)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
