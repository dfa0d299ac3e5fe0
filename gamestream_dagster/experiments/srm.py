"""Sample ratio mismatch: do the arms hold the players that the plan gives them?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

WARN_BELOW: Final = 0.01
BLOCK_BELOW: Final = 0.001
BLOCK_DEVIATION: Final = 0.001
"""Share of the players: below it a mismatch is real in a large sample, and too small to change a result."""


class SrmStatus(StrEnum):
    """What the split says."""

    OK = "OK"  # as chance would have it
    WARN = "WARN"  # unlikely by chance: find out why, the result stands
    BLOCK = "BLOCK"  # the assignment or the exposure is broken: no difference means anything


@dataclass(frozen=True)
class Srm:
    """The chi-square test of the split."""

    status: SrmStatus
    p_value: float
    chi_square: float
    deviation: float
    """Largest distance between an arm's share and its planned share."""


def check_split(players: Mapping[str, int], shares: Mapping[str, float]) -> Srm:
    """Test the split.

    Args:
        players: by variant; one at least.
        shares: planned, by variant; they add up to 1.
    """
    from scipy.stats import chisquare

    whole = sum(players.values())
    observed = [players[variant] for variant in shares]
    expected = [share * whole for share in shares.values()]
    found = chisquare(observed, expected, sum_check=False)
    deviation = max(abs(count / whole - share) for count, share in zip(observed, shares.values(), strict=True))
    p_value = float(found.pvalue)
    return Srm(_status(p_value, deviation), p_value, float(found.statistic), deviation)


def _status(p_value: float, deviation: float) -> SrmStatus:
    if p_value < BLOCK_BELOW and deviation >= BLOCK_DEVIATION:
        return SrmStatus.BLOCK
    return SrmStatus.WARN if p_value < WARN_BELOW else SrmStatus.OK
