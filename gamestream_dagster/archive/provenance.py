"""Where the events of a backfill come from: one entry of the history's manifest for each run."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gamestream_dagster.catalogue.game_rules import rules_document


class Backfilled(BaseModel):
    """One backfill. It is written with the run's files at once, so a run counts as a whole or not at all.

    As every entry of a manifest it pins the entry before, so provenance cannot be edited unnoticed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: str = Field(default="", description="Digest of the entry before; empty for the first one.")
    kind: Literal["backfilled"] = "backfilled"
    run: str = Field(description="Id of the run; the column `run` of its rows, and part of its files' names.")
    at: str = Field(description="When the run began, UTC. Events of later than an hour after it were refused.")
    by: str = Field(description="Who ran it.")
    name: str = Field(description="The file's name, `standard input`, or the options of simulated lives.")
    sha256: str = Field(description="Of the file's bytes as they were, packed or not, in hex digits.")
    rules_version: int = Field(description="Version of the rule of game events.")
    rules: str = Field(description="SHA-256 of the whole rule (`rules_document`), in hex digits.")
    geo_version: str = Field(description="Table that countries were looked up in.")
    device_version: str = Field(description="Table that devices were looked up in.")
    events: int = Field(description="Events of the file: accepted, copies and refused.")
    accepted: int = Field(description="Events that the run added.")
    copies: int = Field(description="Events that the history, or the file further up, has already.")
    refused: dict[str, int] = Field(description="Refused events by reason.")
    days: tuple[str, ...] = Field(description="UTC dates that gained events.")


@cache
def rules_digest() -> str:
    """SHA-256 of the rule of game events, in hex digits."""
    return hashlib.sha256(rules_document().encode()).hexdigest()
