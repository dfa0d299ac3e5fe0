"""A registry that answers as Confluent's does: schemas by their number, over HTTP, for Java and Python alike."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from gamestream_dagster.clients.registry import Registry
from gamestream_dagster.connections import RegistryConnection


class Schemas:
    """The schemas by number, and the numbers that were asked for. `away`: every answer is 503."""

    def __init__(self) -> None:
        self.known: dict[int, dict[str, Any]] = {}
        self.asked: list[int] = []
        self.away = False

    def add(self, schema: Any, kind: str | None = None) -> int:
        """Store a schema; returns its number."""
        number = len(self.known) + 1
        text = schema if isinstance(schema, str) else json.dumps(schema)
        self.known[number] = {"schema": text} | ({"schemaType": kind} if kind else {})
        return number

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and body of a GET."""
        if self.away:
            return 503, {"error_code": 503}
        number = int(path.rpartition("/")[2]) if path.startswith("/schemas/ids/") else 0
        self.asked.append(number)
        found = self.known.get(number)
        return (404, {"error_code": 40403}) if found is None else (200, found)

    def registry(self) -> Registry:
        """Our client of it, without a connection."""

        def handle(request: httpx.Request) -> httpx.Response:
            status, body = self.answer(request.url.path)
            return httpx.Response(status, json=body)

        return Registry(RegistryConnection("http://registry.test"), transport=httpx.MockTransport(handle))


@contextmanager
def serving(schemas: Schemas) -> Iterator[str]:
    """The address under which they are served."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = schemas.answer(self.path)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
