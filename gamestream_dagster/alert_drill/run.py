"""An alert drill: plant a condition, see its rules fire, run their runbooks, lift it, see them resolve."""

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
from gamestream_dagster.alert_drill.pace import own_rules_set_aside, write_paced
from gamestream_dagster.alert_drill.plants import CATALOGUE, Plant
from gamestream_dagster.alert_drill.rounds import Rounds, rounds
from gamestream_dagster.alert_drill.scene import Scene
from gamestream_dagster.alerts.errors import AlertsError
from gamestream_dagster.alerts.rules import Book, load_book
from gamestream_dagster.alerts.runbooks import read_runbook, words_of
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.drill.errors import DrillError
from gamestream_dagster.drill.sandbox import CHECKPOINT_SECONDS, kept_sandbox, new_sandbox
from gamestream_dagster.flink_jobs.errors import FlinkJobError
from gamestream_dagster.platform.errors import PlatformError
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.provisioning import manager as provisioning
from gamestream_dagster.provisioning.model import Outcome, ResourceKind
from gamestream_dagster.settings import PROJECT_ROOT, Settings
from gamestream_dagster.warehouse.tables import alerts

FIRE_SECONDS: Final = 300.0
RESOLVE_SECONDS: Final = 300.0
_DAGSTER: Final = "dagster"
_ERRORS: Final = (DrillError, ServiceError, FlinkJobError, PlatformError, AlertsError, SQLAlchemyError, OSError)

Say = Callable[[str], None]
OnResult = Callable[[Tried], None]


def choose(names: Sequence[str], book: Book) -> tuple[Plant, ...]:
    """The plants of these rules, each with no other rules than these and those that carry them; all for no name.

    Raises:
        RuleError: there is no such rule.
    """
    wanted = {book.rule(name).name for name in names}
    if not wanted:
        return CATALOGUE
    return tuple(
        replace(plant, rules=tuple(one for one in plant.rules if one in wanted or one in plant.carriers))
        for plant in CATALOGUE
        if wanted & set(plant.rules)
    )


def drill_on(
    on: Path | None, port_base: int | None, names: Sequence[str], say: Say, on_result: OnResult = lambda _: None
) -> list[Tried]:
    """A drill on servers of its own.

    Args:
        on: a home that was made for drills, left running; None: a new one that is deleted afterwards.
        port_base: first of its ports; None: free ones.
        names: rules to try; none: all.
        say: receives progress.
        on_result: receives the result of each rule.

    Raises:
        DrillError, PlatformError, RuleError: there is nothing to drill, or nothing to drill on.
    """
    book = load_book()
    plants = choose(names, book)
    with kept_sandbox(on, port_base, say) if on else new_sandbox(port_base, say) as settings:
        _write_profile(settings)
        stack = Stack(settings)
        stack.stop(_DAGSTER)  # it was started with other addresses: its rounds would send the drill's messages there
        try:
            return drill(settings, book, plants, say, on_result)
        finally:
            stack.stop(_DAGSTER)


def _write_profile(settings: Settings) -> None:
    """Commands and Dagster must see the same jobs as the drill, so they need its interval of checkpoints."""
    profile = settings.home / "profile.yaml"
    if not profile.exists():
        profile.write_text(f"checkpoint_interval_seconds: {CHECKPOINT_SECONDS}\n", encoding="utf-8")
        profile.chmod(0o600)


def drill(settings: Settings, book: Book, plants: Iterable[Plant], say: Say, on_result: OnResult) -> list[Tried]:
    """Play plants on a running stack that holds nobody's data. Its own `alerts.yaml` is restored at the end.

    Raises:
        DrillError: topics or tables cannot be made.
    """
    found: list[Tried] = []
    say("provision topics, subjects and tables")
    _provision(settings)
    with (
        open_inbox() as inbox,
        _environment(inbox.addresses(book)),
        own_rules_set_aside(settings.home),
        rounds(settings, say) as going,
    ):
        scene = Scene(settings, inbox, Events(settings), say)
        scene.events.scores(2_000)
        scene.events.games(200, country="DE")
        for plant in plants:
            say(f"{plant.name}: plant {plant.what}")
            done = _Play(scene, book, plant, going).run()
            for one in done:
                on_result(one)
            found += done
    return found


def _provision(settings: Settings) -> None:
    kinds = tuple(kind for kind in ResourceKind if kind is not ResourceKind.JOB)
    for step in provisioning.apply(settings, provisioning.plan(settings, kinds)):
        if step.outcome is Outcome.FAILED:
            raise DrillError(f"{step.planned.kind} {step.planned.name} could not be made: {step.error}")


