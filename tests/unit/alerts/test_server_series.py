"""Series about servers: the stack's HTTP APIs, and what game servers report."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from gamestream_dagster.alerts.samples import written
from gamestream_dagster.monitoring.enriched import latencies, p95
from gamestream_dagster.monitoring.server_series import asked


@pytest.fixture
def address() -> Iterator[str]:
    """A server whose answer is the status in its path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(self.path.strip("/").split("/")[0]))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_server_is_up_when_it_says_that_it_is_ready(address: str) -> None:
    samples = asked({"good": f"{address}/200", "sick": f"{address}/503"}, 5.0)
    found = {written(one.series, one.labels): one.value for one in samples}
    assert found['http_server_up{server="good"}'] == 1
    assert found['http_server_up{server="sick"}'] == 0
    assert found['http_server_answer_seconds{server="good"}'] < 5
    assert samples[0].at == 5.0


def test_a_server_that_does_not_answer_is_down_and_has_no_time() -> None:
    up, seconds = asked({"gone": "http://127.0.0.1:1"}, 5.0)
    assert (up.series, up.value) == ("http_server_up", 0)
    assert up.evidence == {"address": "http://127.0.0.1:1", "why": "ConnectError"}
    # the server exists and has no reading: an alert about slow answers is not over
    assert (seconds.series, math.isnan(seconds.value)) == ("http_server_answer_seconds", True)


def report(latency: object, region: str | None = "EU", kind: str = "server_health") -> dict[str, object]:
    return {"event_type": kind, "region": region, "properties": json.dumps({"latency_ms": latency})}


def test_latencies_are_those_of_new_reports_by_region() -> None:
    events = [
        (10, report(80)),
        (20, report(90.5)),
        (20, report(70, region=None)),
        (9, report(9_999)),  # older
        (20, report(5, kind="player_join")),
        (20, report("fast")),
        (20, report(None)),
        (20, report(float("nan"))),
        (20, {"event_type": "server_health", "properties": "no JSON"}),
        (20, {"event_type": "server_health"}),
    ]
    assert latencies(events, since=10) == {"EU": [80, 90.5], "unknown": [70]}


def test_the_percentile_is_a_value_with_95_percent_at_or_below_it() -> None:
    assert p95([7]) == 7
    assert p95(range(1, 101)) == 95
    assert p95([1] * 19 + [100]) == 1
    assert p95([1] * 18 + [100] * 2) == 100
