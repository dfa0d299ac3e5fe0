"""Backfill: a file of old game events into the history, each event once.

A run stages its rows, drops the copies, writes one or more files for each UTC date, and then names all of them in the
manifest at once, with its provenance. Until then it does not count, and the next run removes what it left.
"""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from gamestream_dagster.archive.decode import ENVELOPE
from gamestream_dagster.archive.digests import sha256_of, verify_files
from gamestream_dagster.archive.history import (
    date_of,
    dates_of,
    history_folder,
    history_source,
    runs_of,
    utc_text,
)
from gamestream_dagster.archive.history_rows import PLACE, HistoryRows, Placed
from gamestream_dagster.archive.history_staging import Staging
from gamestream_dagster.archive.id_index import try_to_index
from gamestream_dagster.archive.leftovers import chapter_folder
from gamestream_dagster.archive.manifest import (
    ArchivedFile,
    Chapter,
    Manifest,
    exclusive,
    load_manifest,
    save_manifest,
    sync_folder,
)
from gamestream_dagster.archive.provenance import Backfilled, rules_digest
from gamestream_dagster.archive.refused_lines import RefusedLine, RefusedLines
from gamestream_dagster.archive.run_leftovers import remove_leftovers, staging_folder
from gamestream_dagster.catalogue.game_rules import RULES_VERSION
from gamestream_dagster.enrichment.tables import Tables
from gamestream_dagster.events.game_files import Sample
from gamestream_dagster.events.game_outcome import GameReason, GameRefused
from gamestream_dagster.settings import Settings

FILE_ROWS: Final = 250_000
_BATCH: Final = 10_000
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
    known_sha256: str | None = None
    """The same if it is known before."""
    rejects: Path = Path("refused.jsonl")


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
        ReadingError: the content cannot be read to its end, or changed meanwhile; nothing was added.
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
        result = _run(settings, manifest, origin, at_ms, on_progress, on_refused)
    result.not_indexed = try_to_index(settings, folder.name)
    result.seconds = time.monotonic() - started
    return result


def _same_content(manifest: Manifest, sha256: str | None) -> Backfilled | None:
    """An earlier run that would decide alike on the same content: same rule, and no event waits for its time."""
    found = [one for one in runs_of(manifest) if one.sha256 == sha256 and one.rules == rules_digest()]
    return next((one for one in reversed(found) if GameReason.FUTURE_TIMESTAMP not in one.refused), None)


def _run(
    settings: Settings,
    manifest: Manifest,
    origin: Origin,
    at_ms: int,
    on_progress: Callable[[int], None],
    on_refused: Callable[[RefusedLine], None],
) -> BackfillResult:
    folder = history_folder(settings)
    result = BackfillResult(run=uuid.uuid4().hex[:12])
    rows = HistoryRows(history_source(settings), Tables(settings.enrichment_dir), result.run, at_ms)
    with (
        Staging(staging_folder(folder, result.run), rows.schema) as staging,
        RefusedLines(origin.rejects, on_refused) as refused,
    ):
        for table in _judged(rows, origin.events, result, refused, on_progress):
            staging.add(table)
        staging.flush()
        sha256 = origin.sha256()
        earlier = _same_content(manifest, sha256)
        if earlier is not None:
            return BackfillResult(run=earlier.run, same_as=earlier)
        result.copies, conflicts = staging.find_copies([folder / file.path for file in manifest.files])
        if conflicts:
            result.refused[GameReason.DUP_CONFLICT.value] += conflicts
            for one in staging.conflicts():
                line = RefusedLine(one["line"], GameReason.DUP_CONFLICT.value, "event_id", _TAKEN)
                refused.add(line, one["value"])
        files = [file for day in staging.days for file in _written(folder, manifest, result.run, day, staging.kept(day))]
        result.files, result.accepted = len(files), sum(file.rows for file in files)
        result.days = dates_of(sorted({file.partition for file in files}))
        result.rejects = refused.written
        entry = Backfilled(
            run=result.run,
            at=utc_text(at_ms),
            by=origin.by,
            name=origin.name,
            sha256=sha256,
            rules_version=RULES_VERSION,
            rules=rules_digest(),
            geo_version=rows.geo.version,
            device_version=rows.devices.version,
            events=result.events,
            accepted=result.accepted,
            copies=result.copies,
            refused=dict(sorted(result.refused.items())),
            days=result.days,
        )
        save_manifest(folder, manifest.extended(*files, entry))
    return result


def _judged(
    rows: HistoryRows,
    events: Iterable[Sample],
    result: BackfillResult,
    refused: RefusedLines,
    on_progress: Callable[[int], None],
) -> Iterator[pa.Table]:
    """Tables of the accepted events; the others are counted and set aside."""
    given = iter(events)
    while batch := list(islice(given, _BATCH)):
        accepted: list[Placed] = []
        for sample in batch:
            outcome = rows.outcome(sample)
            if isinstance(outcome, GameRefused):
                result.refused[outcome.reason.value] += 1
                refused.add(RefusedLine(sample.line, outcome.reason.value, outcome.field, outcome.detail), sample.value)
            else:
                accepted.append(Placed(result.events, sample.line, sample.value, outcome))
            result.events += 1
        if accepted:
            yield rows.table(accepted)
        on_progress(result.events)


def _written(
    folder: Path, manifest: Manifest, run: str, day: int, tables: Iterable[pa.Table]
) -> Iterator[ArchivedFile]:
    """Write the rows of one date, at most `FILE_ROWS` a file; they count once the manifest names the files."""
    at = manifest.current.next_offset(day)
    held: list[pa.Table] = []
    size = 0
    for table in tables:
        held.append(table)
        size += table.num_rows
        if size >= FILE_ROWS:
            yield _file(folder, manifest, run, day, at, pa.concat_tables(held))
            at, held, size = at + size, [], 0
    if held:
        yield _file(folder, manifest, run, day, at, pa.concat_tables(held))


def _file(folder: Path, manifest: Manifest, run: str, day: int, first: int, staged: pa.Table) -> ArchivedFile:
    end = first + staged.num_rows
    place = staged.schema.get_field_index("offset")
    table = staged.set_column(place, staged.schema.field(place), pa.array(range(first, end), pa.int64()))
    table = table.drop_columns([PLACE])
    target = folder / chapter_folder(manifest) / f"date={date_of(day):%Y-%m-%d}"
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"{day}-{first}-{end - 1}-{run}.parquet"
    with path.open("wb") as file:
        pq.write_table(table, file, compression="zstd", compression_level=1, use_dictionary=True)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(target)
    return ArchivedFile(
        path=str(path.relative_to(folder)),
        sha256=sha256_of(path),
        partition=day,
        from_offset=first,
        first_offset=first,
        last_offset=end - 1,
        next_offset=end,
        records=staged.num_rows,
        rows=staged.num_rows,
        gaps=(),
        columns=tuple(name for name in table.column_names if name not in ENVELOPE.names),
    )
