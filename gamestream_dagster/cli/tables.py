"""Tables that truncate nothing: cells wrap on a terminal; in a pipe the table is as wide as its content."""

from __future__ import annotations

import os
import sys
from io import StringIO

from rich.table import Table

from gamestream_dagster.cli.console import PlainConsole

_UNBOUNDED = 1_000_000


def print_table(table: Table) -> None:
    """Print to stdout. COLUMNS sets the width if defined."""
    for column in table.columns:
        column.overflow = "fold"
    if sys.stdout.isatty():
        PlainConsole().print(table)
        return
    given = os.environ.get("COLUMNS", "")
    width = int(given) if given.isdigit() and int(given) else _natural_width(table)
    page = StringIO()
    PlainConsole(file=page, width=width, force_terminal=False).print(table)
    sys.stdout.writelines(line.rstrip() + "\n" for line in page.getvalue().splitlines())


def _natural_width(table: Table) -> int:
    console = PlainConsole(width=_UNBOUNDED, file=StringIO())
    title = len(str(table.title)) if table.title else 0
    return max(console.measure(table).maximum, title, 1)
