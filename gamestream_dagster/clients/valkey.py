"""Valkey: one way to build a client, with limits on every wait and errors as sentences without credentials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import valkey
import valkey.asyncio
from valkey import exceptions

from gamestream_dagster.clients.errors import TerminalServiceError, TransientServiceError
from gamestream_dagster.settings import Settings

CONNECT_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 10.0


def client(settings: Settings) -> valkey.Valkey:
    """Client of the stack's Valkey; opens nothing before the first use. Close it when done."""
    return valkey.Valkey.from_url(settings.valkey, **_options(settings, ANSWER_SECONDS))


def async_client(settings: Settings, answer_seconds: float) -> valkey.asyncio.Valkey:
    """The same for an event loop."""
    return valkey.asyncio.Valkey.from_url(settings.valkey, **_options(settings, answer_seconds))


def _options(settings: Settings, answer_seconds: float) -> dict[str, Any]:
    return {
        "username": settings.valkey_user or None,
        "password": settings.valkey_password_value or None,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": answer_seconds,
        "socket_keepalive": True,
        "client_name": "gamestream",
    }


@contextmanager
def sentences(where: str) -> Iterator[None]:
    """Turn the library's errors into ours.

    Args:
        where: the address, without credentials.

    Raises:
        TransientServiceError: Valkey does not answer, or is loading or short of memory.
        TerminalServiceError: it refuses the login.
    """
    see = "see `gamestream status`"
    try:
        yield
    except exceptions.AuthenticationError as error:
        raise TerminalServiceError(
            "Valkey", f"login refused at {where}", "check valkey_user and valkey_password"
        ) from error
    except exceptions.TimeoutError as error:
        raise TransientServiceError("Valkey", f"no answer from {where} in time", see) from error
    except (exceptions.ConnectionError, OSError) as error:
        raise TransientServiceError("Valkey", f"the connection to {where} cannot be made or broke", see) from error
    except exceptions.ValkeyError as error:
        # a reply's first word is its code; the rest may quote what was sent
        raise TransientServiceError("Valkey", f"{where} refuses with {str(error).split(' ')[0][:40]}", see) from error
