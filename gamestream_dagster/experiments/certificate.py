"""The certificate of an experiment: data, plan and numbers by their digests, to be computed again by anybody.

A certificate is no signature: it shows that data, plan and numbers still belong together, not who wrote it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gamestream_dagster.archive.digests import sha256_of
from gamestream_dagster.archive.manifest_file import load_manifest
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.clients.topic_identity import TopicId
from gamestream_dagster.experiments.archive_players import archived_players
from gamestream_dagster.experiments.errors import ExperimentCertificateError, PlanError, PlayersError
from gamestream_dagster.experiments.plan import Plan
from gamestream_dagster.experiments.player_file import PlayerFile
from gamestream_dagster.experiments.readout import Readout, library_versions, read_out
from gamestream_dagster.reconciliation.certificates.pinned import ArchivePart, chapter_of, other_events
from gamestream_dagster.reconciliation.certificates.pinned import Disagreement as BoardDisagreement
from gamestream_dagster.settings import Settings

KIND: Final = "experiment"
VERSION: Final = 1
_MOST_BYTES: Final = 50_000_000
_RELATIVE: Final = 1e-9
"""DuckDB adds in the order in which its threads finish, so that the last digits of a sum differ."""
_ABSOLUTE: Final = 1e-12
_SHOWN: Final = 10


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileData(_Part):
    """The file that the players were read from."""

    name: str = Field(description="Without its folder.")
    bytes: int
    sha256: str


class CutData(_Part):
    """The events that the players were read from: those of an archived topic before a cut."""

    topic: str
    topic_id: TopicId | None = Field(description="Kafka's id of the topic that the offsets belong to.")
    offsets: dict[int, int] = Field(description="The cut: next offset by partition.")
    holds_from: dict[int, int] = Field(description="Where the archive began, by partition; 0 for those left out.")
    archive_head: str = Field(description="Digest of the archive's newest entry then: it pins every file before it.")
    archive: dict[int, ArchivePart] = Field(description="By partition; those without a record are left out.")


class ExperimentCertificate(_Part):
    """A readout with what it was computed from. Every digest is SHA-256 in hex digits."""

    kind: Literal["experiment"]
    version: Literal[1]
    file: FileData | None = Field(default=None, description="Of players from a file.")
    cut: CutData | None = Field(default=None, description="Of players from the archive.")
    plan: Plan
    plan_digest: str
    readout: Readout
    libraries: dict[str, str] = Field(description="Versions of what computed the numbers.")
    made_at: datetime
    digest: str = Field(description="Of everything above, as canonical JSON.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.file is None) == (self.cut is None):
            raise ValueError("it has either a `file` or a `cut`")
        return self


class Part(StrEnum):
    """What of a certificate can disagree."""

    FILE = "FILE"  # the certificate was changed after it was made
    PLAN = "PLAN"  # the plan is not that of its digest
    DATA = "DATA"  # the file with the players is another one
    GONE = "GONE"  # the file with the players is not there: nothing can be recomputed
    ARCHIVE = "ARCHIVE"  # the archive holds other events before the cut, or its log was written anew
    OFFSETS = "OFFSETS"  # the archive does not hold the range at all: nothing can be recomputed
    TOPIC = "TOPIC"  # the archive holds no chapter of the certificate's topic: nothing can be recomputed
    NUMBERS = "NUMBERS"  # the recomputed readout has other numbers


UNKNOWN: Final = frozenset({Part.GONE, Part.OFFSETS, Part.TOPIC})
"""With one of these nothing could be recomputed."""


@dataclass(frozen=True)
class Disagreement:
    """One thing that does not agree, in a sentence."""

    part: Part
    sentence: str


def certify_file(file: PlayerFile, plan: Plan, as_of: datetime) -> ExperimentCertificate:
    """Read an experiment from a file, and certify what was read.

    Args:
        file: the players.
        plan: what was decided before.
        as_of: UTC; the moment that a horizon in time is compared with.

    Raises:
        PlayersError: the players cannot be compared, or the file changed meanwhile.
    """
    data, readout = _read(file, plan, as_of)
    return _sealed(plan, readout, file=data)


def certify_archive(settings: Settings, plan: Plan) -> ExperimentCertificate:
    """Read an experiment from the archive of a stack as far as it goes, and certify what was read.

    Raises:
        PlanError: the plan measures what no event has.
        PlayersError: nobody was exposed.
        ArchiveError: the archive cannot be read.
    """
    with archived_players(settings) as players:
        readout = read_out(plan, players.sample(plan), players.as_of)
        archive = players.archive
        cut = CutData(
            topic=RAW_TOPIC,
            topic_id=archive.chapter.topic_id,
            offsets=dict(players.at.cut),
            holds_from=dict(archive.chapter.begins),
            archive_head=archive.manifest.head,
            archive={part: ArchivePart.model_validate(held) for part, held in players.digests().items()},
        )
    return _sealed(plan, readout, cut=cut)


def _sealed(plan: Plan, readout: Readout, **data: FileData | CutData) -> ExperimentCertificate:
    content: dict[str, Any] = {
        "kind": KIND,
        "version": VERSION,
        **data,
        "plan": plan,
        "plan_digest": plan.digest,
        "readout": readout,
        "libraries": library_versions(),
        "made_at": datetime.now(UTC).replace(microsecond=0),
        "digest": "",
    }
    made = ExperimentCertificate.model_validate(content)
    return made.model_copy(update={"digest": own_digest(made)})


def own_digest(certificate: ExperimentCertificate) -> str:
    """Of all of it but the digest itself, and fields that are left as they are by default: later versions have more."""
    content = certificate.model_dump(mode="json", exclude={"digest"}, exclude_defaults=True)
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def is_experiment(path: Path) -> bool:
    """Whether a file says that it is the certificate of an experiment; one that cannot be read does not."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return False
        found = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("kind") == KIND


