"""The inbox: a webhook on this machine that takes the messages of the drill's alerts, or refuses them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from gamestream_dagster.alerts.rules import Book

_MOST_BYTES: Final = 1_000_000


@dataclass
class Inbox:
    """What arrived, by route: a line for each title, and for each line of a message about many alerts."""

    port: int = 0
    refuses: bool = False
    lines: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def addresses(self, book: Book) -> dict[str, str]:
        """The environment with the addresses of all routes."""
        return {route.address_in: f"json://127.0.0.1:{self.port}/{route.name}" for route in book.routes}

    def told(self, verb: str, alert_id: str, route: str) -> int:
        """Number of messages of a route about an alert; `verb`: `FIRING` or `RESOLVED`."""
        return sum(one == route and f"{verb} " in line and _names(line, alert_id) for one, line in self.lines)


def _names(line: str, alert_id: str) -> bool:
    """Whether a line is about an alert; in a message about several, a summary follows the id."""
    return line.endswith(f": {alert_id}") or f": {alert_id}: " in line


@contextmanager
def open_inbox() -> Iterator[Inbox]:
    """An inbox that listens on a free port of 127.0.0.1."""
    inbox = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = min(int(self.headers.get("Content-Length") or 0), _MOST_BYTES)
            body = self.rfile.read(size)
            if inbox.refuses:
                self.send_error(503)
                return
            _take(inbox, self.path.strip("/"), body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as above
            """No access log: the drill reports what arrived."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    inbox.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, name="drill-inbox", daemon=True)
    thread.start()
    try:
        yield inbox
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _take(inbox: Inbox, route: str, body: bytes) -> None:
    content = json.loads(body)
    title = str(content.get("title", ""))
    inbox.lines.append((route, title))
    if "messages about alerts" in title:
        inbox.lines += [(route, line) for line in str(content.get("message", "")).splitlines()]
