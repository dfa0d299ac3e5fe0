"""Results that may be read at any time: an asymptotic confidence sequence, and the p-value that belongs to it.

No maintained library has it (confseq stopped in 2023), so the formula stands here: the normal mixture of
Waudby-Smith et al., Time-uniform central limit theory and asymptotic confidence sequences (2024), theorem 2.2, as the
mixture sequential probability ratio test of Johari et al., Always Valid Inference (2022), has it.
"""

from __future__ import annotations

import math
from typing import Any, Final

LEAST_PLAYERS: Final = 100
"""Players that each arm needs: the sequence holds in the limit, and a variance of few players is a guess."""


def tuned(players: float, alpha: float) -> float:
    """The mixture's variance with which the interval is narrowest at a number of players (both arms)."""
    twice_log = -2 * math.log(alpha)
    return (twice_log + math.log(twice_log + 1)) / players


def half_width(error: Any, players: Any, mixture: float, alpha: float) -> Any:
    """Half the width of the interval of a difference, that covers it at all times with probability 1 - alpha.

    Args:
        error: standard error of the difference; numbers or arrays.
        players: in both arms, of the same shape.
        mixture: as `tuned` gives it.
        alpha: probability that the difference is ever outside.
    """
    import numpy as np

    weight = players * mixture
    return error * np.sqrt(2 * (weight + 1) / weight * np.log(np.sqrt(weight + 1) / alpha))


def always_valid_p(difference: Any, error: Any, players: Any, mixture: float) -> Any:
    """The smallest alpha of an interval that excludes 0, at most 1; arguments as in `half_width`."""
    import numpy as np

    weight = players * mixture
    squared = (difference / error) ** 2
    log_ratio = squared * weight / (2 * (weight + 1)) - np.log(weight + 1) / 2
    return np.exp(-np.maximum(log_ratio, 0.0))
