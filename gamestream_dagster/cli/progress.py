"""How far a command is, and which lines it leaves out: on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gamestream_dagster.cli.hints import Talk

MAX_SHOWN: Final = 20
"""Lines shown one by one; all are in the rejects file."""


@contextmanager
def progress(talk: Talk, total: int | None, what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar; nothing where stderr is no terminal."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as display:
        task = display.add_task(what, total=total)
        yield lambda done, size: display.update(task, completed=done, total=size)


def line_teller(talk: Talk, kind: str) -> Callable[[int, str], None]:
    """Shows lines of one kind, each by its number and what is wrong with it: the first ones, then that more follow."""
    shown = 0

    def tell(number: int, wrong: str) -> None:
        nonlocal shown
        shown += 1
        if shown <= MAX_SHOWN:
            talk.print(f"line {number}: {wrong}", style="yellow", soft_wrap=True)
        elif shown == MAX_SHOWN + 1:
            talk.print(f"more {kind} lines follow; all are written aside", style="yellow")

    return tell
