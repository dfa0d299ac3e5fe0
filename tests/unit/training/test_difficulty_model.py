"""The difficulty model: it finds a known curve, is the same bytes again, and never replaces one that scores better."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest

from gamestream_dagster.settings import Settings
from gamestream_dagster.training.difficulty import (
    FEATURES,
    DifficultyModel,
    error_of,
    fit,
    naive,
)
from gamestream_dagster.training.errors import NotReadyError, TrainingError
from gamestream_dagster.training.registry import CARD_FILE, MODEL_FILE, PAGE_FILE, Decision, Registry, Version
from gamestream_dagster.training.train import decide, features_on, last_sunday, read_examples, train

SUNDAY = date(2026, 3, 29)
FIRST = SUNDAY - timedelta(days=29)


COLUMNS = "level_id, date, attempts, pass_rate, avg_moves, p95_moves, retry_rate, booster_usage_rate"
TYPES = ("BIGINT", "DATE", "BIGINT", "DOUBLE", "DOUBLE", "BIGINT", "DOUBLE", "DOUBLE")


def write_days(rows: str, path: Path) -> None:
    """A file such as a settled day's of `level_features`."""
    cast = ", ".join(f"{name}::{kind} AS {name}" for name, kind in zip(COLUMNS.split(", "), TYPES, strict=True))
    duckdb.sql(f"COPY (SELECT {cast} FROM (VALUES {rows}) AS rows({COLUMNS})) TO '{path}'")


def days_of(folder: Path, seed: int = 1, last: date = SUNDAY) -> list[Path]:
    """Thirty days of 40 levels whose true pass rates lie around 70 %; few attempts, so that a week's rate is noisy."""
    chance = np.random.default_rng(seed)
    curve = np.clip(0.7 + np.random.default_rng(0).normal(0, 0.05, 40), 0, 1)
    files = []
    for number in range(30):
        day = last - timedelta(days=29 - number)
        attempts = chance.integers(3, 12, 40)
        passed = chance.binomial(attempts, curve)
        rows = ", ".join(
            f"({level + 1}, DATE '{day}', {tries}, {won / tries}, {20 + level if won else 'NULL'}, 30, 0.1, 0.2)"
            for level, (tries, won) in enumerate(zip(attempts, passed, strict=True))
        )
        files.append(folder / f"{seed}-{day}.parquet")
        write_days(rows, files[-1])
    return files


def decided(own: Settings, folder: Path, sunday: date = SUNDAY, seed: int = 1) -> Version:
    first = sunday - timedelta(days=29)
    return decide(Registry(own), sunday, read_examples(days_of(folder, seed, sunday), first), ["2026-02-28 v1"])


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_features_are_of_the_seven_days_before_weighted_by_attempts(tmp_path: Path) -> None:
    rows = "(1, DATE '2026-03-20', 100, 0.0, NULL, 9, 0.0, 0.0), (1, DATE '2026-03-22', 1, 1.0, NULL, 10, 0.5, 0.0), "
    rows += "(1, DATE '2026-03-28', 3, 0.2, 20.0, 12, 0.1, 0.4), (1, DATE '2026-03-29', 5, 0.6, 22.0, 14, 0.0, 0.0)"
    write_days(rows, tmp_path / "a.parquet")
    found = read_examples([tmp_path / "a.parquet"], date(2026, 3, 29))
    assert (found.days, found.targets.tolist(), found.weights.tolist()) == ((SUNDAY,), [0.6], [5.0])
    expected = [np.log1p(4), (1.0 + 0.6) / 4, 20.0, 12.0, (0.5 + 0.3) / 4, 0.3]
    assert found.features[0] == pytest.approx(expected)
    levels, features = features_on([tmp_path / "a.parquet"], SUNDAY)
    assert (levels.tolist(), features[0].tolist()) == ([1], found.features[0].tolist())


