"""What a heap still needs, asked of a real JVM."""

from __future__ import annotations

import subprocess

import pytest

from bench.live_heap import live_heap_bytes, total_of
from bench.results import BenchError
from bench.stacks import pid_of
from gamestream_dagster.clients.flink_rest import FlinkRest

MAX = "Status.JVM.Memory.Heap.Max"


def test_the_live_heap_is_within_what_the_jvm_may_have(stack):
    pid = pid_of(stack, "flink-taskmanager")
    with FlinkRest(stack.flink_rest) as flink:
        [one] = flink.task_managers()
        limit = flink.task_manager_metrics(one.task_manager_id, [MAX])[MAX]
    # Flink alone needs some ten MiB; asked twice, the second time over the socket that is open already
    for _ in range(2):
        assert 8 * 2**20 < live_heap_bytes(pid) < limit


def test_another_process_is_left_alone():
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            with pytest.raises(BenchError, match="not a JVM"):
                live_heap_bytes(other.pid)
            assert other.poll() is None
        finally:
            other.kill()
    with pytest.raises(BenchError, match="does not tell of its heap"):
        live_heap_bytes(other.pid)  # gone


def test_the_total_is_the_histograms_last_line():
    histogram = (
        " num  #instances  #bytes  class name\n   1:  10  240  [B (java.base)\nTotal            13            312\n"
    )
    assert total_of("0\n" + histogram) == 312
    for answer in ("", "1\n" + histogram, "0\nattach not allowed\n"):
        with pytest.raises(BenchError, match="did not count its heap"):
            total_of(answer)
