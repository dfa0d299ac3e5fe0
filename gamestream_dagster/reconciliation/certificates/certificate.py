"""Certificates: a board at an exact cut, with all that somebody needs to compute it again and see that it agrees.

A certificate is no signature: it shows that rows, events and SQL still belong together, not who wrote it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR, Board, ColumnRole, load_boards
from gamestream_dagster.catalogue.seasons import SeasonError, SeasonSpan, season_named
from gamestream_dagster.catalogue.sources import Source, source_of_board, stack_sources
from gamestream_dagster.clients.topic_identity import TopicId, incarnation, other_incarnation
from gamestream_dagster.events.suppression import Suppression, load_suppression
from gamestream_dagster.reconciliation.certificates.pinned import (
    ArchivePart,
    Disagreement,
    Part,
    chapter_of,
    other_events,
)
from gamestream_dagster.reconciliation.compare.findings import entity_of
from gamestream_dagster.reconciliation.errors import CouldNotLookError
from gamestream_dagster.reconciliation.model.values import Row
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows, rows_of
from gamestream_dagster.reconciliation.recompute.events_at import EventsAt
from gamestream_dagster.reconciliation.recompute.factory import open_recompute
from gamestream_dagster.reconciliation.recompute.facts import digests
from gamestream_dagster.settings import Season, Settings

VERSION = 2
"""1 had no topic id, no beginning and no head of the archive: what it holds is verified, its identity is not known."""

_VERSIONS = (1, VERSION)
_SINCE_2 = frozenset({"topic_id", "holds_from", "archive_head"})
_MOST_BYTES = 50_000_000


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Certificate(_Part):
    """A board at a cut. Every digest is SHA-256 in hex digits, of canonical JSON or of a file's bytes."""

    version: int
    board: str
    season: Season = Field(description="`none`: the board of all time.")
    season_id: str | None = Field(description="Start of the season, UTC.")
    topic: str
    topic_id: TopicId | None = Field(default=None, description="Kafka's id of the topic that the offsets belong to.")
    offsets: dict[int, int] = Field(description="The cut: next offset by partition.")
    holds_from: dict[int, int] = Field(
        default_factory=dict, description="Where the archive began, by partition; 0 for those left out."
    )
    archive_head: str | None = Field(
        default=None, description="Digest of the archive's newest entry then: it pins every file before it."
    )
    archive: dict[int, ArchivePart] = Field(description="By partition; those without a record are left out.")
    recompute_digest: str = Field(description="Of the board's recompute.sql.")
    board_digest: str = Field(description="Of the board's output.yaml.")
    rows: list[dict[str, Any]] = Field(description="Best first; times in milliseconds.")
    rows_digest: str
    run_id: str | None = Field(
        description="The reconciliation that compared these rows with the streamed ones, if any."
    )
    verdict: str | None
    fingerprint: str | None = Field(description="Of the job that streamed them.")
    made_at: str
    digest: str = Field(description="Of everything above.")


@dataclass(frozen=True)
class Proof:
    """What a reconciliation said of the rows."""

    run_id: str | None = None
    verdict: str | None = None
    fingerprint: str | None = None
    topic_id: TopicId | None = None


def certify(
    archive: ArchiveDatabase, source: Source, at: EventsAt, board: Board, proof: Proof, *, season: Season = Season.NONE
) -> Certificate:
    """The certificate of a board at a cut that the archive reaches, or of the season that the events are of.

    Args:
        archive: over the board's topic.
        at: the events; of one season for a board of seasons.
        board: description.
        proof: what a reconciliation said of the rows.
        season: how long the seasons are.

    Raises:
        CouldNotLookError: the cut was of another incarnation of the topic than the archive's chapter.
    """
    archived = archive.chapter.topic_id
    if other_incarnation(proof.topic_id, archived):
        raise CouldNotLookError(
            f"{source.topic} was deleted and created again since the reconciliation "
            f"({incarnation(proof.topic_id)}, now {incarnation(archived)})",
            "run the command again",
        )
    rows = board_rows(archive, at, board)
    span = at.season
    data: dict[str, Any] = {
        "version": VERSION,
        "board": board.name,
        "season": (season if span else Season.NONE).value,
        "season_id": span.label if span else None,
        "topic": source.topic,
        "topic_id": archive.chapter.topic_id,
        "holds_from": dict(archive.chapter.begins),
        "archive_head": archive.manifest.head,
        "offsets": dict(sorted(at.cut.items())),
        "archive": digests(archive, archive.at(at.cut)),
        "recompute_digest": _digest_of(board.folder / "recompute.sql"),
        "board_digest": _digest_of(board.folder / "output.yaml"),
        "rows": rows,
        "rows_digest": _digest(rows),
        "run_id": proof.run_id,
        "verdict": proof.verdict,
        "fingerprint": proof.fingerprint,
        "made_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "digest": "",
    }
    made = Certificate.model_validate(data)
    return made.model_copy(update={"digest": own_digest(made)})


