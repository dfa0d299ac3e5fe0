"""Flink's SQL gateway over REST: one session per task, one statement at a time, always closed.

Facts behind the design:
- Sessions, temporary tables and operations live in the gateway's memory: keep a Flink job id, never a session.
- Errors come as HTTP 500 with a Java stack, mostly not from the statement but from fetching its result.
- A setting stays with its session, so sessions open with their settings and submit one job each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx

from gamestream_dagster.clients.errors import NotFoundError, ServiceError, TerminalServiceError, TransientServiceError
from gamestream_dagster.clients.flink_literal import literal, masked
from gamestream_dagster.clients.flink_rest import TRY_AGAIN_STATUSES, error_reason

REQUEST_TIMEOUT_SECONDS = 30.0  # a busy gateway took over 10 s, and its statement went on after the given-up request
STATEMENT_TIMEOUT_SECONDS = 120.0  # the first statement after the gateway's start loads the planner: about 6 s
MAX_ROWS = 10_000
_SERVICE = "Flink SQL gateway"
_ASK_LATER = "see `gamestream status`, and try again"
_MEND_SQL = "fix the SQL of the job and apply again"


@dataclass(frozen=True)
class StatementResult:
    """The result of a statement: the job it started, if any, its rows, and the kind of each row, such as `DELETE`."""

    job_id: str | None
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    kinds: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The first field of the first row: the whole result of an `EXPLAIN`."""
        return str(self.rows[0][0]) if self.rows else ""


