"""What the tests on real servers share: servers that hold nothing, or the four boards deployed on real events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.events.feed import replay_into
from gamestream_dagster.settings import Settings
from tests.support.world import World, deploy, drain, provision


@dataclass(frozen=True)
class Boards:
    """The whole streaming side on real servers, and what the boards showed when only the NBA shots had been sent."""

    settings: Settings
    on_nba: dict[str, list[dict[str, Any]]]

    def rows(self, board: str) -> list[dict[str, Any]]:
        """The board's rows in Postgres now, as readers see them."""
        return board_rows(self.settings, board)

    def drain(self) -> None:
        """Wait until both jobs have read the topic to its end, flushed and committed."""
        drain(self.settings)


@pytest.fixture(scope="module")
def boards(world: World, request: pytest.FixtureRequest) -> Iterator[Boards]:
    """Both jobs deployed on the NBA shots and what other files have sent; anew where one of them left traces."""
    marks = {mark.name for item in _items_of(request) for mark in item.iter_markers()}
    yield world.hold("boards", deploy_boards, in_any_state="any_boards" in marks)
    if "leaves_traces" in marks:
        world.spoil()


@pytest.fixture(scope="module", autouse=True)
def _no_boards_where_nobody_wants_them(request: pytest.FixtureRequest) -> None:
    """They would go on making checkpoints beside the tests of other files."""
    names = {name for item in _items_of(request) for name in getattr(item, "fixturenames", ())}
    if "stack" in names and "boards" not in names:
        request.getfixturevalue("world").empty()


def _items_of(request: pytest.FixtureRequest) -> list[pytest.Item]:
    return [item for item in request.session.items if item.path == request.path]


def deploy_boards(settings: Settings) -> Boards:
    """Topics and tables provisioned, the NBA shots published first, then both jobs deployed, and drained."""
    provision(settings)
    replay_into(settings, "nba")
    deploy(settings)
    return Boards(settings, {board: board_rows(settings, board) for board, one in load_boards().items() if one.ranked})


def board_rows(settings: Settings, board: str) -> list[dict[str, Any]]:
    """An output's rows in Postgres, in the order of its ranks or keys."""
    from gamestream_dagster.reconciliation.observe.sinks import read_tables, visible

    described = load_boards()[board]
    with open_engine(settings) as engine:
        found = read_tables(engine, [described])[board]
    return sorted(visible(described, found), key=lambda row: [row[name] for name in described.key_columns])
