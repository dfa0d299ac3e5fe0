"""Experiments as assets: one for each plan, with the split and the frozen plan as checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from gamestream_dagster.components.planned_experiments import build_experiment_definitions, experiment_key
from gamestream_dagster.experiments.certificate import read_experiment_certificate, verify_experiment
from gamestream_dagster.resources.experiments import Experiments
from gamestream_dagster.settings import Settings, load_settings
from tests.support.experiment_events import METRICS, archive, crowd, exposed


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


def written(folder: Path, **changes: Any) -> Path:
    content = {
        "experiment": "gate",
        "control": "a",
        "variants": {"a": 1, "b": 1},
        "metrics": METRICS,
        "exposure": {"window": "1h"},
        "stop": {"horizon": {"players": 100}},
    }
    path = folder / "gate.yaml"
    path.write_text(yaml.safe_dump(content | changes))
    return path


def read(path: Path, settings: Settings) -> dg.ExecuteInProcessResult:
    definitions = build_experiment_definitions([path])
    return dg.materialize(
        list(definitions.assets or []), resources={"experiments": Experiments(settings)}, raise_on_error=False
    )


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {one.check_name: one for one in result.get_asset_check_evaluations()}


def test_a_plan_is_read_and_its_certificate_verifies(tmp_path: Path, settings: Settings) -> None:
    archive(settings, crowd())
    result = read(written(tmp_path), settings)
    assert result.success
    [made] = result.asset_materializations_for_node("serving__experiment_gate")
    assert made.asset_key == experiment_key("gate")
    facts = {name: value.value for name, value in made.metadata.items()}
    assert facts["status"] == "READ"
    assert str(facts["sentence"]).startswith("b is worse than a: bought -40.00 points")
    assert (facts["players"], facts["crossovers"], facts["waiting"]) == (300, 0, 0)
    assert {name: one.passed for name, one in checks(result).items()} == {
        "split_as_planned": True,
        "plan_unchanged": True,
    }
    certificate = read_experiment_certificate(Path(str(facts["certificate"])))
    assert verify_experiment(certificate, settings, tmp_path) == []


def test_a_plan_that_is_changed_after_the_first_reading_fails_its_check(tmp_path: Path, settings: Settings) -> None:
    archive(settings, crowd())
    read(written(tmp_path), settings)
    changed = written(tmp_path, alpha=0.2)
    for _ in range(2):
        found = checks(read(changed, settings))["plan_unchanged"]
        assert not found.passed
        assert found.severity is dg.AssetCheckSeverity.ERROR
        assert "decided after a look" in (found.description or "")
    assert checks(read(written(tmp_path), settings))["plan_unchanged"].passed


def test_a_broken_split_is_an_error(tmp_path: Path, settings: Settings) -> None:
    archive(settings, [*crowd(), *(exposed(f"more{number}", "b") for number in range(100))])
    found = checks(read(written(tmp_path, exposure={}), settings))["split_as_planned"]
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.ERROR


def test_a_plan_that_cannot_be_used_fails_its_own_run_only(tmp_path: Path, settings: Settings) -> None:
    path = written(tmp_path, control="z")
    definitions = build_experiment_definitions([path])
    [asset] = [one for one in definitions.assets or [] if isinstance(one, dg.AssetsDefinition)]
    [spec] = asset.specs
    assert "This plan cannot be used" in (spec.description or "")
    assert not read(path, settings).success


def test_without_exposures_the_run_fails_with_a_sentence(tmp_path: Path, settings: Settings) -> None:
    result = read(written(tmp_path), settings)
    assert not result.success
    [failed] = result.filter_events(lambda event: event.is_step_failure)
    assert "has no exposure to 'gate' that counts" in str(failed.step_failure_data.error_display_string)
