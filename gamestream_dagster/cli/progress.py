"""A progress bar on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gamestream_dagster.cli.hints import Talk


@contextmanager
def progress(talk: Talk, total: int | None, what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show how far a command is: done, and of how much. Shows nothing where stderr is no terminal."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as display:
        task = display.add_task(what, total=total)
        yield lambda done, size: display.update(task, completed=done, total=size)
