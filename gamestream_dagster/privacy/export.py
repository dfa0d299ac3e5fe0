"""Exports a player: one zip with a JSON-lines file for each place of a store, and a manifest."""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import orjson

from gamestream_dagster.privacy.player import Player, player_of
from gamestream_dagster.privacy.stores.all import Stores, stores_of
from gamestream_dagster.privacy.stores.model import Store
from gamestream_dagster.settings import Settings

MANIFEST: Final = "manifest.json"
_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9_/.-]+")


@dataclass(frozen=True)
class Exported:
    """What an export holds."""

    file: Path
    values: int
    """Rows of all files."""
    places: int
    """Files with rows."""
    sha256: str


def export(settings: Settings, user_id: str, out: Path, stores: Stores | None = None) -> Exported:
    """Write everything of a player that the stores hold into one zip; it is whole or not there.

    Args:
        settings: the stack.
        user_id: the player.
        out: the zip, replaced if it is there.
        stores: default: those of the stack.

    Raises:
        PrivacyError: it is no id.
        GamestreamError: a store does not answer.
        OSError: the file cannot be written.
    """
    player = player_of(settings, user_id)
    part = out.with_name(out.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as target, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            listed = list(_written(archive, player, (stores or stores_of(settings))(None)))
            archive.writestr(MANIFEST, orjson.dumps(_manifest(user_id, listed), option=orjson.OPT_INDENT_2))
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    with out.open("rb") as made:
        digest = hashlib.file_digest(made, "sha256").hexdigest()
    return Exported(out, sum(one["rows"] for one in listed), len(listed), digest)


def _written(archive: zipfile.ZipFile, player: Player, stores: Iterable[Store]) -> Iterator[dict[str, Any]]:
    """Write the places of all stores; several parts of one place become one file."""
    seen: dict[str, int] = {}
    for store in stores:
        for name, rows in store.export(player):
            first = next(rows, None)
            if first is None:
                continue
            seen[name] = seen.get(name, 0) + 1
            number = "" if seen[name] == 1 else f"-{seen[name]}"
            yield _file(archive, f"{_NOT_IN_NAMES.sub('_', name)}{number}.jsonl", store.name, first, rows)


def _file(
    archive: zipfile.ZipFile, name: str, store: str, first: dict[str, Any], rows: Iterator[dict[str, Any]]
) -> dict[str, Any]:
    count, digest = 0, hashlib.sha256()
    with archive.open(name, "w", force_zip64=True) as file:
        for row in (row for part in ([first], rows) for row in part):
            line = orjson.dumps(row, default=_plain, option=orjson.OPT_NON_STR_KEYS) + b"\n"
            file.write(line)
            digest.update(line)
            count += 1
    return {"file": name, "store": store, "rows": count, "sha256": digest.hexdigest()}


def _manifest(user_id: str, listed: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "player": user_id,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": listed,
        "rows": sum(one["rows"] for one in listed),
        "left_out": "Sentences of reports and alerts, which can name other players; they repeat what these files hold.",
    }


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    raise TypeError(type(value).__name__)
