"""Consoles that print data verbatim: a name, path or header never acts as Rich markup."""

from __future__ import annotations

from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.status import Status
from rich.text import Text


class PlainStatus(Status):
    """A spinner whose text is not markup."""

    def __init__(self, status: RenderableType, **options: Any) -> None:
        super().__init__(_plain(status), **options)

    def update(self, status: RenderableType | None = None, **options: Any) -> None:
        """Show another text."""
        super().update(None if status is None else _plain(status), **options)


class PlainConsole(Console):
    """A console for which strings are text, also in table cells. `styled` makes text with a style."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, highlight=False, **options)

    def status(self, status: RenderableType, **options: Any) -> Status:
        """A spinner beside a text."""
        return PlainStatus(status, console=self, **options)


def styled(template: str, *values: object) -> Text:
    """A template in Rich markup, such as `[bold]{}[/] {}`, whose values are plain text."""
    return Text.from_markup(template.format(*(escape(str(value)) for value in values)))


def _plain(text: RenderableType) -> RenderableType:
    return Text(text) if isinstance(text, str) else text
