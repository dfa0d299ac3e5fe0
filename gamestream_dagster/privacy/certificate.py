"""The erase certificate: by store what was found, what is left, and until when that waits. It names no player.

A certificate is no signature: it shows that the stores are still as it says, not who wrote it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import ValidationError

from gamestream_dagster.events.suppression import load_suppression
from gamestream_dagster.privacy.certified import KIND, EraseCertificate, Place, Verdict
from gamestream_dagster.privacy.errors import EraseCertificateError
from gamestream_dagster.privacy.player import player_of_subject
from gamestream_dagster.privacy.stores.all import Stores, stores_of
from gamestream_dagster.privacy.stores.model import Found
from gamestream_dagster.settings import Settings

_MOST_BYTES: Final = 10_000_000


class Part(StrEnum):
    """What of an erase certificate can disagree."""

    FILE = "FILE"  # it was changed after it was made
    SUPPRESSED = "SUPPRESSED"  # the player is not on the suppression list
    FOUND = "FOUND"  # a store holds the player
    LATE = "LATE"  # what should have gone by itself is still there


@dataclass(frozen=True)
class Disagreement:
    """One thing that does not agree, in a sentence."""

    part: Part
    sentence: str


Scanned = Sequence[tuple[str, Found]]
"""What a scan found: name of the store, and the place."""


def scan_all(stores: Iterable[Any], player: Any) -> list[tuple[str, Found]]:
    """What all stores hold of a player."""
    return [(store.name, found) for store in stores for found in store.scan(player)]


@dataclass(frozen=True)
class Erased:
    """What a certificate is about."""

    request: int
    subject: str
    requested_at: datetime
    suppressed_at: datetime
    plan: Sequence[Mapping[str, Any]]
    """What every place held before anything was erased."""


def certify(erased: Erased, left: Scanned) -> EraseCertificate:
    """The certificate of an erase, from the frozen plan and the scan afterwards."""
    planned = {(one["store"], one["place"]): int(one["found"]) for one in erased.plan}
    held = {(store, found.place): found for store, found in left}
    places = tuple(
        _place(store, place, planned.get((store, place), 0), held.get((store, place)))
        for store, place in sorted({*planned, *held})
    )
    made = EraseCertificate(
        kind=KIND,
        version=1,
        request=erased.request,
        subject=erased.subject,
        requested_at=erased.requested_at,
        suppressed_at=erased.suppressed_at,
        made_at=datetime.now(UTC).replace(microsecond=0),
        verdict=_verdict(places),
        places=places,
        digest="",
    )
    return made.model_copy(update={"digest": own_digest(made)})


def _place(store: str, place: str, found: int, left: Found | None) -> Place:
    if left is None:
        return Place(store=store, place=place, found=found, removed=found, left=0, clean_at=None)
    at = None if left.clean_at is None else datetime.fromtimestamp(left.clean_at / 1000, UTC)
    removed = max(0, found - left.values)
    return Place(
        store=store, place=place, found=max(found, left.values), removed=removed, left=left.values, clean_at=at,
        why_left=left.why_left,
    )  # fmt: skip


def _verdict(places: Iterable[Place]) -> Verdict:
    left = [one for one in places if one.left]
    if not left:
        return Verdict.ERASED
    return Verdict.WAITS if all(one.clean_at is not None for one in left) else Verdict.INCOMPLETE


def own_digest(certificate: EraseCertificate) -> str:
    """Of all of it but the digest itself."""
    data = certificate.model_dump(mode="json", exclude={"digest"})
    return hashlib.sha256(orjson.dumps(data, option=orjson.OPT_SORT_KEYS)).hexdigest()


def is_erase(file: Path) -> bool:
    """Whether a file is an erase certificate, valid or not."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            return False
        found = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return False
    return isinstance(found, dict) and found.get("kind") == KIND


def read_erase_certificate(file: Path) -> EraseCertificate:
    """An erase certificate from its file.

    Raises:
        EraseCertificateError: it is none.
    """
    again = "name a file that `gamestream player erase` wrote"
    try:
        return EraseCertificate.model_validate_json(file.read_bytes())
    except OSError as error:
        raise EraseCertificateError(f"{file} cannot be read ({error.strerror})", again) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise EraseCertificateError(f"{file} is no erase certificate: `{place}`: {first['msg']}", again) from error


def verify(
    settings: Settings, certificate: EraseCertificate, stores: Stores | None = None, now: datetime | None = None
) -> list[Disagreement]:
    """Scan every store again, by the hash alone; nothing: they are as the certificate says.

    Raises:
        GamestreamError: a store does not answer, so that nothing can be said.
    """
    at = now or datetime.now(UTC)
    found: list[Disagreement] = []
    if own_digest(certificate) != certificate.digest:
        found.append(Disagreement(Part.FILE, "the file is not that of its `digest`: it was changed after it was made"))
    if certificate.subject not in load_suppression(settings).requests:
        sentence = "the player is not on the suppression list; run `gamestream player erase` again"
        found.append(Disagreement(Part.SUPPRESSED, sentence))
    certified = {(one.store, one.place): one for one in certificate.places}
    player = player_of_subject(settings, certificate.subject)
    made = (stores or stores_of(settings))(certificate.suppressed_at)
    for store, held in scan_all(made, player):
        found += _compared(certified.get((store, held.place)), store, held, at)
    return found


def _compared(certified: Place | None, store: str, held: Found, at: datetime) -> list[Disagreement]:
    where = f"{store}: {held.place} holds {held.values} of the player's values"
    if certified is None or certified.left == 0:
        return [Disagreement(Part.FOUND, f"{where}, and the certificate says 0; run `gamestream player erase` again")]
    if certified.clean_at is None:
        return [Disagreement(Part.FOUND, f"{where}; the erase left them: {certified.why_left or 'run it again'}")]
    clean_at = None if held.clean_at is None else datetime.fromtimestamp(held.clean_at / 1000, UTC)
    if clean_at is None or clean_at > certified.clean_at or held.values > certified.left:
        return [Disagreement(Part.FOUND, f"{where}, some of which came after the certificate")]
    if at > certified.clean_at:
        return [Disagreement(Part.LATE, f"{where}, which should have gone by {certified.clean_at:%Y-%m-%d %H:%M} UTC")]
    return []
