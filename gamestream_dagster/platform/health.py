"""Asking servers whether they are well, and waiting until they are, always with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

REQUEST_SECONDS = 3.0
POLL_SECONDS = 0.2


def http_ok(
    url: str,
    reason: Callable[[httpx.Response], str | None] = lambda _: None,
    options: Mapping[str, Any] | None = None,
) -> str | None:
    """None when a GET answers 2xx and `reason` finds nothing wrong in it; else a few words.

    Args:
        url: asked, with no proxy.
        reason: what is wrong with an answer.
        options: further ones of httpx, such as a login.
    """
    try:
        # Reading the machine's certificates costs more than the whole request, and plain HTTP needs none.
        known = {"trust_env": False, "verify": url.startswith("https:"), **(options or {})}
        response = httpx.get(url, timeout=REQUEST_SECONDS, **known)
        if response.is_success:
            return reason(response)
    except httpx.HTTPError as error:
        return f"no answer from {url} ({type(error).__name__})"
    return f"{url} answers {response.status_code}"


def wait_until(probe: Callable[[], str | None], seconds: float, poll: float = POLL_SECONDS) -> str | None:
    """Ask until the probe is content (None) or the time is over (its last words)."""
    limit = time.monotonic() + seconds
    while (found := probe()) is not None:
        if time.monotonic() > limit:
            return found
        time.sleep(poll)
    return None
