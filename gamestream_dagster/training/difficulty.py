"""The difficulty model: what share of the attempts at a level will be completed on a day, from the seven days before.

A ridge regression over weighted features, so that few attempts count for little. It is kept as numbers in JSON: whoever
reads it needs no pickle and no version of scikit-learn. Pure; scikit-learn is imported by `fit` alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEATURES: Final = (
    "log_attempts_7d", "pass_rate_7d", "avg_moves_7d", "p95_moves_7d", "retry_rate_7d", "booster_usage_rate_7d",
)  # fmt: skip
NAIVE: Final = FEATURES.index("pass_rate_7d")
FEATURES_VERSION: Final = hashlib.sha256("\n".join(FEATURES).encode()).hexdigest()[:12]
"""Names the set of features; a model is used with its own set only."""

_ALPHAS: Final = (0.1, 1.0, 10.0, 100.0, 1000.0)


@dataclass(frozen=True)
class Examples:
    """Levels on days."""

    days: tuple[date, ...]
    """The day of each example."""
    levels: NDArray[np.int64]
    features: Floats
    """Shape (examples, `FEATURES`); NaN: unknown."""
    targets: Floats
    """Share of the attempts of the day that were completed, 0 to 1."""
    weights: Floats
    """Attempts of the day."""

    def __len__(self) -> int:
        return len(self.targets)

    def where(self, chosen: NDArray[np.bool_]) -> Examples:
        """Some of them."""
        days = tuple(day for day, one in zip(self.days, chosen, strict=True) if one)
        return Examples(days, self.levels[chosen], self.features[chosen], self.targets[chosen], self.weights[chosen])


@dataclass(frozen=True)
class DifficultyModel:
    """A fitted model: `clip(intercept + sum(coefficient * (feature - mean) / scale))`."""

    intercept: float
    coefficients: tuple[float, ...]
    means: tuple[float, ...]
    """Of each feature; they also stand for unknown values."""
    scales: tuple[float, ...]
    features_version: str = FEATURES_VERSION

    def predict(self, features: Floats) -> Floats:
        """Expected pass rate, 0 to 1, of rows of `FEATURES`."""
        means = np.array(self.means)
        known = np.where(np.isnan(features), means, features)
        rates: Floats = self.intercept + ((known - means) / np.array(self.scales)) @ np.array(self.coefficients)
        return np.clip(rates, 0.0, 1.0)

    def to_json(self) -> bytes:
        """Equal for equal models."""
        fields = {
            "model": "difficulty_model",
            "features_version": self.features_version,
            "features": list(FEATURES),
            "intercept": self.intercept,
            "coefficients": list(self.coefficients),
            "means": list(self.means),
            "scales": list(self.scales),
        }
        return json.dumps(fields, indent=1).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes) -> DifficultyModel:
        """The model of a file.

        Raises:
            ValueError: it is none.
        """
        try:
            fields: dict[str, Any] = json.loads(content)
            vectors = [tuple(map(float, fields[name])) for name in ("coefficients", "means", "scales")]
            found = cls(float(fields["intercept"]), *vectors, features_version=str(fields["features_version"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"no difficulty model: {error}") from error
        if {len(one) for one in vectors} != {len(FEATURES)}:
            raise ValueError("no difficulty model: it has another number of features")
        return found


def fit(examples: Examples) -> DifficultyModel:
    """Fit a model; the strength of the regularisation is chosen by leave-one-out validation."""
    from sklearn.linear_model import RidgeCV

    weights = examples.weights
    known = np.ma.masked_invalid(examples.features)
    means = np.ma.average(known, axis=0, weights=weights).filled(0.0)
    filled = np.where(np.isnan(examples.features), means, examples.features)
    scales = np.sqrt(np.average((filled - means) ** 2, axis=0, weights=weights))
    scales[scales == 0] = 1.0  # a constant feature says nothing
    found: Any = RidgeCV(alphas=_ALPHAS).fit((filled - means) / scales, examples.targets, sample_weight=weights)
    return DifficultyModel(
        intercept=float(found.intercept_),
        coefficients=tuple(map(float, found.coef_)),
        means=tuple(map(float, means)),
        scales=tuple(map(float, scales)),
    )


def naive(examples: Examples) -> Floats:
    """The baseline: the pass rate of the seven days before."""
    return examples.features[:, NAIVE]


def error_of(predicted: Floats, examples: Examples) -> float:
    """Root of the mean squared error in pass rate, weighted by attempts: 0 is perfect, 0.05 is five points off."""
    return float(np.sqrt(np.average((predicted - examples.targets) ** 2, weights=examples.weights)))
