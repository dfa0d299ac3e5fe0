"""Signed requests: an HMAC over the time and the raw body, beside the key."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers

from gamestream_dagster.http_server.errors import unauthorized
from gamestream_dagster.http_server.keys import StoredKey, signature, signing_secret

TIMESTAMP_HEADER: Final = "X-Gamestream-Timestamp"
SIGNATURE_HEADER: Final = "X-Gamestream-Signature"
TOLERANCE_SECONDS: Final = 300
"""How far the time of a signature may be from ours; a copy of a request is refused after that."""


@dataclass(frozen=True)
class Signed:
    """What a request brings for the check of its signature."""

    timestamp: str
    signature: str


class Signatures:
    """Checks the signatures of keys that need one.

    Args:
        server_secret: gives the secret from which those of the keys are derived; asked once a signature is needed.
        clock: epoch seconds.
    """

    def __init__(self, server_secret: Callable[[], str], clock: Callable[[], float] = time.time) -> None:
        self._server_secret = server_secret
        self._clock = clock

    def announced(self, key: StoredKey, headers: Headers) -> Signed | None:
        """Check the headers, before the body is read; None for a key that does not sign.

        Raises:
            RequestRefusedError: 401 where a header is missing, or the time is too far from ours.
        """
        if not key.signed:
            return None
        timestamp, given = headers.get(TIMESTAMP_HEADER, ""), headers.get(SIGNATURE_HEADER, "")
        if not timestamp or not given:
            raise unauthorized(
                "SIGNATURE_MISSING",
                f"Requests with this key are signed; send {TIMESTAMP_HEADER} and {SIGNATURE_HEADER}.",
            )
        whole = timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12
        if not whole or abs(int(timestamp) - self._clock()) > TOLERANCE_SECONDS:
            raise unauthorized(
                "SIGNATURE_TIME",
                f"{TIMESTAMP_HEADER} must be epoch seconds, at most {TOLERANCE_SECONDS} s from the server's time; "
                "GET /v1/time tells it.",
            )
        return Signed(timestamp, given)

    def check(self, key: StoredKey, signed: Signed, body: bytes) -> None:
        """Check the signature of a body as it was sent.

        Raises:
            RequestRefusedError: 401.
        """
        expected = signature(signing_secret(key.key_id, self._server_secret()), signed.timestamp, body)
        if not hmac.compare_digest(expected.encode(), signed.signature.encode("utf-8", "replace")):
            raise unauthorized(
                "SIGNATURE_WRONG",
                "The signature does not fit the body; sign `TIMESTAMP.BODY` with the key's signing secret, the body as "
                "it is sent.",
            )
