"""Covers: the alert drill on real servers: rules fire, reach the inbox, resolve; one that stays silent is seen."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
import sqlalchemy as sa

from gamestream_dagster.alert_drill import run
from gamestream_dagster.alert_drill.model import AlertVerdict, Tried
from gamestream_dagster.alerts.rules import ALERTS_FILE, load_book
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.settings import Settings
from tests.support.world import World

pytestmark = pytest.mark.integration

DAYS = ("dau_drop", "mau_drop", "purchase_anomaly", "economy_imbalance")
"""Rules that need no job."""


class Drilled:
    """The stack after a drill of these rules."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.said: list[str] = []
        book = load_book()
        found = run.drill(settings, book, run.choose(DAYS, book), self.said.append, lambda _: None)
        self.found: dict[str, Tried] = {one.rule: one for one in found}


@pytest.fixture(scope="module")
def drilled(world: World) -> Drilled:
    return world.hold("alert drill", Drilled)


def test_each_rule_fires_reaches_every_route_once_and_resolves(drilled: Drilled) -> None:
    assert {name: (one.verdict, one.why) for name, one in drilled.found.items()} == dict.fromkeys(
        DAYS, (AlertVerdict.HELD, "")
    ), drilled.said
    assert drilled.found["dau_drop"].told == {"oncall": (1, 1), "team": (1, 1)}
    assert drilled.found["economy_imbalance"].told == {"team": (1, 1)}  # a warning
    assert [one.text for one in drilled.found["dau_drop"].commands][:2] == [
        "gamestream alerts list",
        "gamestream metrics list",
    ]


def test_the_drill_takes_away_what_it_planted(drilled: Drilled) -> None:
    assert not (drilled.settings.home / ALERTS_FILE).exists()
    with open_engine(drilled.settings) as engine, engine.connect() as link:
        for table in ("active_users", "purchases_daily", "economy_daily"):
            assert link.scalar(sa.select(sa.func.count()).select_from(sa.table(table))) == 0, table


def test_a_rule_that_does_not_fire_is_not_held(drilled: Drilled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "FIRE_SECONDS", 5.0)
    book = load_book()
    (plant,) = run.choose(("dau_drop",), book)
    nothing = replace(plant, plant=lambda _: nullcontext())
    (found,) = run.drill(drilled.settings, book, [nothing], drilled.said.append, lambda _: None)
    assert (found.verdict, found.why) == (AlertVerdict.NOT_HELD, "it did not fire")
