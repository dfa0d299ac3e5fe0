"""Why a drill could not be run. Each message says what happened and what to do next."""

from __future__ import annotations

from gamestream_dagster.errors import GamestreamError


class DrillError(GamestreamError):
    """A condition of a scenario did not come about, or a drill may not run here."""
