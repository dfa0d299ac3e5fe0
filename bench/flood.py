"""Requests of one key as fast as they are answered, in a process of its own: `python -m bench.flood URL`.

The key is the first line of standard input, so that no list of processes shows it; the end of the input ends the flood.
The last line of the output counts the answers: `later` (429) and `answered`.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter

import httpx

from gamestream_dagster.clients.errors import ServiceError
from gamestream_dagster.clients.ingest_api import IngestApi, TryLaterError

SENDERS = 4
ADDRESS = "127.0.0.2"
"""Source of the requests: requests are also limited by address, and the neighbour must not share it."""


def flood(url: str, key: str, stop: threading.Event) -> Counter[str]:
    """Send small batches until `stop`; how often each kind of answer came."""
    found: Counter[str] = Counter()
    with IngestApi(url, key, transport=httpx.HTTPTransport(local_address=ADDRESS)) as api:
        while not stop.is_set():
            try:
                api.send([b"{}"])
                found["answered"] += 1
            except TryLaterError:
                found["later"] += 1
            except ServiceError:
                found["other"] += 1
    return found


def main() -> None:
    """See the module."""
    url, key = sys.argv[1], sys.stdin.readline().strip()
    stop, found = threading.Event(), [Counter[str]() for _ in range(SENDERS)]

    def run(place: int) -> None:
        found[place] = flood(url, key, stop)

    threads = [threading.Thread(target=run, args=(place,), daemon=True) for place in range(SENDERS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join(10)
    sys.stdout.write(json.dumps(sum(found, Counter[str]())) + "\n")


if __name__ == "__main__":
    main()
