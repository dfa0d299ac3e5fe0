from __future__ import annotations

import json
from typing import Any

from gamestream_dagster.flink_jobs.plan import Compatibility
from gamestream_dagster.flink_jobs.submission import compare_plans


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
