"""What reading the catalogue raises."""

from __future__ import annotations

from pydantic import ValidationError

from gamestream_dagster.errors import GamestreamError


class CatalogueError(GamestreamError):
    """A description cannot be used; the message names the file, the field and the mend."""


def reasons(error: ValidationError) -> str:
    """Every field that a description has wrong, with what is wrong there."""
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in error.errors())
