"""Every command that a runbook gives as safe, run on real servers with deployed boards."""

from __future__ import annotations

import pytest

from gamestream_dagster.alerts.runbooks import read_runbook, words_of
from gamestream_dagster.settings import PROJECT_ROOT
from tests.integration.conftest import Boards
from tests.support.cli import gamestream

pytestmark = [pytest.mark.integration, pytest.mark.any_boards]

RUNBOOKS = PROJECT_ROOT / "docs" / "runbooks"
NOT_STARTED = {"api", "ingest", "dagster-daemon"}
"""Servers whose logs a runbook shows, and that the tests do not start by themselves: their log may not be there."""


def commands() -> list[str]:
    """Each command once."""
    return sorted({command for path in RUNBOOKS.glob("*.md") for command in read_runbook(path).safe})


@pytest.mark.parametrize("command", commands())
def test_a_safe_command_of_a_runbook_answers(boards: Boards, command: str, capfd: pytest.CaptureFixture[str]) -> None:
    words = words_of(command)
    ended = gamestream(boards.settings, *words)
    said = ended.words + "".join(capfd.readouterr())  # psql writes to the terminal itself
    if words[0] == "logs" and words[1] in NOT_STARTED and ended.returncode == 2:
        assert words[1] in said
        return
    if words[:2] == ["reconcile", "--board"] and words[2] not in boards.on_nba:
        assert ended.returncode == 2
        assert "was never deployed" in said
        return
    # 1 is an answer as well: a server that does not run, a difference; of psql it is an error
    assert ended.returncode in ((0,) if words[0] == "psql" else (0, 1)), said
    assert "Traceback" not in said
