"""Categories and tiers of device models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gamestream_dagster.enrichment.device_table import UNKNOWN_DEVICE, DeviceTable
from gamestream_dagster.enrichment.errors import TableError
from gamestream_dagster.enrichment.tables import DEVICE_FILE, PACKAGED

DEVICES = DeviceTable(PACKAGED / DEVICE_FILE)
DOCUMENT: dict[str, Any] = {
    "version": "test-2026-01-01",
    "licence": "Apache-2.0",
    "source": "a test",
    "makers": ["acme"],
    "rules": [
        {"category": "phone", "tier": "low", "prefixes": ["One"]},
        {"category": "tablet", "tier": "high", "prefixes": ["One Pad", "ACME Two"]},
    ],
}


def made(path: Path, **changes: Any) -> DeviceTable:
    path.write_text(json.dumps(DOCUMENT | changes))
    return DeviceTable(path)


@pytest.mark.parametrize(
    ("model", "category", "tier"),
    [
        ("iPhone17,1", "phone", "high"),
        ("iPhone 16 Pro", "phone", "high"),
        ("iPhone14,6", "phone", "mid"),  # SE of 2022, in the number range of the 13
        ("iPhone12,8", "phone", "low"),
        ("iPhone1,1", "phone", "low"),
        ("iPhone11,8", "phone", "low"),
        ("iPhone99,9", "phone", "unknown"),
        ("iPad14,3", "tablet", "high"),
        ("SM-S918B", "phone", "high"),
        ("samsung SM-S918B", "phone", "high"),
        ("SAMSUNG  sm-a546b", "phone", "mid"),
        ("SM-A055F", "phone", "low"),
        ("SM-X910", "tablet", "high"),
        ("SM-T220", "tablet", "low"),
        ("SM-R960", "unknown", "unknown"),  # a watch
        ("Pixel 9 Pro", "phone", "high"),
        ("Google Pixel 9a", "phone", "mid"),
        ("Pixel Tablet", "tablet", "high"),
        ("MacBookPro18,1", "desktop", "high"),
        ("Windows 11", "desktop", "unknown"),
        ("PS5", "console", "high"),
        ("Nintendo Switch", "console", "low"),
        ("Nintendo Switch 2", "console", "high"),
        ("Xbox One X", "console", "mid"),
        ("AppleTV14,1", "tv", "unknown"),
        ("AFTKA", "tv", "unknown"),
    ],
)
def test_device_of_a_known_model(model: str, category: str, tier: str) -> None:
    assert DEVICES.device_of(model) == (category, tier)


@pytest.mark.parametrize(
    "model", [None, "", " ", "x", "\0", "\ud800", "İPhone 15", "x" * 10_000, "samsung", "samsung "]
)
def test_another_model_is_unknown(model: str | None) -> None:
    assert DEVICES.device_of(model) == UNKNOWN_DEVICE


def test_the_longest_prefix_wins_with_and_without_the_maker(tmp_path: Path) -> None:
    devices = made(tmp_path / DEVICE_FILE)
    assert devices.device_of("one 5") == ("phone", "low")
    assert devices.device_of("Acme One Pad 5") == ("tablet", "high")
    assert devices.device_of("acme two") == ("tablet", "high")
    assert devices.device_of("two") == UNKNOWN_DEVICE
    assert devices.facts == {"version": "test-2026-01-01", "licence": "Apache-2.0", "source": "a test", "prefixes": 3}


@pytest.mark.parametrize(
    "changes",
    [
        {"rules": []},
        {"rules": [{"category": "fridge", "tier": "low", "prefixes": ["F"]}]},
        {"rules": [{"category": "phone", "tier": "low", "prefixes": ["One", "one"]}]},
        {"rules": [{"category": "phone", "tier": "low", "prefixes": [""]}]},
        {"rules": [{"category": "phone", "tier": "low", "prefixes": ["Öne"]}]},
        {"version": 7},
        {"more": True},
    ],
)
def test_another_document_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(TableError, match="no device table"):
        made(tmp_path / DEVICE_FILE, **changes)
