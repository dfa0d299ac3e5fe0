"""Records of deployments that another hand has changed."""

from __future__ import annotations

from typing import Any

import pytest

from gamestream_dagster.clients.errors import TerminalServiceError
from gamestream_dagster.flink_jobs.record.deployment_store import _deployment

RECORD: dict[str, Any] = {
    "deployment_id": "totals_v1-g3",
    "job": "totals_v1",
    "generation": 3,
    "fingerprint": "f00d",
    "flink_job_id": "id",
    "state": "RUNNING",
    "upgrade_mode": "savepoint",
    "spec": None,
}


def test_a_record_as_an_executor_writes_it_is_read():
    inputs = {"scores": {"topic_id": "abc", "began": {"0": 7}}}
    found = _deployment(RECORD | {"spec": {"inputs": inputs, "hold": {"kind": "keep", "against": "beef"}}})
    assert found.state.may_live
    assert found.inputs is not None
    assert found.inputs["scores"].beginnings == {0: 7}


@pytest.mark.parametrize(
    "change",
    [
        {"state": "BANANA"},
        {"state": None},
        {"spec": [1]},
        {"spec": "text"},
        {"spec": {"inputs": {"scores": {}}}},
        {"spec": {"inputs": {"scores": {"topic_id": None, "began": {"zero": 1}}}}},
        {"spec": {"inputs": [1]}},
        {"spec": {"hold": {"kind": "for ever", "against": ""}}},
        {"spec": {"hold": 1}},
    ],
)
def test_a_record_that_another_hand_changed_is_named_with_the_way_back(change: dict[str, Any]):
    with pytest.raises(TerminalServiceError) as caught:
        _deployment(RECORD | change)
    assert "totals_v1 generation 3" in caught.value.reason
    assert "DELETE FROM deployments WHERE job = 'totals_v1' AND generation = 3" in str(caught.value)
