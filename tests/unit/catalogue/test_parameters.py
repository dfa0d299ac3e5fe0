"""Parameters of a job: one number for Flink and the recompute, and what cannot be one is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR, load_boards
from gamestream_dagster.catalogue.errors import CatalogueError
from gamestream_dagster.catalogue.parameters import MOST_TEXT, parameters_of, price_list, with_parameters
from gamestream_dagster.flink_jobs.errors import JobSpecError
from gamestream_dagster.flink_jobs.spec.catalogue import load_job
from gamestream_dagster.flink_jobs.target.render import bindings_for, render
from gamestream_dagster.flink_jobs.target.targets import target_for, what_ran
from gamestream_dagster.settings import load_settings

JOB = "game_alerts_v1"
FINE: dict[str, Any] = {"value": 3, "unit": "things", "description": "So many."}


def changed(root: Path, **parameters: Any) -> Path:
    """The jobs, with other parameters of one."""
    (root / JOB).mkdir(parents=True)
    (root / "_sources").symlink_to(FLINK_SQL_DIR / "_sources")
    for part in (FLINK_SQL_DIR / JOB).iterdir():
        if part.name != "job.yaml":
            (root / JOB / part.name).symlink_to(part)
    described = yaml.safe_load((FLINK_SQL_DIR / JOB / "job.yaml").read_text(encoding="utf-8"))
    described["parameters"] |= parameters
    (root / JOB / "job.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    return root


def test_one_number_reaches_flink_and_the_recompute(tmp_path: Path) -> None:
    root = changed(tmp_path / "jobs", velocity_purchases={**FINE, "value": 7})
    settings = load_settings(home=tmp_path / "home")
    sql = "".join(render(load_job(JOB, root), bindings_for(settings, JOB)).definitions)
    assert "purchases >= CAST('7' AS BIGINT)" in sql
    assert "count(*) >= '7'::BIGINT" in load_boards(root)["abuse_velocity"].recompute_sql


def test_a_change_is_another_version_and_a_record_keeps_its_own(tmp_path: Path) -> None:
    settings, spec = load_settings(home=tmp_path / "home"), load_job(JOB)
    other = load_job(JOB, changed(tmp_path / "jobs", velocity_purchases={**FINE, "value": 7}))
    assert other.code_version != spec.code_version
    assert target_for(settings, other).fingerprint != target_for(settings, spec).fingerprint
    assert what_ran(target_for(settings, other))["parameters"]["velocity_purchases"] == "7"


@pytest.mark.parametrize(
    ("parameter", "told"),
    [
        ({**FINE, "value": -1}, "greater than or equal to 0"),
        ({**FINE, "value": "3"}, "valid integer"),
        ({**FINE, "value": 2.5}, "valid integer"),
        ({"value": 3}, "unit: Field required"),
        ({"unit": "x", "description": "y"}, "give `value`, a whole number, or `prices`"),
        ({**FINE, "prices": "prices.yaml"}, "give `value`, a whole number, or `prices`"),
        ({"prices": "../secrets.yaml", "unit": "x", "description": "y"}, "prices: String should match"),
        ({"prices": "none.yaml", "unit": "x", "description": "y"}, "none.yaml cannot be used"),
        (7, "cannot be used"),
    ],
)
def test_what_is_no_parameter_is_named(tmp_path: Path, parameter: Any, told: str) -> None:
    with pytest.raises(CatalogueError, match=re.escape(told)):
        parameters_of({"parameters": {"limit": parameter}}, tmp_path)
    with pytest.raises(JobSpecError, match=re.escape(told)):
        load_job(JOB, changed(tmp_path / "jobs", velocity_purchases=parameter))


def test_names_and_shapes(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="needs a name of small letters"):
        parameters_of({"parameters": {"Limit": FINE}}, tmp_path)
    with pytest.raises(CatalogueError, match="must hold"):
        parameters_of({"parameters": [1]}, tmp_path)
    assert parameters_of({}, tmp_path) == {}


def test_a_placeholder_without_a_value_names_the_parameters() -> None:
    with pytest.raises(CatalogueError, match=r"recompute.sql: \$\{limit\} has no value; .* are: other"):
        with_parameters("SELECT ${limit}", {"other": "1"}, Path("recompute.sql"))
    assert with_parameters("SELECT ${one}", {"one": "it's"}, Path("x")) == "SELECT 'it''s'"


@pytest.mark.parametrize(
    ("prices", "told"),
    [
        ({"a|b": {"USD": ["1"]}}, "String should match"),
        ({"a": {"usd": ["1"]}}, "String should match"),
        ({"a": {"USD": ["0.0000001"]}}, "6 decimal places"),
        ({"a": {"USD": ["-1"]}}, "greater than or equal to 0"),
        ({f"item {number}": {"USD": ["1234567"]} for number in range(MOST_TEXT // 20)}, "Flink takes 60,000"),
    ],
)
def test_prices_that_cannot_be_used_are_named(tmp_path: Path, prices: Any, told: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(yaml.safe_dump({"version": "1", "prices": prices}), encoding="utf-8")
    with pytest.raises(CatalogueError, match=told):
        price_list(file)


def test_prices_are_exact(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    listed = {"hat": {"USD": ["4.99", 3], "JPY": [1_000_000_000]}, "Gilden-Hut ü": {"EUR": ["0.000001"]}}
    file.write_text(yaml.safe_dump({"version": "1", "prices": listed}, sort_keys=False), encoding="utf-8")
    assert price_list(file).text == ("|hat/USD/4990000|hat/USD/3000000|hat/JPY/1000000000000000|Gilden-Hut ü/EUR/1|")
