"""The conversation with the SQL gateway: check a job, compile its plan, submit it. A session each, always closed."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from gamestream_dagster.clients.errors import TerminalServiceError
from gamestream_dagster.clients.flink_literal import literal
from gamestream_dagster.clients.flink_sql_gateway import GatewaySession, SqlGateway
from gamestream_dagster.flink_jobs.errors import SubmissionRejectedError
from gamestream_dagster.flink_jobs.plan.model import Compatibility
from gamestream_dagster.flink_jobs.spec.job_spec import Expiry
from gamestream_dagster.flink_jobs.target.render import RenderedJob

RECOVERY_PATH = "execution.state-recovery.path"
# Names and columns of the tables, but not their options: those hold the password.
_PLAN_OPTIONS = {"table.plan.compile.catalog-objects": "SCHEMA", "table.plan.force-recompile": "true"}
# Parts of a compiled plan that say nothing about state: ids run on from plan to plan, the rest is for people or tuning.
_PASSING_KEYS = frozenset({"id", "description", "configuration", "flinkVersion", "miniBatchInterval"})


class Submitter(Protocol):
    """What the executor needs of the gateway; `GatewaySubmitter` is the real one."""

    def check(self, job: str, rendered: RenderedJob, options: Mapping[str, str]) -> str | None:
        """Have Flink plan the job without starting it; the compiled plan, if it can be read."""
        ...

    def submit(self, job: str, rendered: RenderedJob, options: Mapping[str, str], restore: str | None) -> str:
        """Start the job, from `restore` if given; its job id."""
        ...


class GatewaySubmitter:
    """Submits through the SQL gateway.

    Args:
        gateway: the client.
        plans_dir: a folder that this machine and the gateway share; None: compiled plans cannot be read back, and
            the check is a plain EXPLAIN.

    Raises (from both methods):
        SubmissionRejectedError: Flink refuses the SQL or the job.
        TransientServiceError: the gateway gives no answer.
    """

    def __init__(self, gateway: SqlGateway, plans_dir: Path | None) -> None:
        self._gateway = gateway
        self._plans_dir = plans_dir

    def check(self, job: str, rendered: RenderedJob, options: Mapping[str, str]) -> str | None:
        """Have Flink plan the job without starting it; the compiled plan, if it can be read."""
        with _refusals(job), self._gateway.session(f"check-{job}", {**options, **_PLAN_OPTIONS}) as session:
            self._define(session, rendered)
            if self._plans_dir is None:
                session.explain(rendered.statement_set_body)
                return None
            return self._compile(session, rendered)

    def submit(self, job: str, rendered: RenderedJob, options: Mapping[str, str], restore: str | None) -> str:
        """Start the job, from `restore` if given; its job id."""
        with _refusals(job), self._gateway.session(f"submit-{job}", options) as session:
            self._define(session, rendered)
            if restore:
                session.set(RECOVERY_PATH, restore)
            try:
                if not rendered.edits_the_plan:
                    return session.submit(rendered.statement_set)
                return self._submit_plan(job, session, rendered)
            finally:
                if restore:  # it sticks to the session: whatever was submitted next would be restored from it too
                    session.reset(RECOVERY_PATH)

    def _submit_plan(self, job: str, session: GatewaySession, rendered: RenderedJob) -> str:
        """Submit the compiled plan, with what no SQL and no option can say."""
        if self._plans_dir is None:
            if rendered.id_horizon_ms is None:
                # slower, or with a state that grows, and as right
                return session.submit(rendered.statement_set)
            raise SubmissionRejectedError(
                f"Flink cannot be told how long {job} keeps the ids of events: that takes a folder which this machine "
                "and the SQL gateway share; take `dedup` out of the topic, or use the stack's own Flink"
            )
        for option, value in _PLAN_OPTIONS.items():
            session.set(option, value)
        plan = self._compile(session, rendered)
        if rendered.id_horizon_ms is not None:
            plan = with_id_horizon(plan, rendered.id_horizon_ms, rendered.id_key, rendered.id_topics)
        if rendered.aggregate_batch is not None:
            plan = with_aggregate_batch(plan, rendered.aggregate_batch)
        if rendered.expires is not None:
            plan = with_expiry(plan, rendered.expires)
        plan = numbered(plan)
        path = self._plans_dir / f"{uuid.uuid4().hex}.json"
        try:
            path.write_text(plan, encoding="utf-8")
            return session.submit(f"EXECUTE PLAN {literal(path.as_uri())}")
        finally:
            path.unlink(missing_ok=True)

    def _define(self, session: GatewaySession, rendered: RenderedJob) -> None:
        for statement in rendered.definitions:
            session.execute(statement)

    def _compile(self, session: GatewaySession, rendered: RenderedJob) -> str:
        assert self._plans_dir is not None  # noqa: S101 - the caller asked
        self._plans_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._plans_dir / f"{uuid.uuid4().hex}.json"
        try:
            session.compile_plan(rendered.statement_set_body, path.as_uri())
            return path.read_text(encoding="utf-8")
        finally:
            path.unlink(missing_ok=True)


class _refusals:  # noqa: N801 - a context manager that reads like a function
    """Turns a refusal of the gateway into the job manager's own error."""

    def __init__(self, job: str) -> None:
        self._job = job

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, TerminalServiceError):
            raise SubmissionRejectedError(f"Flink refuses {self._job}: {error.reason}; {error.instruction}") from error


