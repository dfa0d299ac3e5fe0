"""Servers are emptied just where a test would find what another one left."""

from __future__ import annotations

from itertools import count

import pytest

from gamestream_dagster.settings import Settings
from tests.support import world
from tests.support.world import World


@pytest.fixture
def resets(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    found: list[Settings] = []
    monkeypatch.setattr(world, "reset", found.append)
    return found


def test_new_servers_are_empty_and_given_ones_are_emptied(resets: list[Settings]) -> None:
    World(Settings(), empty=True).empty()
    assert resets == []
    given = World(Settings())
    given.empty()
    given.empty()
    assert len(resets) == 1


def test_a_world_is_made_once_until_another_one_or_a_trace(resets: list[Settings]) -> None:
    made, held = count(), World(Settings(), empty=True)

    def boards(in_any_state: bool = False) -> int:
        return held.hold("boards", lambda _: next(made), in_any_state=in_any_state)

    assert (boards(), boards(), len(resets)) == (0, 0, 0)
    held.spoil()
    assert (boards(in_any_state=True), len(resets)) == (0, 0)
    assert (boards(), boards(), len(resets)) == (1, 1, 1)
    assert (held.hold("seasons", lambda _: 100), len(resets)) == (100, 2)
    held.empty()
    assert (boards(), len(resets)) == (2, 3)


def test_a_world_that_could_not_be_made_is_made_on_empty_servers(resets: list[Settings]) -> None:
    held = World(Settings(), empty=True)

    def broken(_: Settings) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        held.hold("boards", broken)
    assert held.hold("boards", lambda _: 1) == 1
    assert len(resets) == 1
