"""A printed command runs as printed from the same shell."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.text import Text

from gamestream_dagster.cli import hints
from gamestream_dagster.cli.console import styled
from gamestream_dagster.cli.hints import runnable
from gamestream_dagster.cli.options import settings_from


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("GAMESTREAM_HOME", raising=False)
    hints._program.cache_clear()
    yield
    hints._program.cache_clear()


def test_the_home_follows_the_command_and_not_the_words_around_it(tmp_path: Path) -> None:
    home = tmp_path / "a [b] home"
    settings_from(home)
    kept = f"--home {shlex.quote(str(home))}"
    for text, wanted in {
        "start it with `gamestream up`": f"start it with `gamestream up {kept}`",
        "`gamestream jobs apply x --replay`": f"`gamestream jobs apply {kept} x --replay`",
        "Next: gamestream season close": f"Next: gamestream season close {kept}",
        "gamestream status   |   gamestream down": f"gamestream status {kept}   |   gamestream down {kept}",
        "`gamestream dlq fix-and-replay` now": f"`gamestream dlq fix-and-replay {kept}` now",
        "gamestream logs kafka": f"gamestream logs {kept} kafka",
        "the version of gamestream that made them": "the version of gamestream that made them",
        "gamestream as an ordinary user": "gamestream as an ordinary user",
        "gamestream_dagster and gamestream-lint": "gamestream_dagster and gamestream-lint",
    }.items():
        assert runnable(text) == wanted


def test_a_port_base_is_kept_until_the_home_has_it(tmp_path: Path) -> None:
    settings_from(tmp_path, 24000)
    assert runnable("gamestream up") == f"gamestream up --home {tmp_path} --port-base 24000"
    assert "--port-base" not in runnable("gamestream logs kafka")  # has no such option
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "stack.yaml").write_text("port_base: 24000\n", encoding="utf-8")
    settings_from(tmp_path, 24000)
    assert runnable("gamestream status") == f"gamestream status --home {tmp_path}"


def test_nothing_is_added_where_the_shell_finds_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings_from(None)
    assert runnable("gamestream status") == "gamestream status"
    monkeypatch.setenv("GAMESTREAM_HOME", str(tmp_path))
    settings_from(tmp_path)
    assert runnable("gamestream status") == "gamestream status"


def test_a_program_that_is_not_on_the_path_is_named_as_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(hints.sys, "argv", [".venv/bin/gamestream", "status"])
    assert runnable("gamestream status") == ".venv/bin/gamestream status"


def test_the_console_completes_markup_and_styled_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings_from(tmp_path / "[x]")
    talk = hints.Talk(width=40)
    talk.print(styled("stop with [bold]gamestream down[/], please"))
    talk.print(Text("do `gamestream apply` now", style="dim"))
    shown = capsys.readouterr().out.splitlines()
    kept = f"--home {shlex.quote(str(tmp_path / '[x]'))}"
    assert shown == [f"stop with gamestream down {kept}, please", f"do `gamestream apply {kept}` now"]


def test_every_hint_in_the_sources_names_a_command_that_exists() -> None:
    import re

    from gamestream_dagster.settings import PROJECT_ROOT

    known = hints._commands()
    groups = {name.split(" ")[0] for name in known if " " in name}
    wrong = []
    for path in (*PROJECT_ROOT.glob("gamestream_dagster/**/*.py"), *PROJECT_ROOT.glob("quality/**/*.py")):
        for words in re.findall(r"`gamestream ([a-z]+(?: [a-z]+(?:-[a-z]+)*)?)", path.read_text(encoding="utf-8")):
            first = words.split(" ")[0]
            if first not in known or (first in groups and " " in words and words not in known):
                wrong.append(f"{path.name}: gamestream {words}")
    assert wrong == []
