"""Printed commands run as printed in the same shell: they keep `--home`, `--port-base` and the program's name.

Messages name commands as `gamestream COMMAND ...`. `Talk`, the console of every command group,
and the error handler pass what they print through `runnable`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from gamestream_dagster.cli.console import PlainConsole

if TYPE_CHECKING:
    from gamestream_dagster.settings import Settings

PROGRAM = "gamestream"
_COMMAND = re.compile(r"\bgamestream (?P<words>[a-z]+(?: [a-z]+(?:-[a-z]+)*)?)(?![\w-])")
_GIVEN = ("home", "port_base")  # the options of a stack, by their parameters


@dataclass(frozen=True)
class _Stack:
    """Options of the running command that the next one needs too."""

    home: str = ""
    port_base: str = ""


_given = _Stack()


def remember(settings: Settings, home: Path | None, port_base: int | None) -> None:
    """Remember a command's options; called with the settings that result from them.

    Omits a home that the same shell finds anyway: from GAMESTREAM_HOME, or the default. Omits a port base that
    the home has stored.
    """
    global _given  # noqa: PLW0603 (one command a process)
    usual = Path(os.environ.get("GAMESTREAM_HOME") or type(settings).model_fields["home"].default).expanduser()
    other_home = home is not None and home.expanduser().resolve() != usual.resolve()
    _given = _Stack(
        home=shlex.quote(str(home)) if other_home else "",
        port_base=str(port_base) if port_base is not None and not _kept_in_home(settings, port_base) else "",
    )


def runnable(text: str) -> str:
    """The text with each `gamestream COMMAND` completed to run from this shell; other text is unchanged."""
    return _COMMAND.sub(_inserted, text)


class Talk(PlainConsole):
    """A console for messages: commands in them run as printed."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As Rich's, with completed commands; the terminal wraps long lines, so they can be copied."""
        options.setdefault("soft_wrap", all(isinstance(one, str | Text) for one in objects))
        super().print(*map(_completed, objects), **options)


def _completed(printed: Any) -> Any:
    if isinstance(printed, str):
        return runnable(printed)
    if isinstance(printed, Text):
        found = list(_COMMAND.finditer(printed.plain))
        for match in reversed(found):
            style = printed[match.start() : match.end()]
            words = Text(_inserted(match), style.get_style_at_offset(PlainConsole(), 0) if style else "")
            printed = printed[: match.start()] + words + printed[match.end() :]
    return printed


def _inserted(match: re.Match[str]) -> str:
    known = _commands()
    words = match["words"]
    name = words if words in known else words.split(" ")[0]
    if name not in known:
        return match[0]  # the project's name in prose
    rest = words[len(name) :]
    values = {"home": _given.home, "port_base": _given.port_base}
    options = "".join(f" --{key.replace('_', '-')} {values[key]}" for key in known[name] if values[key])
    return f"{_program()} {name}{options}{rest}"


@cache
def _commands() -> dict[str, tuple[str, ...]]:
    """Every command by its words, with the stack options that it accepts."""
    import typer

    from gamestream_dagster.cli.main import build

    found: dict[str, tuple[str, ...]] = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, (*words, name))
        names = {parameter.name for parameter in command.params}
        found[" ".join(words)] = tuple(option for option in _GIVEN if option in names)

    walk(typer.main.get_command(build()), ())
    found.pop("")
    return found


@cache
def _program() -> str:
    """The typed name, where the shell does not find the program by its own: `.venv/bin/gamestream`."""
    typed = sys.argv[0]
    if Path(typed).name != PROGRAM:
        return PROGRAM  # a test, or `python -m`
    found = shutil.which(PROGRAM)
    return PROGRAM if found and Path(found).resolve() == Path(typed).resolve() else shlex.quote(typed)


def _kept_in_home(settings: Settings, port_base: int) -> bool:
    from gamestream_dagster.settings import SettingsError, load_settings

    try:
        return load_settings(home=settings.home).port_base == port_base
    except SettingsError:
        return False
