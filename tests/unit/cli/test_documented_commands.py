"""Every command that README and docs name exists, with its options."""

from __future__ import annotations

from pathlib import Path

import pytest

from gamestream_dagster.alerts.runbooks import read_runbook, words_of
from gamestream_dagster.settings import PROJECT_ROOT
from tests.support.command_lines import parses

PAGES = [PROJECT_ROOT / "README.md", *sorted((PROJECT_ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_exist(page: Path) -> None:
    """Mentioned in a sentence, a command may lack its arguments; `[...]` is what may be left out."""
    found = read_runbook(page)
    lines = [one for text in (*found.mentioned, *found.blocks) for one in text.split(" && ")]
    for line in lines:
        command = line.partition(" [")[0].partition(" #")[0].partition(" | ")[0].strip()
        if command.startswith("gamestream "):
            assert parses(words_of(command), whole=False), line


def test_a_command_that_does_not_exist_does_not_parse() -> None:
    assert parses(["jobs", "list"])
    assert parses(["simulate", "--days", "30"])
    assert not parses(["jobs", "list", "--never"])
    assert not parses(["jobs", "never"], whole=False)
    assert not parses(["certificate", "verify"])
    assert parses(["certificate", "verify"], whole=False)
