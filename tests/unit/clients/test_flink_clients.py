"""The two Flink clients against recorded answers of Flink 2.3.0."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from gamestream_dagster.clients.errors import NotFoundError, TerminalServiceError, TransientServiceError
from gamestream_dagster.clients.flink_literal import literal, masked
from gamestream_dagster.clients.flink_rest import FlinkRest, last_cause
from gamestream_dagster.clients.flink_sql_gateway import SqlGateway
from gamestream_dagster.clients.flink_types import FlinkState, JobDetail, VertexInfo

Handler = Callable[[httpx.Request], httpx.Response]

STACK = (
    "<Exception on server side:\n"
    "org.apache.flink.table.gateway.api.utils.SqlGatewayException: Failed to fetchResults.\n"
    "\tat org.apache.flink.table.gateway.rest.handler.X.handle(X.java:91)\n"
    "Caused by: org.apache.flink.table.api.ValidationException: SQL validation failed.\n"
    "\tat org.apache.flink.Y.y(Y.java:1)\n"
    "Caused by: org.apache.calcite.sql.validate.SqlValidatorException: Object 'nothere' not found; password 'hunter2'\n"
    "\t... 20 more\n"
    "End of exception on server side>"
)


def rest(handler: Handler) -> FlinkRest:
    return FlinkRest("http://flink", transport=httpx.MockTransport(handler))


def raising(error: Exception) -> Handler:
    def handle(request: httpx.Request) -> httpx.Response:
        raise error

    return handle


# Flink 2.3's answer about a job that it is building
NOT_YET = """org.apache.flink.runtime.dispatcher.UnavailableDispatcherOperationException: \
Unable to get JobMasterGateway \
for initializing job. The requested operation is not available while the JobManager is initializing.
\tat org.apache.flink.runtime.dispatcher.Dispatcher.getJobMasterGateway(Dispatcher.java)"""


@pytest.mark.parametrize(
    "handler",
    [
        raising(httpx.ConnectError("refused")),
        raising(httpx.ReadTimeout("slow")),
        lambda _: httpx.Response(
            503, json={"errors": ["Service temporarily unavailable due to an ongoing leader election"]}
        ),
        lambda _: httpx.Response(500, json={"errors": ["Internal server error.", NOT_YET]}),
        lambda _: httpx.Response(200, text="<html>starting</html>"),
    ],
    ids=["refused", "slow", "503", "being built", "not JSON"],
)
def test_no_answer_is_worth_another_try(handler: Handler) -> None:
    with pytest.raises(TransientServiceError):
        rest(handler).jobs()


def test_an_unknown_job_is_not_found() -> None:
    reply = {"errors": ["org.apache.flink.runtime.rest.NotFoundException: Job 00 not found\n\tat x.y.Z(Z.java:1)"]}
    with pytest.raises(NotFoundError, match="Job 00 not found"):
        rest(lambda _: httpx.Response(404, json=reply)).job("00")


def test_the_innermost_cause_is_what_people_see() -> None:
    assert last_cause(STACK) == "Object 'nothere' not found; password 'hunter2'"
    assert last_cause("") == ""
    assert last_cause("plain words") == "plain words"


CHECKPOINT = {
    "id": 5, "status": "COMPLETED", "is_savepoint": False, "external_path": "file:/ck/chk-5",
    "trigger_timestamp": 10, "latest_ack_timestamp": 12,
}  # fmt: skip


def test_a_triggered_checkpoint_is_waited_for_by_its_own_id() -> None:
    asked: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.method == "POST":
            return httpx.Response(202, json={"request-id": "t1"})
        if request.url.path.endswith("/t1"):
            done = asked.count(request.url.path) > 1
            status = {"status": {"id": "COMPLETED"}, "operation": {"checkpointId": 5}}
            return httpx.Response(200, json=status if done else {"status": {"id": "IN_PROGRESS"}, "operation": None})
        history = [CHECKPOINT] if asked.count(request.url.path) > 1 else []
        counts = {"restored": 0, "total": 1, "in_progress": 0, "completed": 1, "failed": 0}
        latest = {"completed": None, "savepoint": None, "failed": None, "restored": None}
        return httpx.Response(200, json={"counts": counts, "latest": latest, "history": history})

    found = rest(handle).checkpoint_now("j", timeout_seconds=5)
    assert (found.checkpoint_id, found.path) == (5, "file:/ck/chk-5")


def test_a_failed_savepoint_says_why() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            assert json.loads(request.content) == {"drain": False, "targetDirectory": "file:/sp"}
            return httpx.Response(202, json={"request-id": "t1"})
        cause = {"class": "x", "stack-trace": "a.B: outer\n\tat c\nCaused by: java.io.IOException: disk full\n"}
        return httpx.Response(200, json={"status": {"id": "COMPLETED"}, "operation": {"failure-cause": cause}})

    with pytest.raises(TerminalServiceError, match="disk full"):
        rest(handle).stop_with_savepoint("j", "file:/sp", 5)


class Gateway:
    """A gateway that answers a statement with the given pages and remembers what was asked."""

    def __init__(self, *pages: httpx.Response) -> None:
        self.pages = list(pages)
        self.asked: list[tuple[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.method, request.url.path))
        if request.method == "DELETE":
            return httpx.Response(200, json={"status": "CLOSED"})
        if request.url.path.endswith("/sessions"):
            return httpx.Response(200, json={"sessionHandle": "s"})
        if request.url.path.endswith("/statements"):
            return httpx.Response(200, json={"operationHandle": "o"})
        if request.method == "POST":
            return httpx.Response(200, json={"status": "CANCELED"})
        return self.pages.pop(0) if len(self.pages) > 1 else self.pages[0]

    @property
    def closed(self) -> bool:
        return ("DELETE", "/v1/sessions/s") in self.asked


def page(kind: str, *rows: list[object], job: str | None = None) -> httpx.Response:
    content: dict[str, object] = {"resultType": kind}
    if kind != "NOT_READY":
        content["results"] = {"columns": [{"name": "n"}], "data": [{"kind": "INSERT", "fields": row} for row in rows]}
    if kind != "EOS":
        content["nextResultUri"] = "/v1/sessions/s/operations/o/result/1"
    return httpx.Response(200, json={**content, **({"jobID": job} if job else {})})


def test_pages_are_followed_to_the_end() -> None:
    gateway = Gateway(page("NOT_READY"), page("PAYLOAD", ["a"], job="j1"), page("PAYLOAD", ["b"]), page("EOS"))
    client = SqlGateway("http://gw", transport=httpx.MockTransport(gateway))
    with client.session("x", {}) as session:
        result = session.execute("SELECT 1")
    assert (result.rows, result.job_id, result.columns) == ((("a",), ("b",)), "j1", ("n",))
    assert gateway.closed


def test_a_refused_statement_is_one_sentence_without_the_password_and_the_session_is_closed() -> None:
    gateway = Gateway(httpx.Response(500, json={"errors": ["Internal server error.", STACK]}))
    client = SqlGateway("http://gw", secrets=["hunter2"], transport=httpx.MockTransport(gateway))
    with (
        pytest.raises(TerminalServiceError, match="Object 'nothere' not found") as raised,
        client.session("x", {}) as s,
    ):
        s.execute("SELECT * FROM nothere")
    assert "hunter2" not in str(raised.value)
    assert "\tat " not in str(raised.value)
    assert gateway.closed


def test_a_statement_that_hangs_is_cancelled() -> None:
    gateway = Gateway(page("NOT_READY"))
    client = SqlGateway("http://gw", transport=httpx.MockTransport(gateway))
    with pytest.raises(TransientServiceError, match="was cancelled"), client.session("x", {}) as session:
        session.execute("SELECT 1", timeout_seconds=0.2)
    assert ("POST", "/v1/sessions/s/operations/o/cancel") in gateway.asked
    assert gateway.closed


def test_literals_are_quoted_and_secrets_masked_in_both_forms() -> None:
    assert literal("it's") == "'it''s'"
    assert masked("p=it's q='it''s'", ["it's"]) == "p=*** q='***'"
    for bad in ("a\0b", "a\nb"):
        with pytest.raises(ValueError, match="NUL or a line break"):
            literal(bad)


@pytest.mark.parametrize(
    ("state", "tasks", "runs"),
    [
        (FlinkState.RUNNING, [(2, 0), (1, 1)], True),
        (FlinkState.RUNNING, [(2, 0), (0, 2)], True),  # a source of a few rows has ended
        (FlinkState.RUNNING, [(2, 0), (1, 0)], False),
        (FlinkState.RUNNING, [(0, 2), (0, 2)], False),
        (FlinkState.RUNNING, [], False),
        (FlinkState.RESTARTING, [(2, 0)], False),
    ],
)
def test_a_job_runs_when_all_its_tasks_do_or_have_ended(
    state: FlinkState, tasks: list[tuple[int, int]], runs: bool
) -> None:
    vertices = tuple(VertexInfo("v", "v", 2, running, finished) for running, finished in tasks)
    assert JobDetail("a", "job", state, 0, None, 0, vertices).all_tasks_running is runs
