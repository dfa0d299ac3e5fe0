"""Series that are the result of a query: what a row becomes, and a stack's own series."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gamestream_dagster.alerts.errors import RuleError
from gamestream_dagster.alerts.rules import Series, load_book
from gamestream_dagster.monitoring.warehouse_series import samples_of

SERIES = Series(name="dau_drop", meaning="Made up.", labels=("region",), source="warehouse")


def test_a_row_is_a_sample_with_its_labels_and_evidence() -> None:
    rows = [{"region": "EU", "value": Decimal("0.5"), "players": 7, "day": Path("x")}, {"region": "US", "value": None}]
    sample, silent = samples_of(SERIES, rows, 5.0)
    assert (silent.labels, math.isnan(silent.value)) == ((("region", "US"),), True)
    assert (sample.labels, sample.value, sample.at) == ((("region", "EU"),), 0.5, 5.0)
    assert sample.evidence == {"players": 7, "day": "x"}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"region": "EU"}, "no column 'value'"),
        ({"value": 1}, "no column 'region'"),
        ({"region": "EU", "value": "much"}, "value is a str; select a number"),
    ],
)
def test_a_row_that_is_no_sample_names_the_query(row: dict[str, Any], said: str) -> None:
    with pytest.raises(RuleError, match=r"series/dau_drop\.sql") as raised:
        samples_of(SERIES, [row], 0.0)
    assert said in str(raised.value)


OWN = """
series:
  - {name: dau_drop, meaning: players of today by the same weekday, labels: [region], source: warehouse}
alerts:
  - {name: dau_drop, condition: dau_drop < 0.7, for: 1h, severity: critical, message: fewer players,
     runbook: docs/runbooks/data_freshness.md}
"""


def test_an_alert_over_a_table_is_two_entries_and_a_query(tmp_path: Path) -> None:
    (tmp_path / "alerts.yaml").write_text(OWN, encoding="utf-8")
    with pytest.raises(RuleError, match="cannot be read; write the query into it"):
        load_book(tmp_path)
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "dau_drop.sql").write_text("SELECT 'EU' AS region, 1 AS value", encoding="utf-8")
    book = load_book(tmp_path)
    assert book.rule("dau_drop").parsed.series == ("dau_drop",)
    assert set(book.queries) == {*load_book().queries, "dau_drop"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("source: warehouse", "source: kafka", "write `source: warehouse`"),
        ("name: dau_drop, meaning", "name: kafka_consumer_lag, meaning", "a series of ours has this name"),
    ],
)
def test_a_series_of_a_stack_is_a_query_with_a_name_of_its_own(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "alerts.yaml").write_text(OWN.replace(old, new), encoding="utf-8")
    with pytest.raises(RuleError, match=said):
        load_book(tmp_path)