class SqlGateway:
    """Client of one gateway. `secrets` are replaced by `***` in every error.

    Raises (from every method):
        TransientServiceError: no answer within the limit, or the gateway is still starting.
        NotFoundError: the session is gone (the gateway was restarted).
        TerminalServiceError: Flink refuses the statement.
    """

    def __init__(
        self,
        url: str,
        secrets: Iterable[str] = (),
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._secrets = tuple(secrets)
        self._timeout = timeout_seconds
        self._http = httpx.Client(base_url=self.url, timeout=timeout_seconds, transport=transport, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def version(self) -> str:
        """Flink version of the gateway."""
        return str(self.request("GET", "/v1/info")["version"])

    @contextmanager
    def session(self, name: str, properties: Mapping[str, str]) -> Iterator[GatewaySession]:
        """Open a session with `properties` as its settings; it is always closed."""
        body = {"sessionName": name, "properties": dict(properties)}
        handle = self.request("POST", "/v1/sessions", body)["sessionHandle"]
        try:
            yield GatewaySession(self, handle)
        except BaseException:
            self._close_session(handle, quietly=True)
            raise
        self._close_session(handle, quietly=False)

    def _close_session(self, handle: str, quietly: bool) -> None:
        try:
            self.request("DELETE", f"/v1/sessions/{handle}")
        except NotFoundError:
            return  # the gateway has forgotten it already
        except ServiceError:
            # The first error matters more than a failed cleanup; the gateway drops idle sessions itself.
            if not quietly:
                raise

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One HTTP call, as JSON; errors as the class says."""
        try:
            reply = self._http.request(method, path, json=body)
        except httpx.TimeoutException as error:
            reason = f"no answer from {self.url} within {self._timeout:.0f} s"
            raise TransientServiceError(_SERVICE, reason, _ASK_LATER) from error
        except httpx.TransportError as error:
            reason = f"nothing answers at {self.url} ({type(error).__name__})"
            raise TransientServiceError(_SERVICE, reason, _ASK_LATER) from error
        if reply.is_success:
            try:
                return reply.json()
            except ValueError as error:
                reason = f"the answer of {self.url} is not JSON"
                raise TransientServiceError(_SERVICE, reason, _ASK_LATER) from error
        reason = masked(error_reason(reply), self._secrets)
        if reply.status_code in TRY_AGAIN_STATUSES:
            raise TransientServiceError(_SERVICE, reason, _ASK_LATER)
        if reply.status_code == 404 or ("does not exist" in reason and "ession" in reason):
            raise NotFoundError(_SERVICE, reason, "open a new session")
        raise TerminalServiceError(_SERVICE, reason, _MEND_SQL)


class GatewaySession:
    """One session. Temporary tables, views and settings end with it."""

    def __init__(self, gateway: SqlGateway, handle: str) -> None:
        self._gateway = gateway
        self._handle = handle

    def execute(
        self,
        statement: str,
        timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS,
        on_wait: Callable[[], None] = lambda: None,
    ) -> StatementResult:
        """Run one statement and fetch its whole result, at most 10,000 rows; `on_wait` is called while it runs.

        Raises:
            TerminalServiceError: refused by Flink, or more rows than the limit.
            TransientServiceError: not done within `timeout_seconds`; the operation is cancelled first.
        """
        root = f"/v1/sessions/{self._handle}"
        operation = self._gateway.request("POST", f"{root}/statements", {"statement": statement})["operationHandle"]
        uri: str | None = f"{root}/operations/{operation}/result/0?rowFormat=JSON"
        deadline = time.monotonic() + timeout_seconds
        job_id: str | None = None
        columns: tuple[str, ...] = ()
        rows: list[tuple[Any, ...]] = []
        kinds: list[str] = []
        while uri:
            reply = self._gateway.request("GET", uri)
            kind = reply["resultType"]
            if kind == "PAYLOAD":
                job_id = reply.get("jobID") or job_id
                columns = tuple(one["name"] for one in reply["results"]["columns"])
                rows.extend(tuple(one["fields"]) for one in reply["results"]["data"])
                kinds.extend(one["kind"] for one in reply["results"]["data"])
            if len(rows) > MAX_ROWS:
                self._cancel(operation)
                raise TerminalServiceError(_SERVICE, f"the result has more than {MAX_ROWS} rows", "add a LIMIT")
            if kind == "EOS":
                break
            if time.monotonic() > deadline:
                self._cancel(operation)
                reason = f"a statement was not done within {timeout_seconds:.0f} s and was cancelled"
                raise TransientServiceError(_SERVICE, reason, _ASK_LATER)
            # a job without rows yet returns an empty page
            if kind == "NOT_READY" or not reply["results"]["data"]:
                on_wait()
                time.sleep(0.05)
            uri = reply.get("nextResultUri") or uri
        self._gateway.request("DELETE", f"{root}/operations/{operation}/close")
        return StatementResult(job_id, columns, tuple(rows), tuple(kinds))

    def explain(self, statement: str) -> str:
        """Flink's plan of a query or of `STATEMENT SET BEGIN ... END`; starts nothing."""
        return self.execute(f"EXPLAIN {statement}").text

    def compile_plan(self, statement: str, path: str) -> None:
        """Write the compiled plan of `STATEMENT SET BEGIN ... END` to `path`, on the gateway's host."""
        self.execute(f"COMPILE PLAN {literal(path)} FOR {statement}")

    def submit(self, statement: str) -> str:
        """Run a statement that starts a job, and return the job's id.

        Raises:
            TerminalServiceError: refused, or the statement started no job.
        """
        job_id = self.execute(statement).job_id
        if job_id is None:
            raise TerminalServiceError(_SERVICE, "the statement started no job", _MEND_SQL)
        return job_id

    def set(self, key: str, value: str) -> None:
        """Set one option of the session."""
        self.execute(f"SET {literal(key)} = {literal(value)}")

    def reset(self, key: str) -> None:
        """Reset one option of the session to the cluster's value."""
        self.execute(f"RESET {literal(key)}")

    def _cancel(self, operation: str) -> None:
        # Flink refuses to cancel a finished operation; the caller needs its own limit's error, not that one.
        with suppress(TerminalServiceError):
            self._gateway.request("POST", f"/v1/sessions/{self._handle}/operations/{operation}/cancel", {})
