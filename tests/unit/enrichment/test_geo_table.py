"""Countries of addresses: the shipped table, the file's form, and how it is made."""

from __future__ import annotations

import ipaddress
import random
from pathlib import Path

import pytest

from gamestream_dagster.enrichment import geo_source
from gamestream_dagster.enrichment.errors import TableError
from gamestream_dagster.enrichment.geo_source import ISO_CODES, build, flat
from gamestream_dagster.enrichment.geo_table import UNKNOWN, GeoTable, pack
from gamestream_dagster.enrichment.tables import GEO_FILE, PACKAGED

GEO = GeoTable(PACKAGED / GEO_FILE)
FACTS = {"version": "test-2026-01-01"}
HEAD = "# Generated: Thu, 25 Jun 2026 04:33:59 GMT\n"


@pytest.fixture
def table(tmp_path: Path) -> GeoTable:
    return made(tmp_path, [(0, UNKNOWN), (1 << 24, "AU"), (2 << 24, UNKNOWN)], [(0, UNKNOWN), (0x2001 << 48, "SE")])


def made(folder: Path, four: list[tuple[int, str]], six: list[tuple[int, str]]) -> GeoTable:
    (folder / GEO_FILE).write_bytes(pack(four, six, FACTS))
    return GeoTable(folder / GEO_FILE)


# MaxMind's published test addresses, but for 67.43.156.0/24: Bhutan is an invention of its test file, and the network
# is registered in the United States.
@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("81.2.69.142", "GB"),
        ("2.125.160.216", "GB"),
        ("216.160.83.56", "US"),
        ("89.160.20.112", "SE"),
        ("67.43.156.1", "US"),
        ("175.16.199.1", "CN"),
        ("2001:218::1", "JP"),
        ("2001:240::1", "JP"),
        ("2001:230::1", "KR"),
        ("2a02:dac0::1", "RU"),
        ("2001:4860:4860::8888", "US"),
        ("2001:67c:2e8::1", "NL"),
        ("::ffff:81.2.69.142", "GB"),
        ("::FFFF:5102:458e", "GB"),
    ],
)
def test_country_of_a_known_address(address: str, country: str) -> None:
    assert GEO.country_of(address) == country


SPECIAL = """
    0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 169.254.1.1 172.16.0.1 172.31.255.255 192.168.1.1 192.0.2.1 198.18.0.1
    198.51.100.7 203.0.113.9 224.0.0.1 240.0.0.1 255.255.255.255 :: ::1 fe80::1 fc00::1 fd12::1 ff02::1 2001:db8::1
    ::ffff:10.0.0.1 ::ffff:0:0 64:ff9b::8.8.8.8 2002:808:808::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 3fff::1
"""


@pytest.mark.parametrize("address", SPECIAL.split())
def test_special_addresses_are_unknown(address: str) -> None:
    assert GEO.country_of(address) == UNKNOWN


@pytest.mark.parametrize(
    "text",
    ["", " ", "8.8.8", "8.8.8.8.8", "8.8.8.256", "08.8.8.8", "8.8.8.8 ", " 8.8.8.8", "8.8.8.8\0", "8.8.8.8:80", "8",
     "134744072", "0x8.8.8.8", "-8.8.8.8", "[::1]", "2001:4860::8888%eth0", "2001:4860:::8888", "2001:4860::8888::",
     "::ffff:8.8.8.256", "dns.google", "８.８.８.８", "\ud800", "x" * 10_000, ":", "1:2:3:4:5:6:7:8:9"],
)  # fmt: skip
def test_what_is_no_address_is_unknown(text: str) -> None:
    assert GEO.country_of(text) == UNKNOWN


def test_the_shipped_table_says_where_it_is_from_and_under_which_licence() -> None:
    assert GEO.facts["licence"] == "CC-BY-SA-4.0"
    assert GEO.version.startswith("ipfire-")
    notice = (Path(__file__).parents[3] / "NOTICE").read_text(encoding="utf-8")
    assert GEO.version.removeprefix("ipfire-") in notice
    assert "IPFire" in notice


def test_countries_are_those_of_iso_3166() -> None:
    assert set(GEO.countries[1:]) <= ISO_CODES
    assert len(ISO_CODES) == 249


def test_few_public_addresses_are_unknown() -> None:
    chance = random.Random(7)
    drawn = (ipaddress.IPv4Address(chance.getrandbits(32)) for _ in range(20_000))
    public = [str(one) for one in drawn if one.is_global and not one.is_multicast]
    unknown = sum(GEO.country_of(one) == UNKNOWN for one in public)
    assert unknown / len(public) < 0.01


