from __future__ import annotations

import json
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gamestream_dagster.flink_jobs.errors import SubmissionRejectedError
from gamestream_dagster.flink_jobs.execute.submission import (
    GatewaySubmitter,
    compare_plans,
    numbered,
    with_aggregate_batch,
    with_id_horizon,
)
from gamestream_dagster.flink_jobs.plan.model import Compatibility
from gamestream_dagster.flink_jobs.target.render import RenderedJob


def compiled(first_id: int = 1, **changes: Any) -> str:
    aggregate = {
        "id": first_id + 1,
        "type": "stream-exec-group-aggregate_1",
        "configuration": {"table.exec.mini-batch.size": "50000"},
        "grouping": [0],
        "outputType": "ROW<`a` VARCHAR(2147483647)>",
        "description": "GroupAggregate(groupBy=[a])",
        **changes,
    }
    source = {"id": first_id, "type": "stream-exec-table-source-scan_2", "description": "scan"}
    edge = {"source": first_id, "target": first_id + 1, "shuffle": {"type": "HASH"}}
    return json.dumps({"flinkVersion": "2.3", "nodes": [source, aggregate], "edges": [edge]})


def test_ids_descriptions_and_tuning_do_not_count() -> None:
    other = compiled(first_id=47, configuration={"table.exec.mini-batch.size": "1"}, description="words")
    assert compare_plans(compiled(), other) is Compatibility.COMPATIBLE


def test_another_key_operator_or_type_counts() -> None:
    for change in ({"grouping": [1]}, {"type": "stream-exec-rank_1"}, {"outputType": "ROW<`a` BIGINT>"}):
        assert compare_plans(compiled(), compiled(**change)) is Compatibility.INCOMPATIBLE


def test_a_missing_plan_is_not_taken_for_a_fitting_one() -> None:
    assert compare_plans(None, compiled()) is Compatibility.UNKNOWN
    assert compare_plans(compiled(), None) is Compatibility.UNKNOWN


KEY = ("user_id", "event_id")
COLUMNS = ("user_id", "nested", "event_id", "$10")
AS_TEXT = "ROW<`user_id` VARCHAR(20), `nested` ROW<`x` INT, `y` ROW<`z` INT>>, `event_id` VARCHAR(20), `$10` INT>"
AS_OBJECT = {"type": "ROW", "fields": [{"name": name, "fieldType": "INT"} for name in COLUMNS]}


def dedup(*key: str, keep_last: bool = False, row: Any = AS_OBJECT) -> dict[str, Any]:
    return {
        "type": "stream-exec-deduplicate_1",
        "uniqueKeys": [COLUMNS.index(name) for name in key],
        "keepLastRow": keep_last,
        "outputType": row,
    }


RANK = {"type": "stream-exec-rank_1", "description": "Rank(orderBy=[event_id])"}
DROPS_COPIES = dedup("user_id", "event_id", "$10")


def with_states(*operators: dict[str, Any]) -> str:
    batches = {"table.exec.mini-batch.enabled": "true"}
    nodes = [
        {"id": number, **one, "configuration": batches, "state": [{"index": 0, "ttl": "0 ms", "name": "s"}]}
        for number, one in enumerate(operators)
    ]
    return json.dumps({"nodes": nodes, "edges": []})


@pytest.mark.parametrize("row", [AS_OBJECT, AS_TEXT], ids=["object", "text"])
def test_only_the_state_that_keeps_the_ids_of_events_is_forgotten(row: Any) -> None:
    by_user, newest = dedup("user_id", "nested", row=row), dedup(*KEY, keep_last=True, row=row)
    plan = json.loads(with_id_horizon(with_states(RANK, dedup(*KEY, row=row), by_user, newest), 720_000, KEY))
    assert [node["state"][0]["ttl"] for node in plan["nodes"]] == ["0 ms", "720000 ms", "0 ms", "0 ms"]


def test_only_the_operator_that_keeps_the_ids_of_events_takes_them_as_they_come() -> None:
    compiled = with_states(RANK, DROPS_COPIES)
    plan = json.loads(with_id_horizon(compiled, 720_000, KEY))
    assert [node["configuration"]["table.exec.mini-batch.enabled"] for node in plan["nodes"]] == ["true", "false"]
    # such a job goes on from the state of one that gathered them, but for the horizon
    same = json.loads(compiled)
    same["nodes"][1]["state"][0]["ttl"] = "720000 ms"
    assert compare_plans(json.dumps(plan), json.dumps(same)) is Compatibility.COMPATIBLE


