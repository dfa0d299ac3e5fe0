"""What reading the catalogue raises."""

from __future__ import annotations

from gamestream_dagster.errors import GamestreamError


class CatalogueError(GamestreamError):
    """A description cannot be used; the message names the file, the field and the mend."""
