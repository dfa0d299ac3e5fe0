"""`gamestream archive`: every record of the archived topics as Parquet, each offset once."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from gamestream_dagster.cli import panels
from gamestream_dagster.cli.console import PlainConsole
from gamestream_dagster.cli.dagster_link import archive_event, report
from gamestream_dagster.cli.hints import Talk, runnable
from gamestream_dagster.cli.options import AsJson, CouldNotRun, Home, PortBase, as_could_not_run, settings_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gamestream_dagster.archive.mending import MendedRange
    from gamestream_dagster.archive.writer import ArchiveResult
    from gamestream_dagster.catalogue.sources import Source
    from gamestream_dagster.settings import Settings

data = PlainConsole(width=None if sys.stdout.isatty() else 200)
talk = Talk(stderr=True)


class BeginAt(StrEnum):
    """Where a new chapter of the archive can begin."""

    EARLIEST = "earliest"


def register(app: typer.Typer) -> None:
    """Add the command to the tree."""
    app.command("archive", rich_help_panel=panels.PROOF)(archive)


def archive(  # noqa: PLR0917 - one parameter an option
    topic: Annotated[
        str | None, typer.Option(help="One topic; default: every topic with `archive: true` in topics.yaml.")
    ] = None,
    mend: Annotated[
        bool,
        typer.Option("--mend", help="First read again from Kafka what is missing or damaged in the newest chapter."),
    ] = False,
    begin_at: Annotated[
        BeginAt | None,
        typer.Option(
            help="Open a new chapter at the earliest records that Kafka still holds, and record what is gone before "
            "them. Earlier chapters stay for the certificates made from them."
        ),
    ] = None,
    home: Home = None,
    port_base: PortBase = None,
    as_json: AsJson = False,
) -> None:
    """Archive the events up to the topic's end, and check that every offset is archived exactly once.

    With --json one object a line, for each topic. Exit codes: 0 it is; 1 the archive has faults; 2 nothing could be
    archived.
    """
    settings = settings_from(home, port_base)
    if mend and begin_at is not None:
        raise CouldNotRun("--mend and --begin-at exclude each other: mend first, and begin anew where that fails.")
    faults = 0
    with as_could_not_run():
        for source in _sources(settings, topic):
            faults += len(_archive(settings, source, mend=mend, begin_at=begin_at, as_json=as_json))
    if not as_json:
        following = "gamestream archive --mend" if faults else "gamestream reconcile"
        talk.print(f"Done. FAULTS={faults}\nNext: {following}")
    raise typer.Exit(1 if faults else 0)


def _sources(settings: Settings, topic: str | None) -> list[Source]:
    from gamestream_dagster.catalogue.sources import source_named, stack_sources

    archived = {name: one for name, one in stack_sources(settings).items() if one.archived}
    return list(archived.values()) if topic is None else [source_named(topic, archived)]


def _archive(settings: Settings, source: Source, *, mend: bool, begin_at: BeginAt | None, as_json: bool) -> list[str]:
    """Archive one topic and print what became of it; the faults of its archive, a sentence each."""
    from gamestream_dagster.archive.id_index import try_to_index
    from gamestream_dagster.archive.manifest_file import load_manifest
    from gamestream_dagster.archive.mending import mend_archive
    from gamestream_dagster.archive.writer import archive_topic
    from gamestream_dagster.reconciliation.ledger.balance import archive_faults

    folder = settings.archive_dir / source.topic
    with talk.status(f"archiving {source.topic}") as status:
        mended = mend_archive(settings, source) if mend else []
        result = archive_topic(
            settings,
            source,
            begin_at_earliest=begin_at is BeginAt.EARLIEST,
            on_progress=lambda done, total: status.update(f"archiving {source.topic}: {done:,} of {total:,}"),
        )
        status.update(f"indexing the event ids of {source.topic}")
        result = replace(result, not_indexed=try_to_index(settings, source.topic))
        faults = [fault.sentence for fault in archive_faults(folder)]
        files = load_manifest(folder).files
    rows, records = sum(file.rows for file in files), sum(file.records for file in files)
    report(settings, [archive_event(result, rows, records)], _dim)
    if as_json:
        typer.echo(json.dumps(_as_json(result, records, mended, faults)))
    else:
        _show(result, records, len(files), mended, faults)
    return faults


def _as_json(
    result: ArchiveResult, records: int, mended: Sequence[MendedRange], faults: Sequence[str]
) -> dict[str, Any]:
    return {
        "topic": result.topic,
        "archived_upto": {str(part): at for part, at in result.archived_upto.items()},
        "total_records": records,
        "records": result.records,
        "refused": result.refused,
        "files": result.files,
        "not_indexed": result.not_indexed,
        "seconds": round(result.seconds, 3),
        "mended": [asdict(one) for one in mended],
        "faults": list(faults),
        "chapter": {
            "topic_id": result.chapter.topic_id,
            "opened": result.opened,
            "opened_at": result.chapter.opened_at,
            "reason": result.chapter.reason,
            "begins": {str(part): at for part, at in result.chapter.begins.items()},
            "lost": [one.model_dump() for one in result.chapter.lost],
        },
        "set_aside": None if result.set_aside is None else str(result.set_aside),
    }


def _show(
    result: ArchiveResult, records: int, files: int, mended: Sequence[MendedRange], faults: Sequence[str]
) -> None:
    from gamestream_dagster.reconciliation.model.cut import shown

    for one in mended:
        data.print(f"mended   p{one.partition}@{one.from_offset}..{one.next_offset - 1}  {one.records:,} records")
    rate = result.records / result.seconds if result.seconds else 0
    data.print(f"archive  {result.topic} {shown(result.archived_upto)}   {records:,} records in {files} files")
    data.print(
        f"new      {result.records:,} records in {result.files} files, {result.refused:,} of them refused   "
        f"{result.seconds:.1f} s   {rate:,.0f} records/s"
    )
    _show_chapter(result)
    if result.not_indexed is not None:
        data.print(Text("index    " + runnable(result.not_indexed)), soft_wrap=True)
    for fault in faults:
        data.print(Text("FAULT    " + runnable(fault), style="red"))


def _show_chapter(result: ArchiveResult) -> None:
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


def _dim(sentence: str) -> None:
    talk.print(Text(sentence, style="dim"))