def test_it_predicts_better_than_the_week_before_and_is_published(own: Settings, tmp_path: Path) -> None:
    version = decided(own, tmp_path)
    card = version.card
    assert card.decision is Decision.PUBLISHED
    assert card.error < 0.95 * card.naive_error
    assert (card.trained_on, card.held_out) == (22 * 40, 7 * 40)
    page = (version.folder / PAGE_FILE).read_text(encoding="utf-8")
    assert "It is in use" in page
    assert card.sha256 in page
    assert all(f"`{name}`" in page for name in FEATURES)


def test_the_same_days_give_the_same_bytes(own: Settings, tmp_path: Path) -> None:
    one = (decided(own, tmp_path).folder / MODEL_FILE).read_bytes()
    assert (decided(own, tmp_path).folder / MODEL_FILE).read_bytes() == one
    assert DifficultyModel.from_json(one).to_json() == one
    assert sorted(path.name for path in Registry(own).folder.iterdir()) == [str(SUNDAY)], "nothing is left behind"


def test_a_worse_model_never_replaces_a_better_one(own: Settings, tmp_path: Path) -> None:
    better = decided(own, tmp_path)
    later = SUNDAY + timedelta(days=7)
    week = read_examples(days_of(tmp_path, 2, later), later - timedelta(days=29))
    held = np.array([day > SUNDAY for day in week.days])
    spoilt = replace(week, targets=np.where(held, week.targets, week.targets * 0.98))  # learns from wrong targets
    worse = decide(Registry(own), later, spoilt, ["x"])
    assert worse.card.decision is Decision.KEPT_CURRENT
    assert worse.card.current == str(SUNDAY)
    assert worse.card.current_error is not None
    assert worse.card.current_error < worse.card.error < worse.card.naive_error
    current = Registry(own).current()
    assert current is not None
    assert current.card == better.card


def test_a_model_that_is_no_better_than_naive_is_not_used(own: Settings, tmp_path: Path) -> None:
    found = read_examples(days_of(tmp_path), FIRST)
    known = replace(found, targets=naive(found))  # nothing can be better than what is right
    version = decide(Registry(own), SUNDAY, known, ["x"])
    assert version.card.decision is Decision.NOT_BETTER_THAN_NAIVE
    assert Registry(own).current() is None


def test_few_attempts_count_for_little(tmp_path: Path) -> None:
    found = read_examples(days_of(tmp_path), FIRST)
    odd = replace(
        found, targets=np.where(found.levels == 1, 0.0, found.targets), weights=np.where(found.levels == 1, 1e-6, 5.0)
    )
    assert error_of(fit(odd).predict(odd.features), odd) < 0.2


def test_a_model_or_card_that_was_changed_is_not_used(own: Settings, tmp_path: Path) -> None:
    version = decided(own, tmp_path)
    (version.folder / MODEL_FILE).write_bytes((version.folder / MODEL_FILE).read_bytes() + b" ")
    with pytest.raises(TrainingError, match=r"was changed .* `gamestream models train --sunday 2026-03-29 --again`"):
        version.model()
    (version.folder / CARD_FILE).write_text("{}", encoding="utf-8")
    with pytest.raises(TrainingError, match="is no card of a model"):
        Registry(own).versions()


def test_too_few_examples_are_told(own: Settings, tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match=r"There are 0 examples .* before the week"):
        decide(Registry(own), SUNDAY, read_examples(days_of(tmp_path)[-7:], FIRST), ["x"])


@pytest.mark.parametrize("content", [b"{}", b"[]", b'{"intercept": 1}'])
def test_a_file_that_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="no difficulty model"):
        DifficultyModel.from_json(content)


def test_only_sundays_are_trained(own: Settings) -> None:
    with pytest.raises(TrainingError, match="2026-03-28 is no Sunday; write a Sunday, such as 2026-03-22"):
        train(own, date(2026, 3, 28))
    assert [last_sunday(SUNDAY + timedelta(days=day)) for day in (0, 1, 6, 7)] == [
        SUNDAY - timedelta(days=7), SUNDAY, SUNDAY, SUNDAY,
    ]  # fmt: skip
