"""The form of an erase certificate, on its own: readers of certificates need none of the stores."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

KIND: Final = "erase"


class Verdict(StrEnum):
    """What an erase achieved."""

    ERASED = "ERASED"  # no store holds the player any more
    WAITS = "WAITS"  # what is left goes away by itself; the certificate says when
    INCOMPLETE = "INCOMPLETE"  # something is left that nothing removes; the certificate says what and why


class Place(BaseModel):
    """One place of a store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str
    place: str
    found: int = Field(description="Values before anything was erased.")
    removed: int = Field(description="Those of them that are gone.")
    left: int = Field(description="Values that the scan after the erase found.")
    clean_at: datetime | None = Field(description="When retention or compaction will have removed what is left.")
    why_left: str = ""


class EraseCertificate(BaseModel):
    """The certificate of one request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["erase"]
    version: Literal[1]
    request: int
    subject: str = Field(description="Keyed hash of the player.")
    requested_at: datetime
    suppressed_at: datetime
    made_at: datetime
    verdict: Verdict
    places: tuple[Place, ...]
    digest: str = Field(description="SHA-256 of everything above, as canonical JSON.")

    @property
    def clean_at(self) -> datetime | None:
        """When everything is gone; None: now, or nobody can tell."""
        return max((one.clean_at for one in self.places if one.clean_at is not None), default=None)
