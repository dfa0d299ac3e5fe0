"""What the model in use expects of each level on the day after the newest settled one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from gamestream_dagster.metrics.settle import metrics_dir
from gamestream_dagster.metrics.store import open_store
from gamestream_dagster.settings import Settings
from gamestream_dagster.training.difficulty import FEATURES, NAIVE
from gamestream_dagster.training.errors import NotReadyError
from gamestream_dagster.training.registry import Registry
from gamestream_dagster.training.train import METRIC, WEEK, features_on


@dataclass(frozen=True)
class Prediction:
    """One level."""

    day: date
    level_id: int
    expected: float
    """Pass rate, 0 to 1."""
    past: float
    """Pass rate of the seven days before."""
    attempts: int
    """Of the seven days before."""


def predictions(settings: Settings) -> list[Prediction]:
    """By level.

    Raises:
        NotReadyError: no model is in use, or no day is settled.
        TrainingError: the model's file was changed.
        ServiceError: Postgres does not answer.
    """
    current = Registry(settings).current()
    if current is None:
        raise NotReadyError("No model is in use", "train one with `gamestream models train`")
    model = current.model()
    with open_store(settings) as store:
        settled = {one.day: one for one in store.newest([METRIC])}
    if not settled:
        raise NotReadyError(f"No day of {METRIC} is settled", "settle days with `gamestream metrics backfill`")
    day = max(settled) + timedelta(days=1)
    week = [one for at, one in settled.items() if at >= day - timedelta(days=WEEK)]
    files: list[Path] = [metrics_dir(settings) / one.file for one in week]
    levels, features = features_on(files, day)
    expected = model.predict(features)
    attempts = np.rint(np.expm1(features[:, FEATURES.index("log_attempts_7d")])).astype(int)
    return [
        Prediction(day, int(level), float(rate), float(past), int(count))
        for level, rate, past, count in zip(levels, expected, features[:, NAIVE], attempts, strict=True)
    ]
