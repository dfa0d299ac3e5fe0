"""Makes the geo table from its source: the IPFire location database as Debian's `tor-geoipdb` ships it.

Run by `make geo-table`, in a checkout: `python -m gamestream_dagster.enrichment.geo_source FOLDER`, where FOLDER holds
the package's `geoip` and `geoip6`.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from gamestream_dagster.enrichment.errors import TableError
from gamestream_dagster.enrichment.geo_table import UNKNOWN, Range, pack
from gamestream_dagster.enrichment.tables import GEO_FILE, PACKAGED, replace_file

SOURCE: Final = "IPFire Location database, as in Debian's package tor-geoipdb"
LICENCE: Final = "CC-BY-SA-4.0"
ATTRIBUTION: Final = "IP location data: IPFire Project (location.ipfire.org), CC BY-SA 4.0"
_FACTS: Final = {"source": SOURCE, "licence": LICENCE, "attribution": ATTRIBUTION}

# Officially assigned codes of ISO 3166-1 alpha-2.
_ISO_3166: Final = """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC
    CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD
    GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH
    KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW
    MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC
    SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY
    UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""
ISO_CODES: Final = frozenset(_ISO_3166.split())
_ALIASES: Final = {"UK": "GB"}
# Whatever a source says of these, they are nobody's: IANA's special-purpose registries, multicast, reserved.
_SPECIAL_FOUR: Final = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
    192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3
"""
# the first and the last two are all that is not 2000::/3
_SPECIAL_SIX: Final = """
    ::/3 2001::/32 2001:2::/48 2001:10::/28 2001:20::/28 2001:db8::/32 2002::/16 3fff::/20 4000::/2 8000::/1
"""
_GENERATED: Final = re.compile(r"^# Generated:\s+\w{3}, (\d{2} \w{3} \d{4})", re.MULTILINE)
_FOUR_END: Final = 1 << 32
_SIX_END: Final = 1 << 64
_INTERFACE_BITS: Final = 64

Span = tuple[int, int, str]
"""First and last number of a range, and its country."""


def build(folder: Path) -> bytes:
    """The table's file from `geoip` and `geoip6` in a folder.

    Raises:
        TableError: a file is missing, or has a line of another form.
    """
    four_text, six_text = (_text(folder / name) for name in ("geoip", "geoip6"))
    special_four = [_span(network) for network in _SPECIAL_FOUR.split()]
    special_six = [_upper(_span(network)) for network in _SPECIAL_SIX.split()]
    four = flat(_spans(four_text, folder / "geoip"), special_four, _FOUR_END)
    six = flat((_upper(span) for span in _spans(six_text, folder / "geoip6")), special_six, _SIX_END)
    return pack(four, six, {"version": f"ipfire-{_date(six_text, folder)}", **_FACTS})


def flat(spans: Iterable[Span], special: Iterable[Span], end: int) -> Iterator[Range]:
    """Ranges from 0 to `end` without gaps, neighbours merged; `special` spans win over the others.

    Raises:
        TableError: the spans do not ascend.
    """
    last: str | None = None
    for start, country in _without(_filled(spans, end), sorted(special), end):
        if country != last:
            yield start, country
            last = country


def _filled(spans: Iterable[Span], end: int) -> Iterator[Span]:
    at = 0
    for start, stop, country in spans:
        if start < at:
            # several networks of one /64: the first has it
            if stop < at:
                continue
            start = at  # noqa: PLW2901
        if start > at:
            yield at, start - 1, UNKNOWN
        yield start, stop, country
        at = stop + 1
    if at < end:
        yield at, end - 1, UNKNOWN


def _without(spans: Iterable[Span], special: list[Span], end: int) -> Iterator[Range]:
    """Starts of ranges, with the special ones cut out. Spans are without gaps, special ones sorted."""
    waiting = [*special, (end, end, UNKNOWN)]
    place = 0
    for start, stop, country in spans:
        at = start
        while at <= stop:
            begins, ends, _ = waiting[place]
            if ends < at:
                place += 1
            elif begins <= at:
                yield at, UNKNOWN
                at = ends + 1
            else:
                yield at, country
                at = begins


def _spans(text: str, path: Path) -> Iterator[Span]:
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        try:
            first, last, code = line.split(",")
            yield _number(first), _number(last), _country(code)
        except ValueError as error:
            raise TableError(f"{path} has the line {line!r}", "give the files of tor-geoipdb") from error


def _country(code: str) -> str:
    code = _ALIASES.get(code, code)
    return code if code in ISO_CODES else UNKNOWN


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else int(ipaddress.IPv6Address(text))


def _span(network: str) -> Span:
    found = ipaddress.ip_network(network)
    return int(found.network_address), int(found.broadcast_address), UNKNOWN


def _upper(span: Span) -> Span:
    """The span in upper halves of addresses: a customer has at least a /64."""
    return span[0] >> _INTERFACE_BITS, span[1] >> _INTERFACE_BITS, span[2]


def _date(text: str, folder: Path) -> str:
    found = _GENERATED.search(text)
    if found is None:
        raise TableError(f"{folder} does not say when its data were generated", "give the files of tor-geoipdb")
    return datetime.strptime(found.group(1), "%d %b %Y").date().isoformat()  # noqa: DTZ007 - a day, no moment


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise TableError(f"{path} cannot be read ({error.strerror})", "run `make geo-table`") from error


if __name__ == "__main__":
    replace_file(PACKAGED / GEO_FILE, build(Path(sys.argv[1])))