@contextmanager
def _environment(addresses: Mapping[str, str]) -> Iterator[None]:
    """The addresses of the routes, where rounds, commands and servers read them."""
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
    rounds: Rounds
    found: dict[str, Tried] = field(default_factory=dict[str, Tried])

    def run(self) -> list[Tried]:
        """Every rule of the plant. An error is the result of the rules that it kept from resolving."""
        self.found = {name: Tried(name, self.plant.what) for name in self.plant.rules}
        try:
            self._begin()
            try:
                self._play()
            finally:
                self.plant.clean(self.scene)
        except _ERRORS as error:
            self.scene.say(f"{self.plant.name}: {error}")
            return [one if one.resolved_seconds else replace(one, could_not=str(error)) for one in self.found.values()]
        return list(self.found.values())

    def _play(self) -> None:
        with self.plant.plant(self.scene):
            write_paced(self.scene.settings.home, self.book, self.plant.rules)
            began = time.monotonic()
            self.rounds.until(lambda: self._fired(began), FIRE_SECONDS)
            if any(one.alert_id for one in self.found.values()):
                self._run_commands()
            self.scene.say(f"{self.plant.name}: lift it")
        lifted = time.monotonic()
        self.rounds.until(lambda: self._resolved(lifted), RESOLVE_SECONDS)

    def _begin(self) -> None:
        """Servers and jobs that the plant needs; no alert of it is open, and no message waits."""
        self.scene.up(self.plant.servers)
        self.scene.deploy(self.plant.jobs)
        write_paced(self.scene.settings.home, self.book, ())
        self.rounds.until(lambda: not self._open(), RESOLVE_SECONDS)
        if left := self._open():
            raise DrillError(f"{left[0]} is firing before its condition is planted; see `gamestream alerts list`")
        self.scene.inbox.lines.clear()

    def _open(self) -> list[str]:
        return [alert_id for name in self.plant.rules for alert_id in self._active().get(name, ())]

    def _fired(self, began: float) -> bool:
        active = self._active()
        for name, one in self.found.items():
            if one.fired_seconds is None and active.get(name):
                seconds = time.monotonic() - began
                self.found[name] = replace(one, fired_seconds=seconds, alert_id=active[name][0])
                self.scene.say(f"{self.plant.name}: {active[name][0]} fires after {seconds:.0f} s")
        return all(one.fired_seconds is not None for one in self.found.values())

    def _resolved(self, lifted: float) -> bool:
        active = self._active()
        for name, one in self.found.items():
            if one.alert_id and one.resolved_seconds is None and not active.get(name):
                self.found[name] = replace(one, resolved_seconds=time.monotonic() - lifted)
        fired = [replace(one, told=self._told(one)) for one in self.found.values() if one.alert_id]
        self.found |= {one.rule: one for one in fired}
        return all(
            one.resolved_seconds is not None and all(min(counts) > 0 for counts in (one.told or {}).values())
            for one in fired
        )

    def _told(self, one: Tried) -> dict[str, tuple[int, int]]:
        told, routes = self.scene.inbox.told, self.book.routes_of(self.book.rule(one.rule).severity)
        return {
            name: (told("FIRING", one.alert_id, name), told("RESOLVED", one.alert_id, name))
            for name in (route.name for route in routes)
        }

    def _active(self) -> dict[str, list[str]]:
        """Ids of the active alerts that the plant is about, by rule."""
        with open_engine(self.scene.settings) as engine, engine.connect() as link:
            ids = link.scalars(sa.select(alerts.c.alert_id).where(alerts.c.cleared_at.is_(None))).all()
        found: dict[str, list[str]] = {}
        for alert_id in sorted(ids):
            rule = self.book.rule_of(alert_id)
            if rule is not None and (rule.raised_as or self.plant.label in alert_id):
                found.setdefault(rule.name, []).append(alert_id)
        return found

    def _run_commands(self) -> None:
        """The safe commands of the runbooks, once each, while the alerts fire."""
        done: dict[str, Command] = {}
        for name, one in self.found.items():
            texts = read_runbook(PROJECT_ROOT / self.book.rule(name).runbook).safe
            for text in texts:
                if text not in done:
                    done[text] = self._command(text)
            self.found[name] = replace(one, commands=tuple(done[text] for text in texts))

    def _command(self, text: str) -> Command:
        excused = any(text.startswith(f"gamestream {one}") for one in self.plant.prevents)
        ended = replace(self.scene.command(*words_of(text)), text=text, excused=excused)
        self.scene.say(f"{self.plant.name}: `{text}` exits with {ended.exit_code} after {ended.seconds:.0f} s")
        return ended
