"""Backfill: a file of old game events into the history, each event once.

A run stages its rows, drops the copies, writes one or more files for each UTC date, and then names all of them in the
manifest at once, with its provenance. Until then it does not count, and the next run removes what it left.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa

from gamestream_dagster.archive.digests import verify_files
from gamestream_dagster.archive.erasing import holds, suppressed_rows
from gamestream_dagster.archive.history import dates_of, history_folder, history_source, runs_of, utc_text
from gamestream_dagster.archive.history_files import DayFiles
from gamestream_dagster.archive.history_rows import HistoryRows, Placed
from gamestream_dagster.archive.history_staging import Staging
from gamestream_dagster.archive.id_index import try_to_index
from gamestream_dagster.archive.manifest import Chapter, Manifest
from gamestream_dagster.archive.manifest_file import exclusive, load_manifest, save_manifest
from gamestream_dagster.archive.provenance import Backfilled, rules_digest
from gamestream_dagster.archive.refused_lines import RefusedLine, RefusedLines
from gamestream_dagster.archive.run_leftovers import remove_leftovers, staging_folder
from gamestream_dagster.catalogue.game_rules import RULES_VERSION
from gamestream_dagster.enrichment.tables import Tables
from gamestream_dagster.events.file_lines import ReadingError
from gamestream_dagster.events.game_files import Sample
from gamestream_dagster.events.game_outcome import GameReason, GameRefused
from gamestream_dagster.events.suppression import ERASED, load_suppression
from gamestream_dagster.settings import Settings

_BATCH_EVENTS: Final = 10_000
_BATCH_BYTES: Final = 16 << 20
_LOCK_SECONDS: Final = 10.0
_TAKEN: Final = (
    "event_id came before with other content, in this file or in the history; give each event an id of its own"
)


@dataclass(frozen=True)
class Origin:
    """What is backfilled, and by whom."""

    name: str
    by: str
    events: Iterable[Sample]
    sha256: Callable[[], str]
    """Of the whole content; called after the last event, and may raise if the content cannot be trusted."""
    rejects: Path
    """File for the refused lines."""
    known_sha256: str | None = None
    """The same as `sha256` if it is known before."""
    if_empty: str = "write one JSON object into each line, or an array of them"
    """What to do if there are no events."""


@dataclass
class BackfillResult:
    """The outcome of a backfill. Each event of the file is accepted, a copy, or refused."""

    run: str = ""
    events: int = 0
    accepted: int = 0
    copies: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    days: tuple[str, ...] = ()
    files: int = 0
    seconds: float = 0.0
    rejects: Path | None = None
    """File of the refused lines; None: there are none."""
    same_as: Backfilled | None = None
    """The earlier run that backfilled the same content; nothing was done."""
    not_indexed: str | None = None
    """Why `find_event` has to index first, a sentence; None: it need not."""


def backfill(
    settings: Settings,
    origin: Origin,
    *,
    now_ms: int | None = None,
    on_progress: Callable[[int], None] = lambda events: None,
    on_refused: Callable[[RefusedLine], None] = lambda line: None,
    lock_seconds: float = _LOCK_SECONDS,
) -> BackfillResult:
    """Add game events to the history. The same content twice adds it once, and so does each event by its id.

    Args:
        settings: the stack; no server of it need run.
        origin: the events.
        now_ms: the run's time; default: the clock.
        on_progress: receives the number of events read, now and then.
        on_refused: receives each refused line.
        lock_seconds: how long to wait for another backfill.

    Raises:
        ReadingError: the content has no events, cannot be read to its end, or changed meanwhile; nothing was added.
        ArchiveDamagedError, ArchiveLayoutError: the history cannot be used.
        ArchiveBusyError: another backfill is running; worth another try.
    """
    started = time.monotonic()
    at_ms = int(time.time() * 1000) if now_ms is None else now_ms
    folder = history_folder(settings)
    with exclusive(folder, lock_seconds):
        manifest = load_manifest(folder)
        if not manifest.chapters:
            manifest = manifest.opened(
                Chapter(opened_at=utc_text(at_ms), reason="game events that did not come through Kafka")
            )
            save_manifest(folder, manifest)
        remove_leftovers(folder, manifest)
        earlier = _same_content(manifest, origin.known_sha256)
        if earlier is not None:
            return BackfillResult(run=earlier.run, same_as=earlier, seconds=time.monotonic() - started)
        verify_files(folder, manifest.files, mendable=False)
        run = _Run(settings, manifest, origin, at_ms, on_refused)
        result = run.complete(on_progress)
    result.not_indexed = try_to_index(settings, folder.name)
    result.seconds = time.monotonic() - started
    return result


def _same_content(manifest: Manifest, sha256: str | None) -> Backfilled | None:
    """An earlier run that would decide alike on the same content: same rule, and no event waits for its time."""
    found = [one for one in runs_of(manifest) if one.sha256 == sha256 and one.rules == rules_digest()]
    return next((one for one in reversed(found) if GameReason.FUTURE_TIMESTAMP not in one.refused), None)


class _Run:
    """One run, under the lock.

    Args:
        settings: the stack.
        manifest: of the history.
        origin: the events.
        at_ms: the run's time, milliseconds.
        on_refused: receives each refused line.
    """

    def __init__(
        self,
        settings: Settings,
        manifest: Manifest,
        origin: Origin,
        at_ms: int,
        on_refused: Callable[[RefusedLine], None],
    ) -> None:
        self.folder = history_folder(settings)
        self.manifest = manifest
        self.origin = origin
        self.at_ms = at_ms
        self.result = BackfillResult(run=uuid.uuid4().hex[:12])
        self.rows = HistoryRows(history_source(settings), Tables(settings.enrichment_dir), self.result.run, at_ms)
        self.refused = RefusedLines(origin.rejects, on_refused)
        self.suppression = load_suppression(settings)

    def complete(self, on_progress: Callable[[int], None]) -> BackfillResult:
        """Judge, stage, drop copies, write, and name the files: in that order, so that it counts at the very end."""
        result = self.result
        with Staging(staging_folder(self.folder, result.run), self.rows.schema) as staging, self.refused:
            for table in self._judged(on_progress):
                staging.add(table)
            staging.flush()
            if not result.events:
                raise ReadingError(f"{self.origin.name} has no events; {self.origin.if_empty}.")
            sha256 = self.origin.sha256()
            earlier = _same_content(self.manifest, sha256)
            if earlier is not None:
                return BackfillResult(run=earlier.run, same_as=earlier)
            self._drop_copies(staging)
            writer = DayFiles(self.folder, self.manifest, result.run)
            files = [file for day in staging.days for file in writer.write(day, staging.kept(day))]
            result.files, result.accepted = len(files), sum(file.rows for file in files)
            result.days = dates_of({file.partition for file in files})
            result.rejects = self.refused.written
            save_manifest(self.folder, self.manifest.extended(*files, self._provenance(sha256)))
        return result

    def _judged(self, on_progress: Callable[[int], None]) -> Iterator[pa.Table]:
        """Tables of the accepted events; the others are counted and set aside."""
        result = self.result
        for batch in _batches(self.origin.events):
            accepted: list[Placed] = []
            for sample in batch:
                outcome = self.rows.outcome(sample)
                if not isinstance(outcome, GameRefused) and self.suppression(outcome.user_id):
                    result.refused[ERASED] += 1  # its content is set aside nowhere
                elif self.suppression and isinstance(outcome, GameRefused) and holds(sample.value, self.suppression):
                    result.refused[ERASED] += 1
                elif isinstance(outcome, GameRefused):
                    result.refused[outcome.reason.value] += 1
                    line = RefusedLine(sample.line, outcome.reason.value, outcome.field, outcome.detail)
                    self.refused.add(line, sample.value)
                else:
                    accepted.append(Placed(result.events, sample.line, sample.value, outcome))
                result.events += 1
            if accepted:
                yield suppressed_rows(self.rows.table(accepted), self.suppression)
            on_progress(result.events)

    def _drop_copies(self, staging: Staging) -> None:
        archived = [self.folder / file.path for file in self.manifest.files]
        self.result.copies, conflicts = staging.find_copies(archived)
        if conflicts:
            self.result.refused[GameReason.DUP_CONFLICT.value] += conflicts
            for one in staging.conflicts():
                line = RefusedLine(one["line"], GameReason.DUP_CONFLICT.value, "event_id", _TAKEN)
                self.refused.add(line, one["value"])

    def _provenance(self, sha256: str) -> Backfilled:
        result = self.result
        return Backfilled(
            run=result.run,
            at=utc_text(self.at_ms),
            by=self.origin.by,
            name=self.origin.name,
            sha256=sha256,
            rules_version=RULES_VERSION,
            rules=rules_digest(),
            geo_version=self.rows.geo.version,
            device_version=self.rows.devices.version,
            events=result.events,
            accepted=result.accepted,
            copies=result.copies,
            refused=dict(sorted(result.refused.items())),
            days=result.days,
        )


def _batches(events: Iterable[Sample]) -> Iterator[list[Sample]]:
    """Events in batches that are bounded in number and in bytes."""
    batch: list[Sample] = []
    size = 0
    for sample in events:
        batch.append(sample)
        size += len(sample.value)
        if len(batch) >= _BATCH_EVENTS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
