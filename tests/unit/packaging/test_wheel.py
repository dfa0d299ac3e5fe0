"""What the wheel holds, and what an installed package says about the parts that it lacks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from typer.testing import CliRunner

from gamestream_dagster.cli import bench
from gamestream_dagster.cli.main import build

ROOT = Path(__file__).parents[3]


def test_the_wheel_holds_the_product_without_benchmarks_and_tests() -> None:
    held = {Path(file.distribution_path) for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    parts = {"gamestream_dagster", "quality", "flink_sql", "batch_sql", "pyproject.toml"}
    assert {path.parts[0] for path in held} == parts
    assert Path("gamestream_dagster/cli/bench.py") in held
    assert not [path for path in held if "benchmarks" in path.parts]


@pytest.mark.parametrize("arguments", [[], ["streaming", "--rounds", "3"]])
def test_without_a_checkout_bench_says_where_benchmarks_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]
) -> None:
    monkeypatch.setattr(bench, "PROJECT_ROOT", tmp_path)
    done = CliRunner().invoke(build(), ["bench", *arguments])
    assert done.exit_code != 0
    assert "benchmarks run from a checkout" in str(done.exception)


def test_a_checkout_has_the_measures() -> None:
    shown = CliRunner().invoke(build(), ["bench", "--help"], env={"COLUMNS": "200"})
    assert "streaming, latency, recompute, proof" in shown.output