def with_id_horizon(compiled: str, horizon_ms: int, key: Sequence[str], topics: int = 1) -> str:
    """A compiled plan in which the state that tells copies of events apart is forgotten after `horizon_ms`.

    One operator for each topic keeps the first row of each `key`, the columns that the topic declares in `dedup`, or
    counts the rows of each `key` so far (`COUNT(*) OVER`): each copy then renews the horizon.

    It takes each event as it comes, also where the others gather batches: ids hardly ever repeat, so that a
    batch of them would copy each row and fold none.

    Raises:
        SubmissionRejectedError: the plan does not have just one such operator for each topic.
    """
    plan = cast("dict[str, Any]", json.loads(compiled))
    firsts = [node for node in plan["nodes"] if set(key) <= _first_row_key(node) and len(node.get("state") or ()) == 1]
    counts = [node for node in plan["nodes"] if set(key) == _counted_key(node)]
    if len(firsts) + len(counts) != topics:
        raise SubmissionRejectedError(
            f"The plan has {len(firsts) + len(counts)} operators that tell copies by {', '.join(key)} and should have "
            f"{topics}, with one state each; look at the `counted_...` sources of the job and at what reads them"
        )
    for node in firsts:
        node["state"][0]["ttl"] = f"{horizon_ms} ms"
        node["configuration"] |= {"table.exec.mini-batch.enabled": "false"}
    for node in counts:
        node.setdefault("configuration", {})["table.exec.state.ttl"] = f"{horizon_ms} ms"
    return json.dumps(plan)


def _first_row_key(node: dict[str, Any]) -> set[str]:
    """The columns by which an operator of a compiled plan keeps the first row alone; of any other operator none."""
    if not node["type"].startswith("stream-exec-deduplicate") or node.get("keepLastRow", True):
        return set()
    columns = _columns(node["outputType"])
    return {columns[index] for index in node["uniqueKeys"] if index < len(columns)}


def _counted_key(node: dict[str, Any]) -> set[str]:
    """The columns by which an operator of a compiled plan counts rows so far; of any other operator none."""
    if not node["type"].startswith("stream-exec-over-aggregate"):
        return set()
    columns = _columns(node["outputType"])
    return {columns[index] for index in node["overSpec"]["partition"]["fields"] if index < len(columns)}


def _columns(row: Any) -> list[str]:
    """Names of a row type: Flink writes it as an object, or as text where no column has a time attribute."""
    if isinstance(row, dict):
        fields = cast("list[dict[str, Any]]", cast("dict[str, Any]", row)["fields"])
        return [str(field["name"]) for field in fields]
    inner = str(row).removeprefix("ROW<").removesuffix(">")
    while (flat := re.sub(r"<[^<>]*>", "", inner)) != inner:  # columns of nested rows are none of its own
        inner = flat
    return re.findall(r"`((?:[^`]|``)+)`", inner)


