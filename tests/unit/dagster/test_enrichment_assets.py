"""The enrichment tables as assets: published with their version, and watched for what they leave unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.enrichment.shares import Share, Shares, counted
from gamestream_dagster.enrichment.tables import Tables
from tests.support.fakes.dagster_facades import FakeEnrichment
from tests.support.fakes.dagster_runs import evaluations, failure, launch

GEO, DEVICES = "enrichment/geo_table", "enrichment/device_table"


def shares(country: tuple[int, int], device: tuple[int, int]) -> Shares:
    return Shares(Share(*country), Share(*device))


def test_materialising_publishes_the_tables_with_their_versions(tmp_path: Path) -> None:
    result = launch(GEO, DEVICES, enrichment=FakeEnrichment(tmp_path))
    assert result.success
    tables = Tables(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"geo.bin", "devices.json"}
    for key, table in ((GEO, tables.geo), (DEVICES, tables.devices)):
        [made] = result.asset_materializations_for_node("publish_enrichment_tables")[key == GEO :][:1]
        assert made.asset_key.to_user_string() == key
        assert {name: value.value for name, value in made.metadata.items()} == table.facts
        assert (made.tags or {})["dagster/data_version"] == table.version


def test_a_folder_that_cannot_be_written_fails_the_run_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in failure(launch(GEO, enrichment=FakeEnrichment(tmp_path / "file" / "home")))


def test_half_unknown_is_fine_and_more_is_a_warning(tmp_path: Path) -> None:
    enrichment = FakeEnrichment(tmp_path, shares((2000, 1001), (10, 5)))
    found = evaluations(launch(GEO, DEVICES, checks=True, enrichment=enrichment))
    geo, devices = found[GEO, "few_unknown"], found[DEVICES, "few_unknown"]
    assert (geo.passed, geo.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "50.0% of the newest 2,000 events are unknown" in (geo.description or "")
    assert "ingest_trusted_proxies" in (geo.description or "")
    assert geo.metadata["unknown"].value == 1001
    assert devices.passed


def test_without_events_nothing_is_said(tmp_path: Path) -> None:
    result = launch(GEO, DEVICES, checks=True, enrichment=FakeEnrichment(tmp_path))
    assert result.success
    assert evaluations(result) == {}


def test_kafka_that_does_not_answer_is_never_fine(tmp_path: Path) -> None:
    error = TransientServiceError("Kafka", "no answer", "see `gamestream status`")
    found = evaluations(launch(GEO, checks=True, enrichment=FakeEnrichment(tmp_path, error)))
    assert not found[GEO, "few_unknown"].passed
    assert "Could not look: Kafka: no answer" in (found[GEO, "few_unknown"].description or "")


NOWHERE = {"user_id": "u", "country": "unknown", "device_model": "x", "device_category": "unknown"}
CONSOLE = {"user_id": "u", "country": "SE", "device_model": "PS5", "device_category": "console"}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"user_id": "u", "country": "SE"}, shares((1, 0), (0, 0))),
        (NOWHERE, shares((1, 1), (1, 1))),
        (CONSOLE, shares((1, 0), (1, 0))),
        ({"user_id": None, "country": "unknown"}, shares((0, 0), (0, 0))),  # about a server
    ],
)
def test_what_counts_as_unknown(event: dict[str, Any], expected: Shares) -> None:
    assert counted([event]) == expected
