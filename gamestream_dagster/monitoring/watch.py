"""One round of the alerts: collect, evaluate, write, route, send."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gamestream_dagster.alerts.delivery import Delivered, Sender, deliver
from gamestream_dagster.alerts.look import Evaluated
from gamestream_dagster.alerts.machine import AlertState
from gamestream_dagster.alerts.messages import route_messages
from gamestream_dagster.alerts.rules import load_book
from gamestream_dagster.alerts.states import record
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.monitoring.collect import SOURCES, Collected, Source, Within, collect
from gamestream_dagster.settings import Settings


@dataclass(frozen=True)
class Round:
    """What a round found and did."""

    collected: Collected
    evaluated: tuple[Evaluated, ...]
    delivered: Delivered

    @property
    def sentence(self) -> str:
        """In one line."""
        states = [one.standing.state for one in self.evaluated]
        counts = [f"{states.count(state)} {state.value}" for state in AlertState if state in states]
        told = [f"{', '.join(counts)}."]
        told += [f"Could not collect {name}: {why}" for name, why in self.collected.failed.items()]
        if self.delivered.sent:
            told.append(f"Sent {self.delivered.sent} messages.")
        told += [f"Could not send, {why}." for why in self.delivered.failed]
        if self.delivered.expired:
            told.append(f"Gave up {self.delivered.expired} messages that are a day old.")
        return " ".join(told)


def watch(
    settings: Settings,
    within: Within = lambda ask: ask(),
    sources: Mapping[str, Source] = SOURCES,
    environment: Mapping[str, str] = os.environ,
    open_sender: Callable[[str], Sender] | None = None,
) -> Round:
    """Do one round. A crash at any point loses nothing: the next round goes on from what is written.

    Raises:
        RuleError: an entry of the alerts is wrong.
        ServiceError: Postgres does not answer.
    """
    book = load_book(settings.home)
    collected = collect(settings, within, sources)
    with open_engine(settings) as engine:
        with engine.begin() as connection:
            evaluated = record(connection, book, collected.samples, collected.failed, collected.at)
        with engine.begin() as connection:
            route_messages(connection, book)
        delivered = deliver(engine, book, settings.dagster_url, environment=environment, open_sender=open_sender)
    return Round(collected, tuple(evaluated), delivered)
