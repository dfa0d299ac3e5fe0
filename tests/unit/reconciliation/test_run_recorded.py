"""A reconciliation that ends by any error, Ctrl-C too, is recorded as `COULD_NOT_RUN` with its reason."""

from __future__ import annotations

import errno
from contextlib import nullcontext
from pathlib import Path

import pytest

from gamestream_dagster.reconciliation import run as module
from gamestream_dagster.reconciliation.model.proof import ReconciliationRun
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.reconciliation.task import Task
from gamestream_dagster.settings import load_settings


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/1.parquet.new"), "/x/1.parquet.new: No space left"),
        (KeyboardInterrupt(), "stopped by Ctrl-C"),
        (ZeroDivisionError("x"), "Unexpected ZeroDivisionError: x"),
    ],
)
@pytest.mark.parametrize("full", [False, True])
def test_it_is_recorded_and_raised(monkeypatch, tmp_path: Path, error: BaseException, reason: str, full: bool):
    kept: list[ReconciliationRun] = []

    def fail(*_: object) -> None:
        raise error

    def no_room(*_: object) -> None:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Task, "run", fail)
    monkeypatch.setattr(module, "open_engine", lambda _: nullcontext())
    monkeypatch.setattr(module, "save_run", lambda _, run: kept.append(run))
    monkeypatch.setattr(module, "last_runs", lambda *_: [])
    monkeypatch.setattr(module, "write_report", no_room)
    with pytest.raises(type(error)) as caught:
        module.reconcile(load_settings(home=tmp_path), boards=["top_teams"])
    assert caught.value is error
    assert [(run.verdict, reason in run.reason) for run in kept] == [(Verdict.COULD_NOT_RUN, True)]