def with_aggregate_batch(compiled: str, rows: int) -> str:
    """A compiled plan whose unbounded aggregates gather rows: until a watermark, a checkpoint, or `rows` of them.

    The option for mini-batches would do so too, but it also puts a marker behind the source that swallows the
    watermarks of the windows beside the aggregate.

    Raises:
        SubmissionRejectedError: the plan has no such aggregate.
    """
    plan = cast("dict[str, Any]", json.loads(compiled))
    found = [node for node in plan["nodes"] if node["type"].startswith("stream-exec-group-aggregate")]
    if not found:
        raise SubmissionRejectedError(
            "No aggregate of the plan is without a window; remove `aggregate_batch` of job.yaml"
        )
    for node in found:
        node["configuration"] |= {"table.exec.mini-batch.enabled": "true", "table.exec.mini-batch.size": str(rows)}
    return json.dumps(plan)


def with_expiry(compiled: str, expires: Expiry) -> str:
    """A compiled plan whose aggregates without a window that group by some columns forget a group after a while.

    `OVER` windows that are partitioned by one of them forget a partition likewise.

    Raises:
        SubmissionRejectedError: no aggregate of the plan groups by one of the columns.
    """
    plan = cast("dict[str, Any]", json.loads(compiled))
    for column in expires.columns:
        found = [node for node in plan["nodes"] if column in _grouped_by(node)]
        if not found:
            raise SubmissionRejectedError(
                f"No aggregate of the plan groups by {column} without a window; correct `expires` of job.yaml"
            )
        for state in (state for node in found for state in node["state"]):
            state["ttl"] = f"{expires.after} ms"
    for node in plan["nodes"]:
        if _counted_key(node) & set(expires.columns):
            # one that tells copies has its own horizon
            node.setdefault("configuration", {}).setdefault("table.exec.state.ttl", f"{expires.after} ms")
    return json.dumps(plan)


def _grouped_by(node: dict[str, Any]) -> list[str]:
    """The columns by which an aggregate without a window groups; of any other operator none."""
    if not node["type"].startswith("stream-exec-group-aggregate"):
        return []
    return _columns(node["outputType"])[: len(node["grouping"])]


def numbered(compiled: str) -> str:
    """A compiled plan whose nodes are numbered from 1 in their order.

    Flink's own numbers run on from plan to plan, and it finds an operator's state by them: two plans of one shape must
    have the same.
    """
    plan = cast("dict[str, Any]", json.loads(compiled))
    numbers = {node["id"]: number for number, node in enumerate(plan["nodes"], 1)}
    for node in plan["nodes"]:
        node["id"] = numbers[node["id"]]
    for edge in plan["edges"]:
        edge["source"], edge["target"] = numbers[edge["source"]], numbers[edge["target"]]
    return json.dumps(plan)


def compare_plans(old: str | None, new: str | None) -> Compatibility:
    """Whether a job with the plan `new` can go on from the state of one with the plan `old`.

    The same operators in the same order, with the same inputs, keys, expressions and types: then every operator finds
    its own state. Anything else counts as incompatible, also where Flink might map a part of the state.
    """
    if old is None or new is None:
        return Compatibility.UNKNOWN
    return Compatibility.COMPATIBLE if plan_shape(old) == plan_shape(new) else Compatibility.INCOMPATIBLE


def plan_shape(compiled: str) -> str:
    """A compiled plan without what does not concern state, as text that can be compared."""
    plan = cast("dict[str, Any]", json.loads(compiled))
    numbers = {node["id"]: index for index, node in enumerate(plan["nodes"])}
    nodes = [_without_passing(node) for node in plan["nodes"]]
    edges = [{**edge, "source": numbers[edge["source"]], "target": numbers[edge["target"]]} for edge in plan["edges"]]
    return json.dumps({"nodes": nodes, "edges": edges}, sort_keys=True)


def _without_passing(value: Any) -> Any:
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        return {key: _without_passing(one) for key, one in entries.items() if key not in _PASSING_KEYS}
    if isinstance(value, list):
        return [_without_passing(one) for one in cast("list[Any]", value)]
    # Plans of connectors carry the resolved options of the sink; a change of address is no change of state.
    return re.sub(r"\s+", " ", value) if isinstance(value, str) else value
