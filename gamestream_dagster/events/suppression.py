"""The suppression list: players whose data was erased, so that no replay, backfill or recompute brings it back.

The list is `<home>/privacy/suppressed.json`. It holds no id: each entry is SHA-256 of a key of this stack and the id.
The key is `<home>/secrets/privacy_key`; without it nobody can tell whom the list is about by trying ids.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress as suppress_error
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from gamestream_dagster.errors import InstructedError
from gamestream_dagster.settings import Settings

ERASED: Final = "ERASED"
"""The reason of an archived record whose content was erased."""
KEY_FILE: Final = "privacy_key"
_LIST_FILE: Final = "suppressed.json"


class SuppressionError(InstructedError):
    """The suppression list, or its key, cannot be used; going on could bring erased data back."""


def hash_of(key: str, user_id: str) -> str:
    """The keyed hash of a player: 64 hex digits. SQL engines compute the same (`sha256` of key and id)."""
    return hashlib.sha256((key + user_id).encode("utf-8", "surrogatepass")).hexdigest()


def stream_salt(key: str) -> str:
    """The salt of the hashes in the SQL of jobs; the key cannot be computed from it."""
    return hash_of(key, "stream")[:32]


def stream_hash(salt: str, user_id: str) -> str:
    """How jobs recognize a player: 16 hex digits of SHA-256 of salt and id."""
    return hash_of(salt, user_id)[:16]


@dataclass(frozen=True)
class Suppression:
    """Erased players, by keyed hash, each with the number of the request that erased it."""

    key: str = field(default="", repr=False)
    requests: Mapping[str, int] = field(default_factory=dict[str, int])
    in_streams: Mapping[str, int] = field(default_factory=dict[str, int])
    """The same players as jobs recognize them: `stream_hash` of each, sorted, with the number of the request."""

    @property
    def salt(self) -> str:
        """What jobs put before an id; not secret, as Flink shows the plans of jobs. Empty where nobody was erased."""
        return stream_salt(self.key) if self.requests else ""

    def __bool__(self) -> bool:
        return bool(self.requests)

    @property
    def user_id(self) -> None:
        """No id is known."""
        return None

    def __call__(self, user_id: str | None, /) -> bool:
        """Whether a player was erased."""
        return self.request_of(user_id) is not None

    def request_of(self, user_id: str | None) -> int | None:
        """The request by which a player was erased; None: the player was not."""
        if not self.requests or user_id is None:
            return None
        return self.requests.get(hash_of(self.key, user_id))


NOBODY: Final = Suppression()
"""Nobody was erased."""


def list_file(settings: Settings) -> Path:
    """Where the list is."""
    return settings.home / "privacy" / _LIST_FILE


def load_suppression(settings: Settings) -> Suppression:
    """The list of a stack; empty where nobody was erased.

    Raises:
        SuppressionError: there is a list, and it or its key cannot be read.
    """
    path = list_file(settings)
    try:
        found: Any = orjson.loads(path.read_bytes())
        requests = {str(subject): int(one["request"]) for subject, one in found["suppressed"].items()}
        in_streams = dict(sorted((str(one["in_streams"]), int(one["request"])) for one in found["suppressed"].values()))
    except FileNotFoundError:
        return Suppression()
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise SuppressionError(
            f"The suppression list {path} cannot be read ({type(error).__name__})", "restore it from a backup"
        ) from error
    if not requests:
        return Suppression()
    key_file = settings.home / "secrets" / KEY_FILE
    if not key_file.exists():
        raise SuppressionError(
            f"{key_file} is gone, without which erased players cannot be recognized", "restore it from a backup"
        )
    return Suppression(key_file.read_text(encoding="utf-8").strip(), requests, in_streams)


def suppress(settings: Settings, user_id: str, request: int) -> Suppression:
    """Put a player on the list; durable when it returns. A player who is on it keeps the first request.

    Raises:
        SuppressionError: the list cannot be read.
    """
    key = stack_key(settings)
    known = load_suppression(settings)
    if known(user_id):
        return known
    path = list_file(settings)
    entries: dict[str, Any] = orjson.loads(path.read_bytes())["suppressed"] if path.exists() else {}
    entries.setdefault(
        hash_of(key, user_id), {"request": request, "in_streams": stream_hash(stream_salt(key), user_id)}
    )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(orjson.dumps({"suppressed": entries}, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return load_suppression(settings)


def stack_key(settings: Settings) -> str:
    """The key of the hashes of this stack, made on first use.

    Raises:
        SuppressionError: it is gone, although hashes were made with it.
    """
    path = settings.home / "secrets" / KEY_FILE
    if not path.exists():
        load_suppression(settings)  # a new key would not recognize those who are on the list
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_name(f".{KEY_FILE}.{secrets.token_hex(8)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(secrets.token_hex(32))
                file.flush()
                os.fsync(file.fileno())
            with suppress_error(FileExistsError):  # somebody else made it meanwhile: theirs is whole, and the key
                os.link(fresh, path)
        finally:
            fresh.unlink()
    return path.read_text(encoding="utf-8").strip()