def read_experiment_certificate(path: Path) -> ExperimentCertificate:
    """A certificate from its file, of which `is_experiment` holds.

    Raises:
        ExperimentCertificateError: it is no certificate, or has a version that is not known.
    """
    content = orjson.loads(path.read_bytes())
    if content.get("version") != VERSION:
        raise ExperimentCertificateError(
            f"{path} has the version {content.get('version')!r}, this gamestream reads {VERSION}",
            "verify it with the one that made it",
        )
    try:
        return ExperimentCertificate.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ExperimentCertificateError(
            f"{path} is no certificate: `{place}`: {first['msg']}", "name a file that `gamestream experiment` wrote"
        ) from error


def verify_experiment(
    certificate: ExperimentCertificate, settings: Settings, beside: Path, data: Path | None = None
) -> list[Disagreement]:
    """What does not agree between a certificate, its plan and its data; nothing: all of it holds.

    Args:
        certificate: as it was read.
        settings: the stack with the archive, of a certificate over one.
        beside: folder of the certificate, in which its file is looked for.
        data: where the file is; default: beside the certificate.

    Raises:
        ArchiveError: the archive cannot be read.
    """
    found = [*_of_itself(certificate)]
    if certificate.cut is not None:
        return [*found, *_of_cut(certificate, certificate.cut, settings)]
    if certificate.file is None:
        raise ValueError("a certificate has a file or a cut")
    # The name comes from the certificate: a path in it leads nowhere.
    return [*found, *_of_file(certificate, certificate.file, data or beside / Path(certificate.file.name).name)]


def _of_file(certificate: ExperimentCertificate, held: FileData, data: Path) -> Iterator[Disagreement]:
    if not data.is_file():
        sentence = f"{data} is not there, so nothing can be recomputed; bring it back, or name it with --data"
        yield Disagreement(Part.GONE, sentence)
        return
    now = sha256_of(data)
    if now != held.sha256:
        sentence = f"{data} is not the file of then (SHA-256 {now[:12]}, not {held.sha256[:12]})"
        yield Disagreement(Part.DATA, sentence)
        return
    try:
        _, readout = _read(PlayerFile(data), certificate.plan, certificate.readout.as_of)
    except PlayersError as error:
        yield Disagreement(Part.NUMBERS, f"the plan cannot be read from the file: {error.reason}")
        return
    yield from _other_numbers(certificate, readout)


