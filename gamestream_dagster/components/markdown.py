"""Rows as Markdown tables for Dagster's metadata. Names of players and teams are hostile input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import dagster as dg

MAX_ROWS = 100
MAX_CELL = 120

_ESCAPES = str.maketrans(
    {"|": "\\|", "\n": " ", "\r": " ", "<": "&lt;", ">": "&gt;", "`": "'", "[": "\\[", "]": "\\]", "!": "\\!"}
)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> dg.MarkdownMetadataValue:
    """A Markdown table of at most 100 rows; a last line gives the number of further rows."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    more = 0
    for number, row in enumerate(rows):
        if number < MAX_ROWS:
            lines.append("| " + " | ".join(_cell(value) for value in row) + " |")
        else:
            more += 1
    if more:
        lines.append(f"\n{more} more rows")
    return dg.MetadataValue.md("\n".join(lines))


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4f}"
        case datetime():
            return value.isoformat(sep=" ", timespec="milliseconds")
        case _:
            text = str(value)
            return (text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…").translate(_ESCAPES)
