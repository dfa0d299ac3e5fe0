"""Deletes states that nobody goes back to: savepoints and checkpoints of generations that ended long ago."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.clients.errors import TerminalServiceError
from gamestream_dagster.clients.flink_rest import FlinkRest
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.flink_jobs.errors import ExecutorBusyError
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState, last_good
from gamestream_dagster.flink_jobs.record.deployment_store import DeploymentStore, PostgresDeploymentStore
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.settings import Settings

KEPT_GENERATIONS = 5
"""So many of the newest generations keep their states, besides those that a rollback could go to."""

_MOST = 10_000  # generations of one job that are looked at
# Ended for good: a newer generation took its place.
_OVER = (DeploymentState.SUPERSEDED,)


@dataclass(frozen=True)
class Pruned:
    """What was deleted of one job; `left` says why nothing could be, where that is so."""

    job: str
    folders: tuple[str, ...] = ()
    bytes: int = 0
    left: str = ""


def prune_states(settings: Settings, root: Path = FLINK_SQL_DIR) -> list[Pruned]:
    """Delete the old states of every job, where the cluster's disk is this machine's.

    Raises:
        TransientServiceError: Flink or Postgres gives no answer; nothing may be concluded from that.
    """
    if settings.is_external("flink"):
        return []
    with FlinkRest(settings.flink_rest) as flink, open_engine(settings) as engine:
        live = {job.job_id for job in flink.jobs() if not job.state.ended}
        store = PostgresDeploymentStore(engine)
        folders = {"savepoints": settings.savepoints_dir, "checkpoints": settings.checkpoints_dir}
        try:
            return [
                prune_job(store, name, live, folders)
                for name in load_jobs(root, season=settings.season, ranks=settings.ranks)
            ]
        except TerminalServiceError:  # the tables are not made yet: no job ever left a state
            return []


def prune_job(store: DeploymentStore, job: str, live: Iterable[str], folders: Mapping[str, Path]) -> Pruned:
    """Delete the old states of one job.

    Args:
        store: the deployments.
        job: its name.
        live: ids of the jobs that Flink runs.
        folders: where `savepoints` and `checkpoints` are kept; nothing else is touched.
    """
    try:
        with store.lock(job):  # nobody goes back to a state while it is being deleted
            gone = states_to_delete(store.history(job, _MOST), frozenset(live), folders)
            sizes = {path: _size(path) for path in gone}
            for path in gone:
                shutil.rmtree(path)
    except ExecutorBusyError as error:
        return Pruned(job, left=str(error))
    return Pruned(job, tuple(str(path) for path in sizes), sum(sizes.values()))


def states_to_delete(
    history: Sequence[Deployment], live: frozenset[str], folders: Mapping[str, Path]
) -> tuple[Path, ...]:
    """Folders of states that no generation needs any more. Looks at the disk, deletes nothing.

    Args:
        history: the generations of one job, newest first.
        live: ids of the jobs that Flink runs.
        folders: as in `prune_job`.

    Kept are the states of the newest generations, of the version that a rollback goes to, of a job that runs, and
    every state that one of these was started from. While the newest generation has completed no checkpoint of its
    own, nothing is deleted.
    """
    if not history or not history[0].ever_checkpointed:
        return ()
    good = last_good(history)
    kept = [
        *history[:KEPT_GENERATIONS],
        *([good] if good else []),
        *(one for one in history if one.flink_job_id in live),
    ]
    needed = {path for one in kept for path in _paths_of(one)}
    kept_ids = {one.flink_job_id for one in kept}
    found: list[Path] = []
    for one in history:
        if one.state not in _OVER or one.flink_job_id in kept_ids:
            continue
        candidates = [_local(one.savepoint_path), folders["checkpoints"] / one.flink_job_id]
        for path in candidates:
            if path is None or path in found or not _inside(path, folders.values()) or not path.is_dir():
                continue
            if not any(path == need or path in need.parents for need in needed):
                found.append(path)
    return tuple(found)


def _paths_of(deployment: Deployment) -> list[Path]:
    paths = (_local(deployment.restore_path), _local(deployment.savepoint_path))
    return [path for path in paths if path is not None]


def _local(path: str | None) -> Path | None:
    if path is None or urlsplit(path).scheme not in ("", "file"):
        return None
    return Path(unquote(urlsplit(path).path))


def _inside(path: Path, folders: Iterable[Path]) -> bool:
    return any(folder.resolve() in path.resolve().parents for folder in folders)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
