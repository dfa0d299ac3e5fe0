"""Client of a running Dagster webserver over HTTP, so that the command line need not import Dagster.

`DagsterGraphQL.launch` starts a job, `wait` waits for its end, `assets` lists materialised assets, and `report` records
external changes on an asset's page.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx

from gamestream_dagster.clients.dagster_events import Reported
from gamestream_dagster.clients.errors import TerminalServiceError, TransientServiceError

CALL_TIMEOUT_SECONDS = 20.0
RELOAD_TIMEOUT_SECONDS = 120.0  # a code server on a busy machine takes long to load the definitions
LOCATION = "gamestream"
POLL_SECONDS = 0.5
EVENT_PAGE = 1000
DOCUMENT = Path(__file__).with_name("dagster.graphql")


SERVICE = "Dagster"


class DagsterUnreachableError(TransientServiceError):
    """No answer, or not in time."""


class DagsterApiError(TerminalServiceError):
    """The reply violates the API."""


class LaunchRefusedError(TerminalServiceError):
    """Dagster refused the run."""


class RunTimeoutError(TransientServiceError):
    """The run had not ended within the limit. It keeps running."""


class RunStatus(StrEnum):
    """States of a Dagster run, as in its API."""

    QUEUED = "QUEUED"  # waits for a free slot
    NOT_STARTED = "NOT_STARTED"  # recorded, not launched
    MANAGED = "MANAGED"  # owned by something outside Dagster
    STARTING = "STARTING"  # its process is starting
    STARTED = "STARTED"  # works
    SUCCESS = "SUCCESS"  # succeeded
    FAILURE = "FAILURE"  # a step or the process failed
    CANCELING = "CANCELING"  # a stop was requested
    CANCELED = "CANCELED"  # stopped on request

    @property
    def has_ended(self) -> bool:
        """True when the status is final."""
        return self in (RunStatus.SUCCESS, RunStatus.FAILURE, RunStatus.CANCELED)


@dataclass(frozen=True)
class StepFailure:
    """Why one step failed; `step` is empty when the whole run failed."""

    step: str
    reason: str


@dataclass(frozen=True)
class RunOutcome:
    """The state of a run. `seconds` is its own duration so far, 0 before it starts."""

    run_id: str
    job: str
    status: RunStatus
    seconds: float
    steps_done: int
    steps_total: int
    failures: tuple[StepFailure, ...] = ()

    @property
    def succeeded(self) -> bool:
        """True when the run succeeded."""
        return self.status is RunStatus.SUCCESS


@dataclass(frozen=True)
class EndedRun:
    """A run that ended; epoch seconds."""

    run_id: str
    job: str
    status: RunStatus
    ended_at: float


@dataclass(frozen=True)
class CheckState:
    """The last result of one asset check; `status` is `NEVER_RUN` before its first."""

    name: str
    status: str
    severity: str
    description: str


@dataclass(frozen=True)
class AssetState:
    """One asset: its key (`group/name`), when it was last materialised (epoch seconds), its checks."""

    key: str
    group: str
    materialised_at: float | None
    run_id: str | None
    checks: tuple[CheckState, ...]


class DagsterGraphQL:
    """One webserver. `base_url` is the browser's address, such as http://127.0.0.1:3000."""

    def __init__(
        self, base_url: str, timeout: float = CALL_TIMEOUT_SECONDS, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._url = base_url.rstrip("/")
        self._document = DOCUMENT.read_text(encoding="utf-8")
        self._client = httpx.Client(timeout=timeout, transport=transport, trust_env=False)

    def __enter__(self) -> DagsterGraphQL:
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close()

    def query(self, operation: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Run one operation of `dagster.graphql` and return its `data`.

        Raises:
            DagsterUnreachableError: no answer.
            DagsterApiError: the reply is not GraphQL data.
        """
        body = {"query": self._document, "operationName": operation, "variables": dict(variables or {})}
        content = self._post("graphql", body)
        if content.get("errors"):
            raise DagsterApiError(
                SERVICE,
                f"query {operation} refused: {content['errors'][0].get('message', 'no reason given')}",
                "check that the webserver has the version of the lock file",
            )
        return content["data"]

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            reply = self._client.post(f"{self._url}/{path}", json=body)
        except httpx.TransportError as error:
            raise DagsterUnreachableError(
                SERVICE, f"no answer at {self._url} ({type(error).__name__})", "look with `gamestream status`"
            ) from error
        if reply.status_code in (502, 503, 504):
            raise DagsterUnreachableError(
                SERVICE, f"{self._url} answers HTTP {reply.status_code}", "wait and try again"
            )
        try:
            return reply.json()
        except ValueError as error:
            raise DagsterApiError(
                SERVICE,
                f"{self._url} answers HTTP {reply.status_code} and no JSON",
                "check that the address is the Dagster webserver's",
            ) from error

    def report(self, done: Reported) -> None:
        """Record a change to an asset outside Dagster, on its page and for its dependants.

        Raises:
            DagsterUnreachableError: no answer.
            DagsterApiError: Dagster refuses the event.
        """
        path = "/".join(done.asset)
        kind = "materialization" if done.materialised else "observation"
        self._tell(f"report_asset_{kind}/{path}", {"metadata": dict(done.metadata)})
        for check in done.checks:
            metadata = {"told": check.told} if check.told else {}
            severity = "WARN" if check.warning else "ERROR"
            result = {"check_name": check.name, "passed": check.passed, "severity": severity, "metadata": metadata}
            self._tell(f"report_asset_check/{path}", result)

    def _tell(self, path: str, body: Mapping[str, Any]) -> None:
        answer = self._post(path, body)
        if "error" in answer:
            raise DagsterApiError(SERVICE, f"{path} refused: {answer['error']}", "check the version of the webserver")

    def asset_keys(self) -> set[str]:
        """Keys (`group/name`) of the assets in the loaded code locations."""
        return {"/".join(node["assetKey"]["path"]) for node in self.query("AssetKeys")["assetNodes"]}

    def reload(self, location: str = LOCATION) -> None:
        """Reload the definitions of a code location; active runs continue.

        Raises:
            DagsterUnreachableError: no answer.
            DagsterApiError: there is no such location, it cannot be reloaded, or its code does not load.
        """
        found = self.query("Reload", {"location": location})["reloadRepositoryLocation"]
        loaded = found.get("locationOrLoadError") or {}
        if found["__typename"] != "WorkspaceLocationEntry" or loaded.get("__typename") == "PythonError":
            reason = _first_line(loaded.get("message") or found.get("message") or found["__typename"])
            raise DagsterApiError(
                SERVICE,
                f"the code location {location} was not reloaded ({reason})",
                "check the page Deployment of the Dagster UI",
            )

    def locate_job(self, job: str) -> tuple[str, str]:
        """(code location, repository) that holds `job`.

        Raises:
            LaunchRefusedError: no loaded code location has it; names those that failed to load.
        """
        data = self.query("Jobs")
        found = data["repositoriesOrError"]
        for node in found.get("nodes", []):
            if any(entry["name"] == job for entry in node["jobs"]):
                return node["location"]["name"], node["name"]
        broken = [
            f"{entry['name']} did not load: {_first_line(entry['locationOrLoadError'].get('message', ''))}"
            for entry in data["workspaceOrError"].get("locationEntries", [])
            if (entry["locationOrLoadError"] or {}).get("__typename") == "PythonError"
        ]
        known = sorted({e["name"] for node in found.get("nodes", []) for e in node["jobs"] if e["name"][0] != "_"})
        reason = "; ".join(broken) or f"known jobs: {', '.join(known) or 'none'}"
        raise LaunchRefusedError(
            SERVICE, f"{self._url} has no job {job!r} ({reason})", "check the page Deployment of the Dagster UI"
        )

    def launch(self, job: str, tags: Mapping[str, str] | None = None) -> str:
        """Start `job` and return the run id."""
        location, repository = self.locate_job(job)
        params = {
            "selector": {"repositoryLocationName": location, "repositoryName": repository, "jobName": job},
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in (tags or {}).items()]},
        }
        result = self.query("Launch", {"params": params})["launchRun"]
        if result["__typename"] == "LaunchRunSuccess":
            return result["run"]["runId"]
        messages = [error["message"] for error in result.get("errors", [])] or [result.get("message", "")]
        raise LaunchRefusedError(
            SERVICE,
            f"{job!r} was not started ({result['__typename']}: {'; '.join(messages)})",
            "fix what it names and start it again",
        )

    def newest_ended(self, limit: int = 200) -> dict[str, EndedRun]:
        """The newest ended run of each job, among the newest `limit` runs.

        Raises:
            DagsterUnreachableError: no answer.
            DagsterApiError: the reply is not a list of runs.
        """
        found = self.query("EndedRuns", {"limit": limit})["runsOrError"]
        if found["__typename"] != "Runs":
            raise DagsterApiError(SERVICE, f"no list of runs ({found.get('message', '')})", "look at its storage")
        ended = [
            EndedRun(one["runId"], one["jobName"], RunStatus(one["status"]), one["endTime"] or 0.0)
            for one in found["results"]
        ]
        newest: dict[str, EndedRun] = {}
        for one in sorted(ended, key=lambda run: run.ended_at):
            newest[one.job] = one
        return newest

    def run(self, run_id: str) -> RunOutcome:
        """The present state of the run, with failures when it has failed."""
        found = self.query("Run", {"runId": run_id})["runOrError"]
        if found["__typename"] != "Run":
            raise DagsterApiError(
                SERVICE, f"no run {run_id} ({found.get('message', found['__typename'])})", "check the run id"
            )
        status = RunStatus(found["status"])
        start, end = found["startTime"], found["endTime"]
        return RunOutcome(
            run_id=run_id,
            job=found["jobName"],
            status=status,
            seconds=max(0.0, (end or time.time()) - start) if start else 0.0,
            steps_done=sum(step["status"] in ("SUCCESS", "SKIPPED") for step in found["stepStats"]),
            steps_total=len(found["stepStats"]),
            failures=self._failures(run_id) if status is RunStatus.FAILURE else (),
        )

    def _failures(self, run_id: str) -> tuple[StepFailure, ...]:
        steps: list[StepFailure] = []
        whole: list[StepFailure] = []
        after: str | None = None
        while True:
            found = self.query("Failures", {"runId": run_id, "after": after, "limit": EVENT_PAGE})["runOrError"]
            page = found["eventConnection"]
            for event in page["events"]:
                if event["__typename"] == "ExecutionStepFailureEvent":
                    steps.append(StepFailure(event["stepKey"] or "", _step_reason(event)))
                elif event["__typename"] == "RunFailureEvent":
                    whole.append(StepFailure("", _first_line((event["error"] or event)["message"])))
            if not page["hasMore"]:
                return tuple(steps or whole)
            after = page["cursor"]

    def wait(
        self,
        run_id: str,
        timeout: float,
        progress: Callable[[RunOutcome], None] | None = None,
        poll_seconds: float = POLL_SECONDS,
    ) -> RunOutcome:
        """Wait until the run has ended, at most `timeout` seconds; tolerates a short outage of the webserver.

        Raises:
            RunTimeoutError: it has not ended; it keeps running.
            DagsterUnreachableError: the webserver did not answer until the limit.
        """
        deadline = time.monotonic() + timeout
        while True:
            silent: DagsterUnreachableError | None = None
            outcome: RunOutcome | None = None
            try:
                outcome = self.run(run_id)
            except DagsterUnreachableError as error:
                silent = error
            if outcome is not None:
                if progress is not None:
                    progress(outcome)
                if outcome.status.has_ended:
                    return outcome
            if time.monotonic() >= deadline:
                if silent is not None:
                    raise silent
                raise RunTimeoutError(
                    SERVICE,
                    f"run {run_id} has not ended after {timeout:.0f} s and goes on",
                    f"look at {self._url}/runs/{run_id}",
                )
            time.sleep(min(poll_seconds, max(0.0, deadline - time.monotonic())))

    def assets(self) -> list[AssetState]:
        """Every asset with its last materialisation and check results, by key."""
        states = [_asset_state(node) for node in self.query("Assets")["assetNodes"]]
        return sorted(states, key=lambda state: state.key)


def _step_reason(event: Mapping[str, Any]) -> str:
    """The innermost message: a step's own error is only `op X failed`, its cause says why."""
    described = (event["failureMetadata"] or {}).get("description")
    if described:
        return described
    error = event["error"] or {"message": "no reason recorded", "causes": []}
    return _first_line(([cause["message"] for cause in error["causes"]] or [error["message"]])[-1])


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""


def _asset_state(node: Mapping[str, Any]) -> AssetState:
    last = node["assetMaterializations"][0] if node["assetMaterializations"] else None
    return AssetState(
        key="/".join(node["assetKey"]["path"]),
        group=node["groupName"],
        # the API returns milliseconds as text
        materialised_at=float(last["timestamp"]) / 1000 if last else None,
        run_id=last["runId"] if last else None,
        checks=tuple(_check_state(check) for check in node["assetChecksOrError"].get("checks", [])),
    )


def _check_state(check: Mapping[str, Any]) -> CheckState:
    execution = check["executionForLatestMaterialization"]
    evaluation = (execution or {}).get("evaluation") or {}
    return CheckState(
        name=check["name"],
        status=execution["status"] if execution else "NEVER_RUN",
        severity=evaluation.get("severity") or "",
        description=evaluation.get("description") or "",
    )
