"""The SQL files of the reconciliation, with columns put in by name: identifiers alone, checked, never values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from gamestream_dagster.catalogue.boards import IDENTIFIER
from gamestream_dagster.reconciliation.errors import BoardNotUsableError

_PACKAGES = Path(__file__).parents[1]
_MARKER = re.compile(r"\$\{(?:([a-z]+)\.)?([a-z]+)\}")


@cache
def _text(package: str, name: str) -> str:
    return (_PACKAGES / package / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def statement(name: str, board: str = "", /, **columns: Sequence[str]) -> str:
    """The statement in `<package>/sql/<name>.sql`, for a name such as `ledger/minutes`.

    Args:
        name: package of the reconciliation, and file without `.sql`.
        board: text of a board's own statement, for `${board}`.
        columns: by marker; `${keys.over}` becomes `keys.user_id, keys.team_id` for these two columns.

    Raises:
        BoardNotUsableError: a column is no identifier.
    """
    for column in (column for listed in columns.values() for column in listed):
        if not IDENTIFIER.match(column):
            raise BoardNotUsableError(f"{column!r} is not the name of a column; mend the board's `output.yaml`.")

    def listed(match: re.Match[str]) -> str:
        if match[2] == "board":
            return board
        prefix = f"{match[1]}." if match[1] else ""
        return ", ".join(prefix + column for column in columns[match[2]])

    return _MARKER.sub(listed, _text(*name.split("/")))
