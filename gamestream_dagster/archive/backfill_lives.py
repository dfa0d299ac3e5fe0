"""Simulated lives into the history: a month of a game in minutes, with the truth about it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

from gamestream_dagster.archive.backfill import BackfillResult, Origin, backfill
from gamestream_dagster.archive.refused_lines import RefusedLine
from gamestream_dagster.events.game_files import Sample
from gamestream_dagster.events.lives.answers import COMPLETE, truth_of
from gamestream_dagster.events.lives.dirt import Dirt
from gamestream_dagster.events.lives.lines import EventLines
from gamestream_dagster.events.lives.options import LivesOptions
from gamestream_dagster.events.lives.play import Lives
from gamestream_dagster.settings import Settings


def backfill_lives(
    settings: Settings,
    options: LivesOptions,
    *,
    by: str,
    truth: Path | None,
    rejects: Path,
    on_progress: Callable[[int], None] = lambda events: None,
    on_day: Callable[[int], None] = lambda day: None,
    on_refused: Callable[[RefusedLine], None] = lambda line: None,
) -> BackfillResult:
    """Simulate lives and backfill their events. The same options twice add them once.

    Args:
        settings: the stack; no server of it need run.
        options: what to simulate.
        by: who backfills.
        truth: folder for the truth; it is written where it is missing. None: nowhere.
        rejects: file for refused events.
        on_progress: receives the number of events, now and then.
        on_day: receives the day that is being simulated, from 0.
        on_refused: receives each refused event.

    Raises:
        ArchiveDamagedError, ArchiveLayoutError: the history cannot be used.
        ArchiveBusyError: another backfill is running; worth another try.
    """
    sha256 = hashlib.sha256(options.model_dump_json().encode()).hexdigest()
    events = _events(options, truth, on_day)
    origin = Origin(options.name, by, events, lambda: sha256, rejects, sha256, if_empty="simulate more players or days")
    result = backfill(settings, origin, on_progress=on_progress, on_refused=on_refused)
    if truth is not None and not (truth / COMPLETE).is_file():
        for _ in events:  # the events are in the history already
            pass
    return result


def _events(options: LivesOptions, truth: Path | None, on_day: Callable[[int], None]) -> Iterator[Sample]:
    """The events, in the order of their times within each day; the truth is complete after the last one."""
    lives = Lives(options)
    lines, dirt = EventLines(options, lives.people), Dirt(options)
    number = 0
    with nullcontext() if truth is None else truth_of(options, lives.people, truth) as files:
        for day, played in lives.days():
            on_day(day)
            if files is not None:
                files.add(played)
            for line in dirt(lines.of(played)):
                number += 1
                yield Sample(number, line)
        if files is not None:
            files.notes["dirt"] = dirt.told
