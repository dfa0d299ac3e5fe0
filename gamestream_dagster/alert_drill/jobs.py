"""Names of the jobs that a drill deploys."""

from __future__ import annotations

from typing import Final

RANKS: Final = "leaderboards_v1"
STREAKS: Final = "hot_streaks_v1"
INTAKE: Final = "event_intake_v1"
ABUSE: Final = "game_alerts_v1"
SECURITY: Final = "security_v1"
BOARDS: Final = (RANKS, STREAKS)
"""What a proof of the boards needs."""
