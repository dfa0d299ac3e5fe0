"""A drill of the alerts: plant a condition, see its rules fire, run their runbooks, lift it, see them resolve."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from gamestream_dagster.alert_drill.events import Events
from gamestream_dagster.alert_drill.inbox import open_inbox
from gamestream_dagster.alert_drill.model import Command, Tried
from gamestream_dagster.alert_drill.pace import write_paced
from gamestream_dagster.alert_drill.plants import CATALOGUE, NOT_TRIED, RANKS, STREAKS, Plant
from gamestream_dagster.alert_drill.scene import Scene
from gamestream_dagster.alerts.errors import AlertsError
from gamestream_dagster.alerts.rules import ALERTS_FILE, Book, load_book
from gamestream_dagster.alerts.runbooks import read_runbook, words_of
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.drill.errors import DrillError
from gamestream_dagster.drill.sandbox import kept_sandbox, new_sandbox
from gamestream_dagster.flink_jobs.control import manager as jobs
from gamestream_dagster.flink_jobs.errors import FlinkJobError
from gamestream_dagster.monitoring.watch import watch
from gamestream_dagster.platform.errors import PlatformError
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.provisioning import manager as provisioning
from gamestream_dagster.provisioning.model import Outcome, ResourceKind
from gamestream_dagster.settings import PROJECT_ROOT, Settings
from gamestream_dagster.warehouse.tables import alerts

INTAKE: Final = "event_intake_v1"
JOBS: Final = (RANKS, STREAKS, INTAKE)
FIRE_SECONDS: Final = 180.0
RESOLVE_SECONDS: Final = 240.0
_ROUND_SECONDS: Final = 1.0
_ERRORS: Final = (DrillError, ServiceError, FlinkJobError, PlatformError, AlertsError, SQLAlchemyError, OSError)

Say = Callable[[str], None]
OnResult = Callable[[Tried], None]


def choose(names: Sequence[str], book: Book) -> tuple[Plant, ...]:
    """The plants that make these rules fire; all for none.

    Raises:
        RuleError: there is no such rule.
    """
    wanted = {book.rule(name).name for name in names}
    return tuple(plant for plant in CATALOGUE if not wanted or wanted & set(plant.rules))


def drill_on(
    on: Path | None, port_base: int | None, names: Sequence[str], say: Say, on_result: OnResult = lambda _: None
) -> list[Tried]:
    """A drill on servers of its own.

    Args:
        on: a home that was made for drills, left running; None: a new one that is gone afterwards.
        port_base: first of its ports; None: free ones.
        names: rules to try; none: all.
        say: told what is being done.
        on_result: told of each rule when it is done.

    Raises:
        DrillError, PlatformError, RuleError: there is nothing to drill, or nothing to drill on.
    """
    book = load_book()
    plants = choose(names, book)
    found = [Tried(name, "", not_tried=NOT_TRIED[name]) for name in NOT_TRIED if not names or name in names]
    for one in found:
        on_result(one)
    if plants:
        with kept_sandbox(on, port_base, say) if on else new_sandbox(port_base, say) as settings:
            Stack(settings).up(("ingest", "api"))
            found += drill(settings, book, plants, say, on_result)
    return found


def drill(settings: Settings, book: Book, plants: Iterable[Plant], say: Say, on_result: OnResult) -> list[Tried]:
    """Play plants on a running stack that nobody else uses. Its `alerts.yaml` is overwritten.

    Raises:
        DrillError, ServiceError, FlinkJobError: the jobs cannot be deployed.
    """
    found: list[Tried] = []
    prepare(settings, say)
    with open_inbox() as inbox, _environment(inbox.addresses(book)):
        scene = Scene(settings, inbox, Events(settings), JOBS, say)
        scene.events.scores(2_000)
        scene.events.games(200, country="DE")
        try:
            for plant in plants:
                say(f"{plant.name}: {plant.what}")
                done = _Play(scene, book, plant).run()
                for one in done:
                    on_result(one)
                found += done
        finally:
            (settings.home / ALERTS_FILE).unlink(missing_ok=True)
    return found


def prepare(settings: Settings, say: Say) -> None:
    """Topics, tables and jobs.

    Raises:
        DrillError: something could not be made.
    """
    say("provision topics, subjects and tables")
    kinds = tuple(kind for kind in ResourceKind if kind is not ResourceKind.JOB)
    for step in provisioning.apply(settings, provisioning.plan(settings, kinds)):
        if step.outcome is Outcome.FAILED:
            raise DrillError(f"{step.planned.kind} {step.planned.name} could not be made: {step.error}")
    for job in JOBS:
        say(f"deploy {job}")
        jobs.apply_job(settings, job)


@contextmanager
def _environment(addresses: Mapping[str, str]) -> Iterator[None]:
    """The addresses of the routes, where rounds and commands look for them."""
    before = {name: os.environ.get(name) for name in addresses}
    os.environ.update(addresses)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass
class _Play:
    """One plant."""

    scene: Scene
    book: Book
    plant: Plant
    found: dict[str, Tried] = field(default_factory=dict[str, Tried])

    def run(self) -> list[Tried]:
        """Every rule of the plant. Errors end up in the results."""
        self.found = {name: Tried(name, self.plant.what) for name in self.plant.rules}
        try:
            write_paced(self.scene.settings.home, self.book, self.plant.rules)
            self.scene.inbox.lines.clear()
            with self.plant.plant(self.scene):
                began = time.monotonic()
                self._rounds(FIRE_SECONDS, lambda: self._fired(began))
                self._run_commands()
            lifted = time.monotonic()
            self._rounds(RESOLVE_SECONDS, lambda: self._resolved(lifted))
        except _ERRORS as error:
            return [replace(one, could_not=str(error)) for one in self.found.values()]
        return list(self.found.values())

    def _rounds(self, limit: float, is_done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + limit
        while True:
            watch(self.scene.settings)
            if is_done() or time.monotonic() > deadline:
                return
            time.sleep(_ROUND_SECONDS)

    def _fired(self, began: float) -> bool:
        active = self._active()
        for name, one in self.found.items():
            if one.fired_seconds is None and active.get(name):
                self.found[name] = replace(one, fired_seconds=time.monotonic() - began, alert_id=active[name][0])
                self.scene.say(f"{self.plant.name}: {active[name][0]} fires")
        return all(one.fired_seconds is not None for one in self.found.values())

    def _resolved(self, lifted: float) -> bool:
        active = self._active()
        for name, one in self.found.items():
            if one.resolved_seconds is None and not active.get(name):
                self.found[name] = replace(one, resolved_seconds=time.monotonic() - lifted)
        self.found = {name: replace(one, told=self._told(one)) for name, one in self.found.items()}
        return all(
            one.resolved_seconds is not None and all(min(counts) > 0 for counts in (one.told or {}).values())
            for one in self.found.values()
        )

    def _told(self, one: Tried) -> dict[str, tuple[int, int]]:
        if not one.alert_id:
            return {}
        told, routes = self.scene.inbox.told, self.book.routes_of(self.book.rule(one.rule).severity)
        return {
            name: (told("FIRING", one.alert_id, name), told("RESOLVED", one.alert_id, name))
            for name in (route.name for route in routes)
        }

    def _active(self) -> dict[str, list[str]]:
        """Ids of the active alerts, by rule."""
        with self.scene.database() as link:
            ids = link.scalars(sa.select(alerts.c.alert_id).where(alerts.c.cleared_at.is_(None))).all()
        found: dict[str, list[str]] = {}
        for alert_id in sorted(ids):
            rule = self.book.rule_of(alert_id)
            if rule is not None:
                found.setdefault(rule.name, []).append(alert_id)
        return found

    def _run_commands(self) -> None:
        """What the runbooks say to run, once each, while the alerts fire."""
        done: dict[str, Command] = {}
        for name, one in self.found.items():
            texts = read_runbook(PROJECT_ROOT / self.book.rule(name).runbook).safe
            for text in texts:
                if text not in done:
                    done[text] = replace(self.scene.command(*words_of(text)), text=text)
            self.found[name] = replace(one, commands=tuple(done[text] for text in texts))