def test_ends_of_ranges_belong_to_them(table: GeoTable) -> None:
    found = [table.country_of(one) for one in ("0.255.255.255", "1.0.0.0", "1.255.255.255", "2.0.0.0")]
    assert found == [UNKNOWN, "AU", "AU", UNKNOWN]
    assert table.country_of("2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff") == UNKNOWN
    assert table.country_of("2001::") == "SE"


@pytest.mark.parametrize("spoil", ["empty", "magic", "cut", "longer", "header", "place", "short"])
def test_file_that_is_no_table_is_refused(tmp_path: Path, table: GeoTable, spoil: str) -> None:
    path = tmp_path / GEO_FILE
    whole = path.read_bytes()
    path.write_bytes({
        "empty": b"",
        "magic": b"X" + whole[1:],
        "cut": whole[:-1],
        "longer": whole + b"\0",
        "header": whole.replace(b'"ipv4":', b'"ipv5":'),
        "place": whole[:-1] + b"\xff",
        "short": whole[:10],
    }[spoil])  # fmt: skip
    with pytest.raises(TableError, match=r"no geo table: .*; run `make geo-table`, or restore the installed package\."):
        GeoTable(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no geo table"):
        GeoTable(tmp_path / "none")


@pytest.mark.parametrize("ranges", [[], [(1, "SE")], [(0, "SE"), (0, "GB")], [(0, "SE"), (9, "GB"), (5, "SE")]])
def test_ranges_must_ascend_from_zero(ranges: list[tuple[int, str]]) -> None:
    with pytest.raises(TableError, match="ascend"):
        pack(ranges, [(0, UNKNOWN)], FACTS)


def test_gaps_are_unknown_neighbours_merge_and_special_ranges_win() -> None:
    spans = [(2, 3, "SE"), (4, 5, "SE"), (6, 11, "GB"), (14, 14, "FR")]
    special = [(5, 6, UNKNOWN), (8, 9, UNKNOWN)]
    found = [*flat(spans, special, 16)]
    starts = {2: "SE", 5: UNKNOWN, 7: "GB", 8: UNKNOWN, 10: "GB", 12: UNKNOWN, 14: "FR", 15: UNKNOWN}
    assert found == [(0, UNKNOWN), *starts.items()]


def test_flat_ranges_agree_with_a_plain_search() -> None:
    chance = random.Random(3)
    for _ in range(200):
        cuts = sorted(chance.sample(range(64), 12))
        spans = [(one, two - 1, chance.choice(["SE", "GB"])) for one, two in zip(cuts[::2], cuts[1::2], strict=True)]
        begins = sorted(chance.sample(range(63), 4))
        special = [(begins[0], begins[1] - 1, UNKNOWN), (begins[2], begins[3], UNKNOWN)]
        ranges = dict(flat(spans, special, 64))
        found = UNKNOWN
        for number in range(64):
            found = ranges.get(number, found)
            hit = next((code for one, two, code in [*special, *spans] if one <= number <= two), UNKNOWN)
            assert found == hit, (number, spans, special)


def test_the_source_is_read_with_its_aliases_and_without_codes_of_no_country(tmp_path: Path) -> None:
    (tmp_path / "geoip").write_text("# a\n16777216,16777471,UK\n16777472,16777727,EU\n33554432,33554687,??\n")
    (tmp_path / "geoip6").write_text(f"{HEAD}2a00::,2a00:0:0:1:ffff:ffff:ffff:ffff,SE\n2a00:0:0:2::,2a00:0:0:2::3,FR\n")
    path = tmp_path / GEO_FILE
    path.write_bytes(build(tmp_path))
    found = GeoTable(path)
    assert found.version == "ipfire-2026-06-25"
    assert found.countries == (UNKNOWN, "FR", "GB", "SE")
    assert [found.country_of(one) for one in ("1.0.0.1", "1.0.1.1", "2.0.0.1", "2a00::1", "2a00:0:0:2::9")] == [
        "GB", UNKNOWN, UNKNOWN, "SE", "FR",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("four", "six", "said"),
    [
        ("1,2\n", HEAD, "has the line '1,2'"),
        ("1,x,SE\n", HEAD, "has the line '1,x,SE'"),
        ("1,2,SE\n", "", "does not say when"),
        (None, HEAD, "cannot be read"),
    ],
)
def test_another_source_is_refused(tmp_path: Path, four: str | None, six: str, said: str) -> None:
    (tmp_path / "geoip6").write_text(six)
    if four is not None:
        (tmp_path / "geoip").write_text(four)
    with pytest.raises(TableError, match=said):
        geo_source.build(tmp_path)
