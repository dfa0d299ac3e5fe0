"""The Flink format and Python look up addresses and devices alike, in packaged and in published tables.

No server: the format's own classes run in a JVM.
"""

from __future__ import annotations

import ipaddress
import json
import os
import random
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gamestream_dagster.catalogue.game_rules import rules_document
from gamestream_dagster.enrichment.geo_table import UNKNOWN, pack
from gamestream_dagster.enrichment.tables import DEVICE_FILE, GEO_FILE, PACKAGED, Tables, publish_all
from tests.support.java_probe import compiled

COLUMNS = ("event_id", "reason", "country", "geo_version", "device_category", "device_tier", "device_version")
WRITTEN = (
    "", " ", ":", "::", ":::", "::1", "1::", "1::2::3", "::ffff:81.2.69.142", "::ffff:81.2.69.256", "::81.2.69.142",
    "1:2:3:4:5:6:81.2.69.142", "1:2:3:4:5:6:7:81.2.69.142", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8::",
    "1::3:4:5:6:7:8", "1:2:3::5:6:7:8", "2a00:00001::", "2a00:g::", "2a00::1%eth0", "[2a00::1]", "01.2.3.4", "1.2.3",
    "1.2.3.4.", ".1.2.3.4", "1..2.3", "0.0.0.0", "00.0.0.0", "255.255.255.255", "1.2.3.4\0", "1.2.3.4 ", "８.8.8.8",
    "2001:４860::", "1:2:3:4:5:6:7", "1:", ":1", "1:2:3:4:5:6:7:8:", ":1:2:3:4:5:6:7:8", "::1.2.3", "1.2.3.4::",
    "samsung SM-S918B", "  iPhone15,2 ", "İPhone", "SAMSUNG  sm-a546b", "samsung", "samsung ", "google", "x" * 9_999,
    "Nintendo Switch 2", "iPhone14,6", "\tPS5", "\u00a0PS5", "PS5\u3000", "😀", "ßamsung",
)  # fmt: skip


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The commands that look up texts in Java, and that read events as rows."""
    return compiled(tmp_path_factory.mktemp("probe"), "EnrichmentProbe", "RowsProbe")


def in_java(probes: dict[str, list[str]], texts: list[str], folder: Path | None = None) -> list[dict[str, Any]]:
    environment = {name: value for name, value in os.environ.items() if name != "GAMESTREAM_ENRICHMENT_DIR"}
    if folder is not None:
        environment["GAMESTREAM_ENRICHMENT_DIR"] = str(folder)
    given = "".join(f"{text.encode().hex()}\n" for text in texts)
    done = subprocess.run(
        probes["EnrichmentProbe"], input=given, capture_output=True, text=True, check=True, env=environment
    )
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(found) == len(texts), done.stdout[:500]
    return found


def rows(probes: dict[str, list[str]], *events: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the format makes of events: the columns of enrichment."""
    given = "".join(f"{json.dumps(event).encode().hex()}\n" for event in events)
    command = [*probes["RowsProbe"], *COLUMNS]
    done = subprocess.run(command, input=f"{rules_document()}\n{given}", capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def in_python(tables: Tables, text: str) -> Mapping[str, str]:
    device = tables.device_of(text)
    return {
        "country": tables.country_of(text),
        "category": device.category,
        "tier": device.tier,
        "geo": tables.geo.version,
        "devices": tables.devices.version,
    }


def addresses(chance: random.Random) -> list[str]:
    """Addresses in several spellings, and such texts with a character changed."""
    found: list[str] = []
    for _ in range(2_000):
        four = ipaddress.IPv4Address(chance.getrandbits(32))
        six = ipaddress.IPv6Address((chance.choice([0x2001, 0x2400, 0x2A02, 0xFE80]) << 112) + chance.getrandbits(112))
        sparse = ipaddress.IPv6Address((0x2A02 << 112) + (chance.getrandbits(16) << chance.randrange(96)))
        found += [str(four), str(six), six.exploded.upper(), str(sparse), f"::ffff:{four}"]
    for text in found[:6_000]:
        at = chance.randrange(len(text))
        found.append(text[:at] + chance.choice(["", ":", ".", "0", "f", "g", "::", "9"]) + text[at + 1 :])
    return found


def models(chance: random.Random) -> list[str]:
    rules = json.loads((PACKAGED / DEVICE_FILE).read_text())
    prefixes = [prefix for rule in rules["rules"] for prefix in rule["prefixes"]]
    found = list(prefixes)
    for prefix in prefixes:
        maker = chance.choice(rules["makers"])
        found += [prefix[:-1], f"{prefix}0", prefix.upper(), f"{maker.title()} {prefix}x"]
    return found


def test_java_and_python_look_up_alike(probes: dict[str, list[str]], tmp_path: Path) -> None:
    chance = random.Random(11)
    texts = [*WRITTEN, *addresses(chance), *models(chance)]
    tables = Tables(tmp_path)
    found = in_java(probes, texts)
    wanted = [in_python(tables, text) for text in texts]
    unlike = [one for one in zip(texts, found, wanted, strict=True) if one[1] != one[2]]
    assert not unlike, (len(unlike), unlike[:3])
    assert len({one["country"] for one in found}) > 80


def test_published_tables_win_and_broken_ones_do_not(probes: dict[str, list[str]], tmp_path: Path) -> None:
    publish_all(tmp_path)
    ranges = [(0, UNKNOWN), (1 << 24, "SE")]
    (tmp_path / GEO_FILE).write_bytes(pack(ranges, [(0, UNKNOWN)], {"version": "test-2099-01-01"}))
    (tmp_path / DEVICE_FILE).write_text("{}")
    [found] = in_java(probes, ["81.2.69.142"], tmp_path)
    assert (found["country"], found["geo"]) == ("SE", "test-2099-01-01")
    assert found["devices"] == Tables(tmp_path / "none").devices.version


@pytest.mark.parametrize("spoil", ["cut", "magic", "empty"])
def test_broken_geo_table_leaves_that_of_the_jar(probes: dict[str, list[str]], tmp_path: Path, spoil: str) -> None:
    whole = (PACKAGED / GEO_FILE).read_bytes()
    (tmp_path / GEO_FILE).write_bytes({"cut": whole[:-1], "magic": b"x" + whole[1:], "empty": b""}[spoil])
    [found] = in_java(probes, ["81.2.69.142"], tmp_path)
    assert found["country"] == "GB"


def test_the_format_enriches_accepted_events_and_drops_addresses(probes: dict[str, list[str]], tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    geo, devices = tables.geo.version, tables.devices.version
    plain = {"event_id": "e", "user_id": "u", "event_type": "player_join", "event_time": "2026-01-31T12:00:00Z"}
    sent: list[tuple[dict[str, Any], tuple[str | None, ...]]] = [
        ({"ip_address": "81.2.69.142", "device_model": "samsung SM-S918B"}, ("GB", geo, "phone", "high", devices)),
        ({"ip_address": "2001:218::1"}, ("JP", geo, "unknown", "unknown", devices)),
        ({"ip_address": "10.0.0.1", "device_model": "x"}, ("unknown", geo, "unknown", "unknown", devices)),
        ({"ip_address": "no address"}, ("unknown", geo, "unknown", "unknown", devices)),
        ({"ip_address": "81.2.69.142", "country": "SE"}, ("SE", None, "unknown", "unknown", devices)),
        ({"ip_address": "", "country": ""}, ("unknown", None, "unknown", "unknown", devices)),
        ({}, ("unknown", None, "unknown", "unknown", devices)),
        ({"ip_address": 7}, (None,) * 5),
        ({"event_type": "none", "ip_address": "81.2.69.142"}, (None,) * 5),
    ]
    found = rows(probes, *(plain | fields for fields, _ in sent))
    assert [tuple(one[name] for name in COLUMNS[2:]) for one in found] == [wanted for _, wanted in sent]
    assert [one["reason"] for one in found] == [*[None] * 7, "WRONG_TYPE", "UNKNOWN_EVENT_TYPE"]
