"""Simulated lives, settled, up to a trained model: the commands, and what is missing before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from gamestream_dagster.settings import Settings
from tests.support.cli import gamestream
from tests.support.world import World, provision

SUNDAY = date(2026, 3, 29)
FIRST = SUNDAY - timedelta(days=29)


@pytest.fixture
def stack(world: World) -> Iterator[Settings]:
    """A stack with the tables and nothing settled."""
    world.empty()
    provision(world.settings)
    yield world.settings
    world.spoil()


def test_a_month_of_lives_is_settled_trained_and_predicted(stack: Settings) -> None:
    early = gamestream(stack, "models", "train", "--sunday", str(SUNDAY))
    assert early.returncode == 2
    assert "is not settled; `gamestream metrics backfill" in early.words
    assert f"--from {SUNDAY - timedelta(days=6)} --to {SUNDAY}" in early.words

    lived = gamestream(stack, "simulate", "--days", "30", "--players", "200", "--seed", "2", "--start", str(FIRST))
    assert lived.returncode == 0, lived.words
    assert "gamestream metrics backfill" in lived.words
    assert f"--from {FIRST} --to {SUNDAY}" in lived.words
    days = ("--from", str(FIRST), "--to", str(SUNDAY))
    settled = gamestream(stack, "metrics", "backfill", *days, "--metric", "level_features", "--json")
    assert settled.returncode == 0, settled.words

    trained = gamestream(stack, "models", "train", "--sunday", str(SUNDAY), "--json")
    assert trained.returncode == 0, trained.words
    card = json.loads(trained.stdout)
    assert card["decision"] == "PUBLISHED"
    assert card["error"] < card["naive_error"]
    assert len(card["days"]) == 30
    assert json.loads(gamestream(stack, "models", "train", "--sunday", str(SUNDAY), "--json").stdout) == card
    [listed] = json.loads(gamestream(stack, "models", "list", "--json").stdout)
    assert listed == {**card, "in_use": True}
    assert "It is in use" in gamestream(stack, "models", "show").stdout

    predicted = json.loads(gamestream(stack, "models", "predict", "--json").stdout)
    assert {one["day"] for one in predicted} == {str(SUNDAY + timedelta(days=1))}
    assert len(predicted) > 10
    assert all(0 <= one["expected"] <= 1 and one["attempts"] >= 1 for one in predicted)