def own_digest(certificate: Certificate) -> str:
    """Of all of it but the digest itself."""
    later = _SINCE_2 if certificate.version == 1 else frozenset[str]()
    return _digest(certificate.model_dump(mode="json", exclude={"digest", *later}))


def read_certificate(file: Path) -> Certificate:
    """A certificate from its file.

    Raises:
        CouldNotLookError: it cannot be read, is no certificate, or has a version that is not known.
    """
    again = "name a file that `gamestream certificate make` wrote"
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise CouldNotLookError(f"{file} is larger than any certificate", again)
        found = orjson.loads(file.read_bytes())
    except OSError as error:
        raise CouldNotLookError(f"{file} cannot be read ({error.strerror})", again) from error
    except orjson.JSONDecodeError as error:
        raise CouldNotLookError(f"{file} is not JSON ({error.msg} in line {error.lineno})", again) from error
    if not isinstance(found, dict) or "version" not in found:
        raise CouldNotLookError(f"{file} is JSON, but no certificate: it has no `version`", again)
    version = cast("dict[str, Any]", found)["version"]
    if version not in _VERSIONS:
        raise CouldNotLookError(
            f"{file} has the version {version!r}, this gamestream reads {' and '.join(map(str, _VERSIONS))}",
            "verify it with the one that made it",
        )
    try:
        return Certificate.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CouldNotLookError(f"{file} is no certificate: `{place}`: {first['msg']}", again) from error


def verify(settings: Settings, certificate: Certificate, root: Path = FLINK_SQL_DIR) -> list[Disagreement]:
    """What does not agree between a certificate, the project's SQL and the archive; nothing: all of it holds.

    Of a certificate from before an erase the file, the SQL and the archive's log are compared, and of the rows those of
    players who were not erased, as far as their own events give them (`emptied_since`).

    Raises:
        CouldNotLookError: there is no such board here, or the file's season is none.
        ArchiveError: the archive cannot be read.
    """
    board = load_boards(root, season=None).get(certificate.board)
    if board is None:
        raise CouldNotLookError(
            f"there is no board {certificate.board!r} here", "verify it in the project that it is of"
        )
    span = _span(board, certificate)
    found = [*_file(certificate), *_sql(board, certificate)]
    source = source_of_board(board, stack_sources(settings))
    if certificate.topic != source.topic:
        sentence = f"it is of the topic {certificate.topic!r}, and {board.name} is computed from {source.topic} here"
        return [*found, Disagreement(Part.TOPIC, sentence)]
    place, about = chapter_of(load_manifest(settings.archive_dir / source.topic), certificate)
    found += about
    if place is None:
        return found
    with open_recompute(settings, source, chapter=place) as archive:
        at = archive.at(certificate.offsets)
        if archive.manifest.emptied_since(certificate.archive_head, place):
            # what erased players did cannot be recomputed; the log pins what was emptied
            return found + _other_players(
                archive, replace(at, season=span), board, certificate, load_suppression(settings)
            )
        found += other_events(digests(archive, at), certificate)
        rows = board_rows(archive, replace(at, season=span), board)
    return found + _other_rows(board, certificate, rows)


def _other_players(
    archive: ArchiveDatabase, at: EventsAt, board: Board, certificate: Certificate, suppression: Suppression
) -> list[Disagreement]:
    """Rows of players who were not erased whose values are not those of the players' own events.

    Ranks, and columns over several players, cannot be told without the erased ones.
    """
    if board.window is not None or "user_id" not in board.entity:
        return []
    named = [row for row in certificate.rows if isinstance(user := row.get("user_id"), str) and user]
    named = [row for row in named if not suppression(row["user_id"])]
    own = [
        name
        for name, column in board.columns.items()
        if (column.role is ColumnRole.LABEL and not column.over) or set(board.entity) <= set(column.over)
    ]
    now = rows_of(archive, at, board, [entity_of(board, row) for row in named])
    found: list[Disagreement] = []
    for row in named:
        entity = entity_of(board, row)
        held = now.get(entity)
        for name in own:
            is_now = None if held is None else held[name]
            if row.get(name) != is_now:
                told = (
                    f"{' / '.join(entity_of(board, row))}: {name} is {row.get(name)!r}, the recompute says {is_now!r}"
                )
                found.append(Disagreement(Part.ROWS, told))
    return found


