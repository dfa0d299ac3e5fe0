"""Types of the settings that every HTTP server has: where it listens, whose addresses it believes, its limits."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator

MEMORY_STORAGE: Final = "async+memory://"
STORAGE_PATTERN: Final = r"^async\+[a-z+]+://.*$"
_RATE: Final = re.compile(r"[1-9][0-9]{0,8}/(second|minute|hour)")


def _rate(text: str) -> str:
    if not _RATE.fullmatch(text):
        raise ValueError("write a rate as NUMBER/second, NUMBER/minute or NUMBER/hour, such as 200/second")
    return text


def _listen_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("give the IP address to listen on, such as 127.0.0.1, or 0.0.0.0 for all") from None


def _listed(given: Any) -> Any:
    if isinstance(given, str):
        return tuple(part.strip() for part in given.split(",") if part.strip())
    return given


def _networks(given: tuple[str, ...]) -> tuple[str, ...]:
    for each in given:
        try:
            ipaddress.ip_network(each)
        except ValueError:
            raise ValueError("give addresses or networks of proxies, such as 127.0.0.1 or 10.0.0.0/8") from None
    return given


Rate = Annotated[str, AfterValidator(_rate)]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]
Proxies = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_networks)]


def url_of(host: str, port: int) -> str:
    """Address of a server as this machine reaches it, from the address on which it listens."""
    own = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host)  # noqa: S104 - nothing listens here
    return f"http://{own or (f'[{host}]' if ':' in host else host)}:{port}"
