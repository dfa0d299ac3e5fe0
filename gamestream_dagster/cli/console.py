"""Consoles that print data as it is: no name, path or header of a user is ever read as Rich markup."""

from __future__ import annotations

from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.status import Status
from rich.text import Text


class PlainStatus(Status):
    """A spinner whose text is no markup."""

    def __init__(self, status: RenderableType, **options: Any) -> None:
        super().__init__(_plain(status), **options)

    def update(self, status: RenderableType | None = None, **options: Any) -> None:
        """Show another text."""
        super().update(None if status is None else _plain(status), **options)


class PlainConsole(Console):
    """A console for which a string is text, also in the cells of a table. What has a style is made by `styled`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, highlight=False, **options)

    def status(self, status: RenderableType, **options: Any) -> Status:
        """A spinner beside a text."""
        return PlainStatus(status, console=self, **options)


def styled(template: str, *values: object) -> Text:
    """A template in Rich markup, such as `[bold]{}[/] {}`, with values that are text whatever they hold."""
    return Text.from_markup(template.format(*(escape(str(value)) for value in values)))


def _plain(text: RenderableType) -> RenderableType:
    return Text(text) if isinstance(text, str) else text
