"""Publishing the tables, and servers that see a new one without a restart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gamestream_dagster.enrichment import tables as tables_module
from gamestream_dagster.enrichment.errors import TableError
from gamestream_dagster.enrichment.geo_table import UNKNOWN, pack
from gamestream_dagster.enrichment.tables import DEVICE_FILE, GEO_FILE, LOOK_SECONDS, PACKAGED, Tables, publish
from gamestream_dagster.ingest.geo import Located, Locator


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def geo(folder: Path, version: str, country: str = "SE") -> Path:
    folder.mkdir(exist_ok=True)
    ranges = [(0, UNKNOWN), (1 << 24, country)]
    (folder / GEO_FILE).write_bytes(pack(ranges, [(0, UNKNOWN)], {"version": version}))
    return folder


def test_without_published_tables_the_packaged_ones_serve(tmp_path: Path) -> None:
    tables = Tables(tmp_path / "none")
    assert tables.country_of("81.2.69.142") == "GB"
    assert tables.device_of("PS5") == ("console", "high")


def test_a_published_table_is_seen_without_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    tables = Tables(tmp_path / "home", clock)
    locate = Locator(tables)
    assert locate("81.2.69.142").country == "GB"
    publish(tmp_path / "home", GEO_FILE, geo(tmp_path / "new", "test-2099-01-01"))
    assert locate("81.2.69.142").country == "GB"
    clock.now += LOOK_SECONDS
    assert locate("81.2.69.142") == Located("SE", "test-2099-01-01")


def test_a_broken_table_leaves_the_one_in_use(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    tables = Tables(geo(tmp_path / "home", "test-2099-01-01"), clock)
    assert tables.country_of("81.2.69.142") == "SE"
    partial = tmp_path / "home" / "partial"
    partial.write_bytes(b"broken")
    partial.replace(tmp_path / "home" / GEO_FILE)
    for _ in range(3):
        clock.now += LOOK_SECONDS
        assert tables.country_of("81.2.69.142") == "SE"
    assert len([one for one in caplog.messages if "test-2099-01-01 stays in use" in one]) == 1


def test_a_table_that_vanishes_stays_in_use(tmp_path: Path) -> None:
    clock = Clock()
    tables = Tables(geo(tmp_path / "home", "test-2099-01-01"), clock)
    assert tables.country_of("81.2.69.142") == "SE"
    (tmp_path / "home" / GEO_FILE).unlink()
    clock.now += LOOK_SECONDS
    assert tables.country_of("81.2.69.142") == "SE"


def test_publishing_keeps_what_is_newer_by_date(tmp_path: Path) -> None:
    home = tmp_path / "home"
    publish(home, GEO_FILE, geo(tmp_path / "new", "zzz-2026-01-02"))
    assert publish(home, GEO_FILE, geo(tmp_path / "old", "zzz-2026-01-01")).version == "zzz-2026-01-02"
    assert publish(home, GEO_FILE, geo(tmp_path / "newer", "aaa-2026-01-03")).version == "aaa-2026-01-03"
    assert [path.name for path in home.iterdir()] == [GEO_FILE]


def test_of_one_version_the_packaged_content_wins(tmp_path: Path) -> None:
    home = geo(tmp_path / "home", "test-2026-01-01", "SE")
    publish(home, GEO_FILE, geo(tmp_path / "new", "test-2026-01-01", "GB"))
    assert Tables(home).country_of("81.2.69.142") == "GB"


def test_a_table_that_is_overwritten_in_place_harms_nobody(tmp_path: Path) -> None:
    clock = Clock()
    home = geo(tmp_path / "home", "test-2099-01-01")
    tables = Tables(home, clock)
    assert tables.country_of("81.2.69.142") == "SE"
    with (home / GEO_FILE).open("r+b") as file:
        file.truncate(10)
    assert tables.country_of("81.2.69.142") == "SE"
    clock.now += LOOK_SECONDS
    assert tables.country_of("81.2.69.142") == "SE"


def test_publishing_replaces_a_broken_table(tmp_path: Path) -> None:
    (tmp_path / DEVICE_FILE).write_text("{}")
    assert publish(tmp_path, DEVICE_FILE).version == json.loads((PACKAGED / DEVICE_FILE).read_text())["version"]


def test_a_broken_new_table_is_not_published(tmp_path: Path) -> None:
    geo(tmp_path / "home", "test-2026-01-01")
    (tmp_path / GEO_FILE).write_bytes(b"broken")
    with pytest.raises(TableError, match="no geo table"):
        publish(tmp_path / "home", GEO_FILE, tmp_path)
    assert Tables(tmp_path / "home").geo.version == "test-2026-01-01"


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TableError, match="cannot be written"):
        publish(tmp_path / "file" / "home", GEO_FILE)


def test_the_packaged_tables_are_of_a_day(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    for table in (tables.geo, tables.devices):
        assert tables_module.DATED.search(table.version), table.version