def _of_cut(certificate: ExperimentCertificate, held: CutData, settings: Settings) -> Iterator[Disagreement]:
    if held.topic != RAW_TOPIC:
        yield Disagreement(Part.TOPIC, f"it is of the topic {held.topic!r}, exposures are in {RAW_TOPIC}")
        return
    place, about = chapter_of(load_manifest(settings.archive_dir / held.topic), held)
    yield from _as_ours(about)
    if place is None:
        return
    with archived_players(settings, chapter=place, cut=held.offsets) as players:
        yield from _as_ours(other_events(players.digests(), held))
        try:
            readout = read_out(certificate.plan, players.sample(certificate.plan), players.as_of)
        except (PlanError, PlayersError) as error:
            yield Disagreement(Part.NUMBERS, f"the plan cannot be read from the archive: {error.reason}")
            return
    yield from _other_numbers(certificate, readout)


def _as_ours(found: Iterable[BoardDisagreement]) -> Iterator[Disagreement]:
    for one in found:
        yield Disagreement(Part(one.part.value), one.sentence)


def _read(file: PlayerFile, plan: Plan, as_of: datetime) -> tuple[FileData, Readout]:
    before = _file_data(file.path)
    readout = read_out(plan, file.sample(plan), as_of)
    if _file_data(file.path) != before:
        raise PlayersError(f"{file.path} was changed while it was read", "run the command again when it is whole")
    return before, readout


def _file_data(path: Path) -> FileData:
    try:
        return FileData(name=path.name, bytes=path.stat().st_size, sha256=sha256_of(path))
    except OSError as error:
        raise PlayersError(f"{path} cannot be read ({error.strerror})", "give a CSV file of players") from error


def _of_itself(certificate: ExperimentCertificate) -> Iterator[Disagreement]:
    if own_digest(certificate) != certificate.digest:
        yield Disagreement(Part.FILE, "the file is not that of its `digest`: it was changed after it was made")
    if certificate.readout.as_of > datetime.now(UTC):
        yield Disagreement(
            Part.FILE, f"it was read at {certificate.readout.as_of:%Y-%m-%d %H:%M} UTC, which is to come"
        )
    if certificate.plan.digest != certificate.plan_digest:
        yield Disagreement(Part.PLAN, "the plan in the file is not that of its `plan_digest`: it was changed")


def _other_numbers(certificate: ExperimentCertificate, readout: Readout) -> Iterator[Disagreement]:
    then, now = (_flat(one.model_dump(mode="json")) for one in (certificate.readout, readout))
    places = [place for place in {**then, **now} if not _same(then.get(place), now.get(place))]
    for place in places[:_SHOWN]:
        told = f"`{place}` is {then.get(place)!r}, the recompute says {now.get(place)!r}"
        yield Disagreement(Part.NUMBERS, told)
    if len(places) > _SHOWN:
        yield Disagreement(Part.NUMBERS, f"{len(places) - _SHOWN} other numbers differ")
    if places and (other := _other_versions(certificate.libraries)):
        yield Disagreement(Part.NUMBERS, f"the versions differ, too: {other}; verify it with those of then")


def _other_versions(then: Mapping[str, str]) -> str:
    now = library_versions()
    return ", ".join(
        f"{name} {then.get(name, 'none')} (now {now.get(name, 'none')})"
        for name in {**then, **now}
        if then.get(name) != now.get(name)
    )


def _flat(value: Any, place: str = "") -> dict[str, Any]:
    """The leaves of nested data by their place."""
    if isinstance(value, dict):
        parts = [_flat(inner, f"{place}.{name}" if place else name) for name, inner in value.items()]
    elif isinstance(value, list):
        parts = [_flat(inner, f"{place}[{at}]") for at, inner in enumerate(value)]
    else:
        return {place: value}
    return {where: leaf for part in parts for where, leaf in part.items()}


def _same(then: Any, now: Any) -> bool:
    if isinstance(then, float) and isinstance(now, float):
        return math.isclose(then, now, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
    return type(then) is type(now) and then == now
