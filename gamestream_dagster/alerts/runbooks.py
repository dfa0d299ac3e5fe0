"""Runbooks: the commands of a page, and which of them change nothing."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gamestream_dagster.alerts.errors import RuleError

READ_ONLY: Final = frozenset(
    {
        *("alerts list", "archive", "board", "dlq fix-and-replay", "dlq list", "doctor", "jobs history", "jobs list"),
        *("jobs plan", "jobs show", "keys list", "logs", "metrics list", "psql", "reconcile", "repair", "status"),
        "topic tail",
    }
)
"""Commands that, without --yes, change nothing but proofs and the archive."""
_BLOCK: Final = re.compile(r"```bash\n(.*?)```", re.DOTALL)
_INLINE: Final = re.compile(r"`(gamestream [^`]+)`")
_CHANGES: Final = frozenset({"--yes", "--mend", "--mode", "--replay"})


@dataclass(frozen=True)
class Runbook:
    """One page: `blocks` are the commands to run as they stand, `mentioned` those within sentences."""

    path: Path
    blocks: tuple[str, ...]
    mentioned: tuple[str, ...]

    @property
    def safe(self) -> tuple[str, ...]:
        """Commands of the blocks that can be run at any time."""
        return tuple(command for command in self.blocks if is_safe(command))


def read_runbook(path: Path) -> Runbook:
    """The commands of a page.

    Raises:
        RuleError: the page cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RuleError(str(path), f"cannot be read ({error.strerror})", "write the runbook of the alert") from error
    lines = [line.strip() for block in _BLOCK.findall(text) for line in block.splitlines()]
    outside = _BLOCK.sub("", text)
    return Runbook(path, tuple(line for line in lines if line), tuple(_INLINE.findall(outside)))


def words_of(command: str) -> list[str]:
    """The arguments of a command, without the name of the program."""
    return shlex.split(command)[1:]


def is_safe(command: str) -> bool:
    """Whether a command of ours only reads."""
    words = words_of(command)
    named = bool(words) and (words[0] in READ_ONLY or " ".join(words[:2]) in READ_ONLY)
    if named and words[0] == "psql":
        named = words[1:2] == ["-c"] and len(words) == 3 and words[2].upper().startswith("SELECT ")
    return shlex.split(command)[:1] == ["gamestream"] and named and not _CHANGES & set(words)
