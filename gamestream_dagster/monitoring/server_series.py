"""Series about the stack's HTTP APIs, by asking each whether it is ready."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Final

import httpx

from gamestream_dagster.alerts.samples import Sample, labels_of
from gamestream_dagster.settings import Settings

_TIMEOUT_SECONDS: Final = 5.0


def http_servers(settings: Settings, now: float) -> list[Sample]:
    """`http_server_up` of each API, and `http_server_answer_seconds`, which is NaN for one that does not answer."""
    return asked({"ingest": settings.ingest_url, "api": settings.api_url}, now)


def asked(addresses: Mapping[str, str], now: float) -> list[Sample]:
    """The samples of the servers at these addresses, by name."""
    found: list[Sample] = []
    with httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
        for name, address in addresses.items():
            labels, began = labels_of({"server": name}), time.monotonic()
            try:
                status = client.get(f"{address}/readyz").status_code
            except httpx.HTTPError as error:
                unanswered = {"address": address, "why": _why(error)}
                found.append(Sample("http_server_up", labels, now, 0.0, unanswered))
                found.append(Sample("http_server_answer_seconds", labels, now, math.nan, unanswered))
                continue
            evidence = {"address": address, "status": status}
            seconds = time.monotonic() - began
            found.append(Sample("http_server_up", labels, now, float(status == httpx.codes.OK), evidence))
            found.append(Sample("http_server_answer_seconds", labels, now, seconds, evidence))
    return found


def _why(error: httpx.HTTPError) -> str:
    return "no answer in time" if isinstance(error, httpx.TimeoutException) else type(error).__name__
