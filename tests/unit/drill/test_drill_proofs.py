"""The scenario that kills a proof says why it could not, in the proof's own words."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from tempfile import TemporaryFile
from types import SimpleNamespace

import pytest

from gamestream_dagster.drill import proofs as module
from gamestream_dagster.drill.errors import DrillError


@pytest.mark.parametrize(
    ("script", "limit", "expected"),
    [
        ("print('Could not run: no such topic')", 20.0, "ended before it .*; the last it said: Could not run: no such"),
        ("", 20.0, "ended before it could be killed with its jobs stopped; start"),
        ("import time; print('archiving', flush=True); time.sleep(60)", 1.5, "had not stopped its jobs .*: archiving;"),
    ],
)
def test_a_proof_that_ended_and_one_that_is_slow_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, script: str, limit: float, expected: str
) -> None:
    monkeypatch.setattr(module, "_PROOF_SECONDS", limit)
    monkeypatch.setattr(module, "open_engine", lambda _: nullcontext())
    monkeypatch.setattr(module, "PostgresDeploymentStore", lambda _: SimpleNamespace(last=lambda _: None))
    with TemporaryFile() as told:
        proof = subprocess.Popen([sys.executable, "-c", script], stdout=told, stderr=subprocess.STDOUT)
        try:
            with pytest.raises(DrillError, match=expected):
                module._wait_stopped(SimpleNamespace(settings=None, jobs=("a",)), proof, told)
        finally:
            proof.kill()
            proof.wait()
