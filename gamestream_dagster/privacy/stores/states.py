"""The state of Flink jobs: totals and ids by player. It cannot be edited: a job starts from nothing without the player.

Whether a state is free of an erased player follows from the record of deployments: it began from nothing after the
player was put on the suppression list, which each submission leaves out.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.flink_jobs.control.manager import apply_job
from gamestream_dagster.flink_jobs.observe.input_topics import read_inputs
from gamestream_dagster.flink_jobs.plan.model import Choice
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState, began_after
from gamestream_dagster.flink_jobs.record.deployment_store import PostgresDeploymentStore
from gamestream_dagster.flink_jobs.record.inputs import Inputs
from gamestream_dagster.privacy.inventory import Forgetting, load_inventory
from gamestream_dagster.privacy.player import Player
from gamestream_dagster.privacy.stores.model import Found, Rows, Say
from gamestream_dagster.settings import Settings

_MOST: Final = 10_000
_RUNS: Final = frozenset({DeploymentState.RUNNING, DeploymentState.SUBMITTING, DeploymentState.PARKED})

Replay = Callable[[str, Say], object]
Redeploy = Replay


class JobStates:
    """States of the jobs that were ever deployed.

    Args:
        settings: the stack.
        since: when the player was put on the suppression list; None: never, so that every state can hold the player.
        replay: starts a job from nothing; default: the job manager.
        redeploy: submits a job again with its state; default: the job manager.
    """

    name = "jobs"

    def __init__(
        self, settings: Settings, since: datetime | None, replay: Replay | None = None, redeploy: Redeploy | None = None
    ) -> None:
        self._settings = settings
        self._since = since
        self._replay = replay or (lambda job, say: apply_job(settings, job, Choice.REPLAY, say))
        self._redeploy = redeploy or (lambda job, say: apply_job(settings, job, Choice.REDEPLOY, say))

    def scan(self, player: Player) -> list[Found]:
        """States that began before the player was suppressed, and files of such states."""
        found: list[Found] = []
        for job, forgetting, history in self._deployed():
            if forgetting.forgets == "expires":
                found += self._expiring(job, forgetting, history)
            elif not began_after(history, self._since):
                found.append(Found(f"state of {job}", 1, why_left=self._obstacle(history[0]) if self._since else ""))
            if files := self._old_files(history):
                found.append(Found(f"saved states of {job}", len(files)))
        return found

    def export(self, player: Player) -> Iterator[tuple[str, Rows]]:
        """Nothing: what a state holds of a player is on the boards and in the archive."""
        yield from ()

    def erase(self, player: Player, request: int, say: Say) -> int:
        """Start jobs from nothing whose topics still hold everything that they read; delete their old states."""
        removed = 0
        for job, forgetting, history in self._deployed():
            if forgetting.forgets == "replay" and not began_after(history, self._since):
                if self._obstacle(history[0]):
                    continue  # the scan says so
                say(f"{job} starts from nothing without the player")
                self._replay(job, say)
                removed += 1
        self._leave_out(say)
        for job, _, history in self._deployed():
            for path in self._old_files(history):
                shutil.rmtree(path)
                removed += 1
                say(f"{job}: a saved state deleted")
        return removed

    def _leave_out(self, say: Say) -> None:
        """Have running jobs that games feed read no further record of the player: each submission has today's list."""
        for job, forgetting, history in self._deployed():
            newest = history[0]
            old = self._since is not None and newest.submitted_at is not None and newest.submitted_at < self._since
            if forgetting.fed_by_games and old and newest.state is DeploymentState.RUNNING:
                say(f"{job} is submitted again, with its state, and leaves the player out from now on")
                self._redeploy(job, say)

    def _deployed(self) -> list[tuple[str, Forgetting, list[Deployment]]]:
        """Jobs whose state keeps players, each with its deployments, newest first."""
        found: list[tuple[str, Forgetting, list[Deployment]]] = []
        with open_engine(self._settings) as engine:
            store = PostgresDeploymentStore(engine)
            for job, forgetting in load_inventory().jobs.items():
                history = list(store.history(job, _MOST)) if forgetting.forgets != "none" else []
                if history:
                    found.append((job, forgetting, history))
        return found

    def _obstacle(self, newest: Deployment) -> str:
        """Why a job is not started from nothing by itself; empty: nothing stands against it."""
        by_hand = f"decide with `gamestream jobs apply {newest.job} --replay`, then run the erase again"
        if newest.state not in _RUNS:
            return f"the job does not run; {by_hand}"
        if newest.inputs is None or lacks(newest.inputs, read_inputs(self._settings, newest.inputs)):
            return f"Kafka no longer holds all that the job has read, so totals of others would shrink; {by_hand}"
        return ""

    def _expiring(self, job: str, forgetting: Forgetting, history: list[Deployment]) -> list[Found]:
        if history[0].state not in _RUNS and self._since is not None:
            return []
        hours = timedelta(hours=forgetting.hours or 0)
        begins = time.time() if self._since is None else self._since.timestamp()
        until = int((begins + hours.total_seconds()) * 1000)
        return [Found(f"state of {job}", 1, until)] if until > time.time() * 1000 else []

    def _old_files(self, history: list[Deployment]) -> list[Path]:
        """Checkpoints and savepoints of ended generations, where this machine has them and a newer one is whole."""
        if self._settings.is_external("flink") or self._since is None or not history[0].ever_checkpointed:
            return []
        needed = {local(history[0].restore_path)} - {None}
        found: list[Path] = []
        for one in history[1:]:
            for path in (local(one.savepoint_path), self._settings.checkpoints_dir / one.flink_job_id):
                old = one.submitted_at is None or one.submitted_at < self._since
                if old and path is not None and path.is_dir() and path not in needed and path not in found:
                    found.append(path)
        return [path for path in found if self._is_ours(path)]

    def _is_ours(self, path: Path) -> bool:
        folders = (self._settings.savepoints_dir, self._settings.checkpoints_dir)
        return any(folder.resolve() in path.resolve().parents for folder in folders)


def lacks(then: Inputs, now: Inputs) -> bool:
    """Whether the topics no longer hold all that a state began with."""
    return any(
        topic not in now
        or any(now[topic].beginnings.get(partition, 0) > begun for partition, begun in state.beginnings.items())
        for topic, state in then.items()
    )


def local(path: str | None) -> Path | None:
    """A path of Flink on this machine."""
    if path is None or urlsplit(path).scheme not in ("", "file"):
        return None
    return Path(unquote(urlsplit(path).path))
