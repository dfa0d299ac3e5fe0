"""Every hand-made case of `batch_sql/`, through the archive's own judge and DuckDB."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.metric_cases import METRICS, Case, all_cases, expected_rows, rows_of


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: f"{case.metric}-{case.name}")
def test_a_day_has_the_rows_of_its_case(case: Case, tmp_path: Path) -> None:
    assert rows_of(tmp_path, case) == expected_rows(case)


def test_every_metric_has_cases() -> None:
    tested = {case.metric for case in all_cases()}
    assert tested == METRICS.keys()
