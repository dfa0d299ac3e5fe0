"""What `gamestream archive` prints of the archive's chapter."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gamestream_dagster.cli.console import PlainConsole
from gamestream_dagster.cli.hints import Talk

if TYPE_CHECKING:
    from gamestream_dagster.archive.writer import ArchiveResult

data = PlainConsole(width=None if sys.stdout.isatty() else 200)
talk = Talk(stderr=True)


def show_chapter(result: ArchiveResult) -> None:
    """Which incarnation the archive is of and, after a new beginning, from where proofs hold."""
    from gamestream_dagster.clients.topic_identity import incarnation
    from gamestream_dagster.reconciliation.model.cut import shown

    chapter = result.chapter
    if result.set_aside is not None:
        data.print(f"aside    the old archive cannot be used; it is kept in {result.set_aside}", soft_wrap=True)
    if result.opened:
        data.print(f"chapter  new: {chapter.reason}; topic {incarnation(chapter.topic_id)}", soft_wrap=True)
    for one in chapter.lost:
        data.print(f"lost     p{one.partition}@{one.first_offset}..{one.next_offset - 1}  {one.reason}")
    if chapter.begins:
        talk.print(
            f"Proofs hold from {shown(chapter.begins)}, for jobs that begin there too: "
            "gamestream jobs apply JOB --replay",
            soft_wrap=True,
        )
