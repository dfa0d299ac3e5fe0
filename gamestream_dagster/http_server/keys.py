"""Keys of the HTTP API: how they are made, what is stored of them, and how a given one is checked."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

_TOKEN: Final = re.compile(r"gsk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_SECRET_BYTES: Final = 32
APP_PATTERN: Final = r"[a-z][a-z0-9-]{0,62}"


class Scope(StrEnum):
    """What a key may do."""

    INGEST = "ingest"  # send events
    READ = "read"  # read boards, and ask what became of events
    ERASE = "erase"  # ask for the erase of players, and read the certificates


@dataclass(frozen=True)
class StoredKey:
    """A key as Postgres holds it: a hash of its secret, never the secret."""

    key_id: str
    """Public: it names the key in lists and in Kafka's headers."""
    app: str
    scopes: frozenset[Scope]
    secret_sha256: str
    """In hexadecimal. A fast hash is enough for 256 random bits."""
    signed: bool
    """Requests must carry a signature, too."""
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    replaces: str | None = None
    """The key that this one took over from."""

    def is_valid(self, now: datetime) -> bool:
        """Whether the key may be used."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def has_secret(self, secret: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self.secret_sha256, hash_of(secret))


@dataclass(frozen=True)
class GivenKey:
    """A key as a request gives it."""

    key_id: str
    secret: str


@dataclass(frozen=True)
class NewSecret:
    """Id and secret of a new key; the secret is shown once."""

    key_id: str
    secret: str

    @property
    def token(self) -> str:
        """What the sender puts into `Authorization: Bearer`."""
        return f"gsk_{self.key_id}_{self.secret}"


def new_secret() -> NewSecret:
    """A random id, and a secret of 32 random bytes."""
    return NewSecret(secrets.token_hex(8), secrets.token_urlsafe(_SECRET_BYTES))


def parse(token: str) -> GivenKey | None:
    """A token's parts; None where it cannot be one of ours."""
    found = _TOKEN.fullmatch(token)
    return GivenKey(*found.groups()) if found else None


def hash_of(secret: str) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def signing_secret(key_id: str, server_secret: str) -> str:
    """The secret that signs the requests of one key: derived, so that no database holds it."""
    derived = hmac.digest(server_secret.encode(), f"gamestream signing {key_id}".encode(), "sha256")
    return "gss_" + urlsafe_b64encode(derived).decode().rstrip("=")


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The signature of a request, as its header carries it.

    Args:
        secret: the key's signing secret.
        timestamp: the text of the header with the time, epoch seconds.
        body: as it is sent, compressed or not.
    """
    return "v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, "sha256").hexdigest()
