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
from gamestream_dagster.catalogue.sources import Source, by_source, stack_sources
from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.errors import GamestreamError, sentence_of
from gamestream_dagster.reconciliation.causes.policy import load_policy
from gamestream_dagster.reconciliation.errors import BoardNotUsableError, CouldNotLookError
from gamestream_dagster.reconciliation.model.values import (
    Mode,
    ReconciliationRun,
    Sink,
    Verdict,
)
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

    Args:
        settings: the stack.
        mode: a `Mode`: `bracket` (no pause), `drained` (input has stopped: equality), `savepoint` (the jobs stop with a
            savepoint and go on), `transactional` (the Kafka boards as readers with read_committed see them).
        boards: names; default all.
        sinks: `postgres`, `kafka`; default by mode.
        limits: how long to wait for what.
        root: folder of the jobs and boards.
        say: told what is being done, a few words at a time.

    Returns:
        The run. A reconciliation that could not look is a run with the verdict `COULD_NOT_RUN` and its reason.

    Raises:
        BoardNotUsableError: a board's description or recompute cannot be used, or there is no such board.
    """
    chosen = _choose(load_boards(root, settings.season), boards)
    source = _source(settings, chosen)
    asked = Mode(mode)
    task = Task(
        settings=settings,
        mode=asked,
        source=source,
        boards=chosen,
        sinks=[Sink(sink) for sink in sinks] if sinks else _USUAL_SINKS[asked],
        limits=limits or Limits(),
        root=root,
        policy=load_policy(),
        say=say,
    )
    started_at, started = datetime.now(UTC), time.monotonic()
    run = ReconciliationRun(
        run_id=f"{started_at:%Y%m%dT%H%M%S}-{uuid4().hex[:8]}",
        mode=asked,
        topic=source.topic,
        verdict=Verdict.COULD_NOT_RUN,
        reason="",
        started_at=started_at,
        seconds=0.0,
        descriptions={board.name: board for board in chosen},
    )
    with open_engine(settings) as engine:
        run = _finished(task, engine, run, started)
        return _keep(settings, engine, run)


def _finished(task: Task, engine: Engine, run: ReconciliationRun, started: float) -> ReconciliationRun:
    """Run the task; whatever stops it, that nothing was compared is recorded. `started`: of the monotonic clock."""
    try:
        run = task.run(engine, run)
    except (CouldNotLookError, ArchiveError, ServiceError) as error:
        run = replace(run, reason=str(error))
    except BaseException as error:  # Ctrl-C and faults too
        reason = "stopped by Ctrl-C" if isinstance(error, KeyboardInterrupt) else sentence_of(error)
        with suppress(OSError, GamestreamError, SQLAlchemyError):
            _keep(task.settings, engine, replace(run, reason=reason, seconds=time.monotonic() - started))
        raise
    return replace(run, seconds=time.monotonic() - started)


def _choose(known: Mapping[str, Board], names: Sequence[str] | None) -> list[Board]:
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise BoardNotUsableError(f"There is no board {unknown[0]!r}; the boards are: {', '.join(known)}.")
    chosen = [board for name, board in known.items() if (board.proven if not names else name in names)]
    for board in chosen:
        check_board(board)
    return chosen


def _source(settings: Settings, boards: Sequence[Board]) -> Source:
    """The stream that the boards are computed from: a run has one cut, and so one topic."""
    sources = stack_sources(settings)
    found = by_source(boards, sources)
    if len(found) != 1:
        listed = "; ".join(f"{topic}: {', '.join(one.name for one in of)}" for topic, of in found.items())
        raise BoardNotUsableError(f"Boards of several topics take a run each; name those of one: {listed}.")
    return sources[next(iter(found))]


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
