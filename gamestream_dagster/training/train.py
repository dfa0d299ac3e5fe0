"""Trains the difficulty model of a Sunday from 30 settled days, and decides whether it is used."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gamestream_dagster.archive.digests import sha256_of
from gamestream_dagster.catalogue.metrics import load_metrics, metric_named
from gamestream_dagster.metrics.model import Settled
from gamestream_dagster.metrics.settle import metrics_dir
from gamestream_dagster.metrics.store import open_store
from gamestream_dagster.settings import Settings
from gamestream_dagster.training.card import page_of
from gamestream_dagster.training.difficulty import (
    FEATURES,
    FEATURES_VERSION,
    DifficultyModel,
    Examples,
    Floats,
    error_of,
    fit,
    naive,
)
from gamestream_dagster.training.errors import NotReadyError, TrainingError
from gamestream_dagster.training.registry import Card, Decision, Registry, Version

METRIC: Final = "level_features"
DAYS, WEEK, SUNDAY = 30, 7, 6
FEWEST: Final = 30
"""Examples, of the training and of the held-out week each."""

MEMORY_LIMIT: Final = "512MiB"
_SQL = Path(__file__).with_name("features.sql")


def last_sunday(today: date) -> date:
    """The newest Sunday that is over."""
    return today - timedelta(days=(today.weekday() - SUNDAY) % WEEK or WEEK)


def train(settings: Settings, sunday: date, *, again: bool = False) -> Version:
    """Train the model of a Sunday; the seven days up to it are held out. One that exists is returned as it is.

    Args:
        settings: the stack.
        sunday: UTC.
        again: train also where there is a version of this Sunday.

    Raises:
        NotReadyError: a day of the week is not settled, or there are too few examples.
        TrainingError: the day is no Sunday, or a file was changed.
        ServiceError: Postgres does not answer.
    """
    if sunday.weekday() != SUNDAY:
        raise TrainingError(f"{sunday} is no Sunday", f"write a Sunday, such as {last_sunday(sunday)}")
    registry = Registry(settings)
    known = registry.version(sunday)
    if known is not None and not again:
        return known
    days = settled_days(settings, sunday)
    examples = read_examples([metrics_dir(settings) / one.file for one in days], sunday - timedelta(days=DAYS - 1))
    return decide(registry, sunday, examples, [f"{one.day} v{one.version}" for one in days])


def settled_days(settings: Settings, sunday: date) -> list[Settled]:
    """The settled days of the month up to a Sunday, oldest first.

    Raises:
        NotReadyError: a day of the week is not settled.
        TrainingError: a day breaks a check, or its file was changed.
    """
    first, metric = sunday - timedelta(days=DAYS - 1), metric_named(METRIC, load_metrics())
    with open_store(settings) as store:
        settled = {one.day: one for one in store.newest([METRIC], first, sunday)}
    for number in range(WEEK):
        day = sunday - timedelta(days=WEEK - 1 - number)
        if day not in settled:
            raise NotReadyError(
                f"{METRIC} of {day} is not settled", f"`gamestream metrics backfill --from {day} --to {sunday}`"
            )
    for one in settled.values():
        again = f"settle it again with `gamestream metrics backfill --from {one.day} --to {one.day}`"
        broken = [check for check in one.failed_checks if metric.blocks(check)]
        if broken:
            raise TrainingError(f"{METRIC} of {one.day} breaks its check {broken[0]}", again)
        path = metrics_dir(settings) / one.file
        if not path.is_file() or sha256_of(path) != one.file_sha256:
            raise TrainingError(f"{path} is gone or was changed", again)
    return [settled[day] for day in sorted(settled)]


def read_examples(files: Sequence[Path], first: date) -> Examples:
    """The levels on the days of some files from `first` on, with what became of them."""
    asked = "SELECT level_id, date, attempts AS weight, pass_rate AS target FROM level_features WHERE date >= $first"
    table = _features(files, asked, {"first": first})
    return Examples(
        days=tuple(table["date"].to_pylist()),
        levels=table["level_id"].to_numpy(),
        features=_stacked(table),
        targets=table["target"].to_numpy().astype(float),
        weights=table["weight"].to_numpy().astype(float),
    )


def features_on(files: Sequence[Path], day: date) -> tuple[NDArray[np.int64], Floats]:
    """Levels that were tried in the seven days before a day, and their features."""
    asked = "SELECT DISTINCT level_id, $day::DATE AS date, NULL AS weight, NULL AS target FROM level_features"
    table = _features(files, asked, {"day": day})
    return table["level_id"].to_numpy(), _stacked(table)


def _features(files: Sequence[Path], asked: str, values: dict[str, date]) -> pa.Table:
    with duckdb.connect(":memory:", config={"memory_limit": MEMORY_LIMIT, "threads": 1}) as database:
        database.read_parquet([str(path) for path in files]).create_view("level_features")
        database.execute(f"CREATE TEMP TABLE asked AS {asked}", values)
        return database.sql(_SQL.read_text(encoding="utf-8")).to_arrow_table()


def _stacked(table: pa.Table) -> Floats:
    """The columns `FEATURES` side by side; NaN: unknown."""
    columns = {name: table[name].to_numpy().astype(float) for name in table.column_names if name.endswith("_7d")}
    columns["log_attempts_7d"] = np.log1p(columns["attempts_7d"])
    return np.stack([columns[name] for name in FEATURES], axis=1)


def decide(registry: Registry, sunday: date, examples: Examples, days: Sequence[str]) -> Version:
    """Fit on all but the last week, score on it, and publish the model if nothing scores better.

    Raises:
        NotReadyError: there are too few examples.
    """
    held = np.array([day > sunday - timedelta(days=WEEK) for day in examples.days], dtype=bool)
    learned, week = examples.where(~held), examples.where(held)
    for part, name in ((learned, "before the week"), (week, "in the week")):
        if len(part) < FEWEST:
            raise NotReadyError(
                f"There are {len(part)} examples (a level on a day) {name} up to {sunday}, and {FEWEST} are needed",
                "train on a later Sunday, when more days are settled",
            )
    model = fit(learned)
    content = model.to_json()
    error, baseline = error_of(model.predict(week.features), week), error_of(naive(week), week)
    current = registry.current(before=sunday)
    rival = None if current is None else _error_of_current(current, week)
    if error >= baseline:
        decision = Decision.NOT_BETTER_THAN_NAIVE
    elif rival is not None and rival < error:
        decision = Decision.KEPT_CURRENT
    else:
        decision = Decision.PUBLISHED
    card = Card(
        sunday=sunday.isoformat(),
        decision=decision,
        error=error,
        naive_error=baseline,
        current_error=rival,
        current=None if current is None else current.card.sunday,
        trained_on=len(learned),
        held_out=len(week),
        days=tuple(days),
        features_version=FEATURES_VERSION,
        sha256=hashlib.sha256(content).hexdigest(),
    )
    return registry.add(card, content, page_of(card, model))


def _error_of_current(current: Version, week: Examples) -> float | None:
    if current.card.features_version != FEATURES_VERSION:
        return None
    model: DifficultyModel = current.model()
    return error_of(model.predict(week.features), week)
