"""Every test of this folder needs the real servers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.cli.demo import wait_until_read
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.events.feed import replay_into
from gamestream_dagster.settings import Settings

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in a hook of this name
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, so that `-m 'not integration'` is the quick run; what leaves traces in the shared stack goes last.

    With two xdist workers, the files that use the deployed boards share one stack and all other files the second one.
    """
    mine = [item for item in items if HERE in item.path.parents]
    on_boards = {item.path for item in mine if "boards" in getattr(item, "fixturenames", ())}
    for item in mine:
        item.add_marker(pytest.mark.integration)
        item.add_marker(pytest.mark.xdist_group("boards" if item.path in on_boards else "servers"))
    items.sort(key=lambda item: item.get_closest_marker("leaves_traces") is not None)


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
        wait_until_read(self.settings, limit_seconds=90)


@pytest.fixture(scope="session")
def boards(stack: Settings) -> Boards:
    """Topics and tables provisioned, the NBA shots published first, then both jobs deployed, and drained."""
    from gamestream_dagster.flink_jobs.control.manager import apply_job
    from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
    from gamestream_dagster.provisioning import manager
    from gamestream_dagster.provisioning.model import ResourceKind

    manager.apply(stack, manager.plan(stack, tuple(kind for kind in ResourceKind if kind is not ResourceKind.JOB)))
    replay_into(stack, "nba")
    for job in load_jobs():
        apply_job(stack, job)
    wait_until_read(stack, limit_seconds=120)
    return Boards(stack, {board: board_rows(stack, board) for board in load_boards()})


def board_rows(settings: Settings, board: str) -> list[dict[str, Any]]:
    """A board's rows in Postgres, in the order of the ranks."""
    from gamestream_dagster.reconciliation.observe.sinks import read_tables, visible

    described = load_boards()[board]
    with open_engine(settings) as engine:
        found = read_tables(engine, [described])[board]
    return sorted(visible(described, found), key=lambda row: row["rnk"])