def counts(*key: str) -> dict[str, Any]:
    """An operator of `COUNT(*) OVER (PARTITION BY key ...)`, which keeps no `state` of its own in the plan."""
    fields = [COLUMNS.index(name) for name in key]
    return {
        "id": 1,
        "type": "stream-exec-over-aggregate_1",
        "overSpec": {"partition": {"fields": fields}},
        "outputType": AS_OBJECT,
    }


def test_an_operator_that_counts_copies_forgets_ids_too() -> None:
    plan = json.loads(with_id_horizon(json.dumps({"nodes": [RANK, counts(*KEY)], "edges": []}), 720_000, KEY))
    assert plan["nodes"][1]["configuration"] == {"table.exec.state.ttl": "720000 ms"}
    assert "configuration" not in plan["nodes"][0]


@pytest.mark.parametrize("operators", [[counts("user_id")], [counts(*KEY), counts(*KEY)]])
def test_a_plan_that_counts_by_another_key_or_twice_is_refused(operators: list[dict[str, Any]]) -> None:
    with pytest.raises(SubmissionRejectedError, match="tell copies by user_id, event_id"):
        with_id_horizon(json.dumps({"nodes": operators, "edges": []}), 720_000, KEY)


def test_a_job_that_reads_two_topics_forgets_the_ids_of_both() -> None:
    plan = json.loads(with_id_horizon(with_states(DROPS_COPIES, RANK, DROPS_COPIES), 720_000, KEY, 2))
    assert [node["state"][0]["ttl"] for node in plan["nodes"]] == ["720000 ms", "0 ms", "720000 ms"]
    with pytest.raises(SubmissionRejectedError, match=r"1 operators .* and should have 2"):
        with_id_horizon(with_states(DROPS_COPIES), 720_000, KEY, 2)


@pytest.mark.parametrize("found", [0, 2])
def test_a_plan_without_just_one_such_state_is_refused(found: int) -> None:
    with pytest.raises(SubmissionRejectedError, match=f"{found} operators"):
        with_id_horizon(with_states(*[DROPS_COPIES] * found), 720_000, KEY)


def test_without_a_shared_folder_a_job_that_keeps_ids_is_refused() -> None:
    class Gateway:
        @contextmanager
        def session(self, name: str, options: Any) -> Any:
            yield SimpleNamespace(set=lambda key, value: None)

    submitter = GatewaySubmitter(cast("Any", Gateway()), None)
    with pytest.raises(SubmissionRejectedError, match="keeps the ids of events: that takes a folder"):
        submitter.submit("totals_v1", RenderedJob((), "", 720_000), {}, None)


def test_only_aggregates_without_a_window_gather_rows() -> None:
    plan = json.loads(with_aggregate_batch(compiled(), 5000))
    source, aggregate = plan["nodes"]
    assert "configuration" not in source
    assert aggregate["configuration"] == {
        "table.exec.mini-batch.enabled": "true",
        "table.exec.mini-batch.size": "5000",
    }
    # such a job goes on from the state of one that does not gather
    assert compare_plans(json.dumps(plan), compiled()) is Compatibility.COMPATIBLE


def test_a_plan_with_nothing_to_gather_is_refused() -> None:
    with pytest.raises(SubmissionRejectedError, match="remove `aggregate_batch`"):
        with_aggregate_batch(compiled(type="stream-exec-global-window-aggregate_1"), 5000)


def test_without_a_shared_folder_a_job_that_only_gathers_is_submitted_as_it_is() -> None:
    submitted: list[str] = []

    class Gateway:
        @contextmanager
        def session(self, name: str, options: Any) -> Any:
            yield SimpleNamespace(submit=lambda text: submitted.append(text) or "id")

    rendered = RenderedJob((), "EXECUTE STATEMENT SET BEGIN END", aggregate_batch=5000)
    assert GatewaySubmitter(cast("Any", Gateway()), None).submit("ticks_v1", rendered, {}, None) == "id"
    assert submitted == [rendered.statement_set]


def test_two_plans_of_one_shape_number_their_nodes_alike() -> None:
    """Flink finds an operator's state by its number, and its own numbers run on from plan to plan."""
    assert numbered(compiled(first_id=1)) == numbered(compiled(first_id=58))
    plan = json.loads(numbered(compiled(first_id=58)))
    assert [node["id"] for node in plan["nodes"]] == [1, 2]
    assert [(edge["source"], edge["target"]) for edge in plan["edges"]] == [(1, 2)]
