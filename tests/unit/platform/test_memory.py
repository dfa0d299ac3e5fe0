"""Free memory: the machine's, or the control group's when that is less."""

from __future__ import annotations

import psutil
import pytest

from gamestream_dagster.platform import catalogue, memory
from gamestream_dagster.platform.errors import MemoryShortError


def test_too_little_memory_is_said_in_numbers():
    chosen = [catalogue.services()["kafka"], catalogue.services()["postgres"]]
    with pytest.raises(MemoryShortError, match=r"kafka, postgres needs about 700 MiB of memory and 699 MiB are free"):
        memory.require(chosen, 699)
    memory.require(chosen, 700)


def test_the_whole_stack_stays_under_six_gib():
    assert sum(service.memory_mib for service in catalogue.services().values()) <= 6 * 1024


def test_a_container_limit_counts(tmp_path):
    (tmp_path / "memory.max").write_text(str(300 * memory.MIB))
    (tmp_path / "memory.current").write_text(str(250 * memory.MIB))
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {20 * memory.MIB}\n")
    assert memory.available_mib(tmp_path) == 70


def test_no_limit_means_the_machine(tmp_path):
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1\n")
    machine = psutil.virtual_memory().available // memory.MIB
    assert memory.available_mib(tmp_path) == pytest.approx(machine, rel=0.2)
