"""SQL of the suites: files with `$name` places, filled with allow-listed identifiers only.

`{batch}` stays unchanged: Great Expectations inserts the validated rows there.
"""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from gamestream_dagster.catalogue.boards import IDENTIFIER
from gamestream_dagster.errors import GamestreamError

SQL_DIR = Path(__file__).parent / "sql"
_COMMENT = re.compile(r"--[^\n]*")


class QueryError(GamestreamError):
    """A query cannot be built; the message names the file and the place."""


def query(name: str, **identifiers: str | int) -> str:
    """The text of `sql/<name>.sql` with its `$places` filled, without comments.

    Args:
        name: file name without `.sql`.
        identifiers: table or column names, or integers.

    Raises:
        QueryError: a value is neither an identifier nor an integer, or a place has no value.
    """
    for place, value in identifiers.items():
        if isinstance(value, str) and not IDENTIFIER.match(value):
            raise QueryError(f"{name}.sql: {value!r} for ${place} is not an identifier; use small letters, digits, _")
    text = strip_comments((SQL_DIR / f"{name}.sql").read_text(encoding="utf-8"))
    try:
        return Template(text).substitute({place: str(value) for place, value in identifiers.items()})
    except (KeyError, ValueError) as error:
        raise QueryError(f"{name}.sql has a place without a value: {error}") from error


def strip_comments(text: str) -> str:
    """SQL without its `--` comments (our literals contain no such sign)."""
    return _COMMENT.sub("", text).strip().rstrip(";").strip()


def own_expectations(folder: Path) -> dict[str, tuple[str, str]]:
    """A board's own expectations: `<folder>/expectations/*.sql`, each selecting the rows that break it.

    The first line is a comment that says what must hold.

    Returns:
        file stem -> (sentence, SQL with `{batch}`).

    Raises:
        QueryError: a file has no such first line, or does not read from `{batch}`.
    """
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(folder.glob("expectations/*.sql")):
        text = path.read_text(encoding="utf-8")
        first = text.lstrip().splitlines()[0] if text.strip() else ""
        if not first.startswith("--") or "{batch}" not in text:
            raise QueryError(f"{path}: begin with `-- what must hold`, then look for rows of {{batch}} that break it")
        found[path.stem] = (first.lstrip("- ").rstrip(". "), strip_comments(text))
    return found