def emptied_since(settings: Settings, certificate: Certificate) -> int:
    """Archived rows that erasures have emptied since a certificate was made: it cannot be recomputed any more."""
    manifest = load_manifest(settings.archive_dir / certificate.topic)
    place, _ = chapter_of(manifest, certificate)
    return 0 if place is None else manifest.emptied_since(certificate.archive_head, place)


def resealed(data: dict[str, Any]) -> dict[str, Any]:
    """A certificate as JSON data whose rows were changed by an erase, with the digests of what it holds now."""
    made = Certificate.model_validate({**data, "rows_digest": _digest(data["rows"])})
    return made.model_copy(update={"digest": own_digest(made)}).model_dump(mode="json")


def _span(board: Board, certificate: Certificate) -> SeasonSpan | None:
    if board.season_column is None and certificate.season_id is None:
        return None
    if board.season_column is None or certificate.season_id is None:
        word = "has no seasons" if board.season_column is None else "has seasons"
        raise CouldNotLookError(f"{board.name} {word}, unlike the certificate", "make a new certificate")
    try:
        return season_named(certificate.season, certificate.season_id)
    except SeasonError as error:
        raise CouldNotLookError(
            f"the certificate's season cannot be used ({error})", "make a new certificate"
        ) from error


def _file(certificate: Certificate) -> Iterator[Disagreement]:
    if _digest(certificate.rows) != certificate.rows_digest:
        yield Disagreement(Part.FILE, "the rows in the file are not those of its `rows_digest`: the file was changed")
    elif own_digest(certificate) != certificate.digest:
        yield Disagreement(Part.FILE, "the file is not that of its `digest`: it was changed after it was made")


def _sql(board: Board, certificate: Certificate) -> Iterator[Disagreement]:
    for name, then in (("recompute.sql", certificate.recompute_digest), ("output.yaml", certificate.board_digest)):
        now = _digest_of(board.folder / name)
        if now != then:
            sentence = f"{name} of {board.name} is not the one of then ({now[:12]}, not {then[:12]})"
            yield Disagreement(Part.SQL, sentence)


def _other_rows(board: Board, certificate: Certificate, rows: list[Row]) -> list[Disagreement]:
    kept, word = _keyed(board, certificate.rows), f"the values of {', '.join(board.key_columns)}"
    if kept is None and board.ranked:
        return [Disagreement(Part.ROWS, f"{word} are not whole numbers, best first and each once")]
    if kept is None:
        return [Disagreement(Part.ROWS, f"{word} are missing, or name a row twice")]
    now = _keyed(board, rows) or {}
    found: list[Disagreement] = []
    for key in sorted({*kept, *now}):
        place = f"{'rank ' if board.ranked else ''}{key}"
        if key not in now or key not in kept:
            which = "only the certificate" if key not in now else "only the recompute"
            found.append(Disagreement(Part.ROWS, f"{place}: {which} has it"))
            continue
        for name in sorted(kept[key].keys() - board.columns.keys()):
            found.append(Disagreement(Part.ROWS, f"{place}: the board has no column {name!r}"))
        for name in board.columns:
            was, is_now = kept[key].get(name), now[key][name]
            if type(was) is not type(is_now) or was != is_now:
                told = f"{place}: {name} is {was!r}, the recompute says {is_now!r}"
                found.append(Disagreement(Part.ROWS, told))
    return found


def _keyed(board: Board, rows: Sequence[Row]) -> dict[Any, Row] | None:
    """The rows of one season by rank, or by what they are about; None where they are not in order or not told apart."""
    if board.ranked:
        ranks = [rank for row in rows if type(rank := row.get(board.rank_column)) is int]
        in_order = len(ranks) == len(rows) and ranks == sorted(set(ranks))
        return {row[board.rank_column]: row for row in rows} if in_order else None
    if any(row.get(name) is None for row in rows for name in board.entity):
        return None
    found = {" / ".join(str(row[name]) for name in board.entity): row for row in rows}
    return found if len(found) == len(rows) else None


def _digest_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _digest(value: list[Row] | Mapping[str, Any]) -> str:
    options = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    return hashlib.sha256(orjson.dumps(value, option=options)).hexdigest()
