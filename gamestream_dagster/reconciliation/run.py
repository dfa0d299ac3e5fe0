"""A reconciliation as commands and Dagster ask for it: the run, its stored rows and its report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gamestream_dagster.archive.errors import ArchiveError
from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR, Board, load_boards
from gamestream_dagster.catalogue.sources import by_source, source_of_board, stack_sources
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.errors import GamestreamError, sentence_of
from gamestream_dagster.flink_jobs.record.deployment import Deployment, DeploymentState, Outcome
from gamestream_dagster.flink_jobs.record.deployment_store import PostgresDeploymentStore
from gamestream_dagster.reconciliation.causes.policy import load_policy
from gamestream_dagster.reconciliation.errors import BoardNotUsableError, CouldNotLookError
from gamestream_dagster.reconciliation.model.proof import ReconciliationRun, TopicProof
from gamestream_dagster.reconciliation.model.values import Mode, Sink, Verdict
from gamestream_dagster.reconciliation.observe.boards import Limits
from gamestream_dagster.reconciliation.recompute.boards import check_board
from gamestream_dagster.reconciliation.results.report import write_report
from gamestream_dagster.reconciliation.results.store import last_runs, save_run
from gamestream_dagster.reconciliation.task import Task
from gamestream_dagster.settings import Settings

_TREND = 30
_USUAL_SINKS: Mapping[Mode, Sequence[Sink]] = {
    Mode.BRACKET: (Sink.POSTGRES,),
    Mode.DRAINED: (Sink.POSTGRES, Sink.KAFKA),
    Mode.SAVEPOINT: (Sink.POSTGRES, Sink.KAFKA),
    Mode.TRANSACTIONAL: (Sink.KAFKA,),
}

_SUSPENDED_ON_PURPOSE = (Outcome.SUSPENDED_BY_HAND, Outcome.SUSPENDED_BY_SPEC)
_WORST_FIRST = (Verdict.DIFFERENT, Verdict.COULD_NOT_RUN, Verdict.EXPLAINED, Verdict.MATCH)

Say = Callable[[str], None]


def reconcile(
    settings: Settings,
    mode: str | Mode = Mode.BRACKET,
    boards: Sequence[str] | None = None,
    sinks: Sequence[str | Sink] | None = None,
    *,
    limits: Limits | None = None,
    root: Path = FLINK_SQL_DIR,
    say: Say = lambda _: None,
) -> ReconciliationRun:
    """Compare streamed boards with an independent recompute of the same events; keep the run and write its report.

    Boards of several topics are compared topic by topic, each at a bracket of its own.

    Args:
        settings: the stack.
        mode: a `Mode`: `bracket` (no pause), `drained` (input has stopped: equality), `savepoint` (the jobs stop with a
            savepoint and go on), `transactional` (the Kafka boards as readers with read_committed see them).
        boards: names; default all whose job was ever deployed and is not suspended on purpose.
        sinks: `postgres`, `kafka`; default by mode.
        limits: how long to wait for what.
        root: folder of the jobs and boards.
        say: told what is being done, a few words at a time.

    Returns:
        The run. Where it could not look at a topic, that topic's proof says so, and so does the run unless another
        topic differs.

    Raises:
        BoardNotUsableError: a board's description or recompute cannot be used, or there is no such board.
    """
    known = _choose(load_boards(root, settings.season), boards)
    chosen, left_out = (known, {}) if boards else _provable(settings, known)
    sources = stack_sources(settings)
    for board in chosen:
        check_board(board, source_of_board(board, sources).text_columns)
    asked = Mode(mode)
    tasks = [
        Task(
            settings=settings,
            mode=asked,
            source=sources[topic],
            boards=of_topic,
            sinks=[Sink(sink) for sink in sinks] if sinks else _USUAL_SINKS[asked],
            limits=limits or Limits(),
            root=root,
            policy=load_policy(),
            say=say,
        )
        for topic, of_topic in by_source(chosen, sources).items()
    ]
    started_at, started = datetime.now(UTC), time.monotonic()
    run = ReconciliationRun(
        run_id=f"{started_at:%Y%m%dT%H%M%S}-{uuid4().hex[:8]}",
        mode=asked,
        verdict=Verdict.COULD_NOT_RUN,
        reason="",
        started_at=started_at,
        seconds=0.0,
        descriptions={board.name: board for board in chosen},
    )
    with open_engine(settings) as engine:
        run = _finished(tasks, engine, run, started)
        if left_out:
            sentences = tuple(f"not proven, because {why}: {', '.join(names)}" for why, names in left_out.items())
            run = replace(run, left_out=sentences, reason="; ".join((run.reason, *sentences)))
        return _keep(settings, engine, run)


def _finished(tasks: Sequence[Task], engine: Engine, run: ReconciliationRun, started: float) -> ReconciliationRun:
    """Prove topic by topic; whatever stops one of them is recorded. `started`: of the monotonic clock."""
    proofs: list[TopicProof] = []
    for task in tasks:
        try:
            proofs.append(task.run(engine))
        except (CouldNotLookError, ArchiveError, ServiceError) as error:
            proofs.append(task.nothing_seen(str(error)))
        except BaseException as error:  # Ctrl-C and faults too
            reason = "stopped by Ctrl-C" if isinstance(error, KeyboardInterrupt) else sentence_of(error)
            stopped = tuple(one.nothing_seen(reason) for one in tasks[len(proofs) :])
            with suppress(OSError, GamestreamError, SQLAlchemyError):
                _keep(task.settings, engine, _judged(run, (*proofs, *stopped), time.monotonic() - started))
            raise
    return _judged(run, tuple(proofs), time.monotonic() - started)


def _judged(run: ReconciliationRun, proofs: tuple[TopicProof, ...], seconds: float) -> ReconciliationRun:
    """The run with the verdict over its topics: a difference counts most, then a topic that could not be looked at."""
    found = {one.verdict for one in proofs}
    verdict = next((one for one in _WORST_FIRST if one in found), Verdict.COULD_NOT_RUN)
    told = [one.reason if len(proofs) == 1 else f"{one.topic}: {_told(one)}" for one in proofs]
    return replace(run, verdict=verdict, reason="; ".join(told), topics=proofs, seconds=seconds)


def _told(proof: TopicProof) -> str:
    return proof.reason if proof.looked else f"could not be looked at: {proof.reason}"


def _choose(known: Mapping[str, Board], names: Sequence[str] | None) -> list[Board]:
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise BoardNotUsableError(f"There is no board {unknown[0]!r}; the boards are: {', '.join(known)}.")
    chosen = [board for name, board in known.items() if (board.proven if not names else name in names)]
    if not chosen:
        raise BoardNotUsableError("No output has a recompute, so there is nothing to prove (docs/add-a-board.md).")
    return chosen


def _provable(settings: Settings, known: list[Board]) -> tuple[list[Board], dict[str, list[str]]]:
    """The outputs of jobs that should run now, and the others by the reason why they are left out.

    All of them where no job should run, or Postgres cannot say: the proof then tells why it cannot look.
    """
    left_out: dict[str, list[str]] = {}
    with suppress(ServiceError, SQLAlchemyError), open_engine(settings) as engine:
        store = PostgresDeploymentStore(engine)
        records = {job: store.last(job) for job in {board.job for board in known}}
        why_not = {job: why for job, record in records.items() if (why := _why_not_provable(record))}
        for board in known:
            if board.job in why_not:
                left_out.setdefault(why_not[board.job], []).append(board.name)
        if chosen := [board for board in known if board.job not in why_not]:
            return chosen, left_out
    return known, {}


def _why_not_provable(record: Deployment | None) -> str:
    if record is None:
        return "its job was never deployed"
    suspended = record.state is DeploymentState.SUSPENDED and record.outcome in _SUSPENDED_ON_PURPOSE
    return f"{record.job} is suspended" if suspended else ""


def _keep(settings: Settings, engine: Engine, run: ReconciliationRun) -> ReconciliationRun:
    """Write report and tables. A run that could not look because Postgres is down has no row, but it has its report."""
    path = settings.reports_dir / "reconciliation" / f"{run.run_id}.html"
    run = replace(run, report_path=path)
    try:
        save_run(engine, run)
        trend = last_runs(engine, _TREND)
    except (ServiceError, SQLAlchemyError) as error:
        if run.verdict is not Verdict.COULD_NOT_RUN:
            raise CouldNotLookError(
                f"the run cannot be stored ({type(error).__name__})",
                "make missing tables with `gamestream apply`, and see how changed ones differ with `gamestream plan`",
            ) from error
        trend = []
    write_report(path, run, trend)
    return run
