"""The command line in this process: a process of its own costs seconds of imports."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest

from gamestream_dagster.cli.main import main
from gamestream_dagster.settings import Settings


@dataclass(frozen=True)
class Ended:
    """A command that ended."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def words(self) -> str:
        """All that it said, in one line."""
        return " ".join((self.stdout + self.stderr).split())


def gamestream(settings: Settings, *arguments: str, answer: str = "", **environment: str) -> Ended:
    """Run `gamestream` on the servers of these settings; `answer` is typed in."""
    where = ["--home", str(settings.home)]
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "stdin", io.StringIO(answer))
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            main([*arguments, *where])
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())
