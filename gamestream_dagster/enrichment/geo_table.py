"""Countries of addresses: one packed file of sorted arrays.

The file is little-endian: 8 bytes `GSGEO001`, the length of the header (uint32), the header (JSON, padded with spaces
so that the arrays begin at a multiple of 8), then four arrays: starts of IPv4 ranges (uint32, ascending), starts of
IPv6 ranges (uint64: the upper 64 bits of the address, ascending), and for each of them the place of its country in the
header's `countries` (uint8). A range ends where the next begins; the first begins at 0, and the country at place 0 is
`unknown`. `GeoTable.java` reads the same file.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from gamestream_dagster.enrichment.errors import TableError

UNKNOWN: Final = "unknown"
MAGIC: Final = b"GSGEO001"
_PREFIX: Final = struct.Struct("<8sI")
_ALIGNMENT: Final = 8
_MAPPED: Final = bytes(10) + b"\xff\xff"
"""An IPv4 address in an IPv6 one: ::ffff:0:0/96."""
_V4_BYTES: Final = 4
_MOST_COUNTRIES: Final = 256

Range = tuple[int, str]
"""First address of a range, and its country."""


class GeoTable:
    """The table in a file; safe to share between threads.

    The file is read (5 MB), not mapped: a mapped file that somebody overwrites in place kills the process.

    Raises:
        TableError: the file is not such a table.
    """

    def __init__(self, path: Path) -> None:
        if sys.byteorder != "little":
            raise TableError("The geo table needs a little-endian machine", "run gamestream on x86-64 or ARM")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise _unusable(path, str(error)) from error
        self._header, at = _header(path, content)
        four, six = self._header["ipv4"], self._header["ipv6"]
        if len(content) != at + 9 * six + 5 * four:
            raise _unusable(path, f"it has {len(content)} bytes, not {at + 9 * six + 5 * four}")
        bytes_ = memoryview(content)
        self._countries: tuple[str, ...] = tuple(self._header["countries"])
        self._six_starts = bytes_[at : at + 8 * six].cast("Q")
        at += 8 * six
        self._four_starts = bytes_[at : at + 4 * four].cast("I")
        at += 4 * four
        self._six_places = bytes_[at : at + six]
        self._four_places = bytes_[at + six :]
        if max(content[at:]) >= len(self._countries):
            raise _unusable(path, "it names a country that its header does not have")

    @property
    def version(self) -> str:
        """Source and date of the data, such as `ipfire-2026-06-25`."""
        return self._header["version"]

    @property
    def facts(self) -> dict[str, Any]:
        """Version, licence, source, attribution and numbers of ranges."""
        return {name: value for name, value in self._header.items() if name != "countries"}

    @property
    def countries(self) -> tuple[str, ...]:
        """Codes that an address may have, `unknown` first."""
        return self._countries

    def country_of(self, address: str) -> str:
        """The ISO 3166-1 code of an address, or `unknown`: of a private or special address, and of any other text."""
        try:
            if ":" not in address:
                return self._of_four(socket.inet_pton(socket.AF_INET, address))
            packed = socket.inet_pton(socket.AF_INET6, address)
        except (OSError, ValueError):  # ValueError: a NUL, or what is no ASCII
            return UNKNOWN
        if packed.startswith(_MAPPED):
            return self._of_four(packed[len(_MAPPED) :])
        place = bisect_right(self._six_starts, int.from_bytes(packed[:8], "big")) - 1
        return self._countries[self._six_places[place]]

    def _of_four(self, packed: bytes) -> str:
        place = bisect_right(self._four_starts, int.from_bytes(packed, "big")) - 1
        return self._countries[self._four_places[place]]


def pack(four: Iterable[Range], six: Iterable[Range], facts: dict[str, Any]) -> bytes:
    """A table's file.

    Args:
        four: IPv4 ranges from 0 on, ascending, without gaps; neighbours differ.
        six: the same for the upper 64 bits of IPv6 addresses.
        facts: what the header says besides; `version` is needed.
    """
    listed = [list(four), list(six)]
    found = sorted({country for ranges in listed for _, country in ranges} - {UNKNOWN})
    countries = [UNKNOWN, *found]
    if len(countries) > _MOST_COUNTRIES:
        raise TableError(f"There are {len(countries)} countries", f"a table has at most {_MOST_COUNTRIES}")
    places = {country: place for place, country in enumerate(countries)}
    header = json.dumps(
        facts | {"ipv4": len(listed[0]), "ipv6": len(listed[1]), "countries": countries}, separators=(",", ":")
    ).encode()
    header += b" " * (-(_PREFIX.size + len(header)) % _ALIGNMENT)
    starts = [_starts(ranges) for ranges in listed]
    parts = [
        _PREFIX.pack(MAGIC, len(header)) + header,
        struct.pack(f"<{len(starts[1])}Q", *starts[1]),
        struct.pack(f"<{len(starts[0])}I", *starts[0]),
        bytes(places[country] for _, country in listed[1]),
        bytes(places[country] for _, country in listed[0]),
    ]
    return b"".join(parts)


def _starts(ranges: Sequence[Range]) -> list[int]:
    found = [start for start, _ in ranges]
    if not found or found[0] != 0 or any(one >= two for one, two in pairwise(found)):
        raise TableError("The ranges do not ascend from 0", "sort them, and fill the gaps with `unknown`")
    return found


def _header(path: Path, content: bytes) -> tuple[dict[str, Any], int]:
    """The header, and where the arrays begin."""
    if len(content) < _PREFIX.size:
        raise _unusable(path, "it is too short")
    magic, length = _PREFIX.unpack_from(content)
    end = _PREFIX.size + length
    if magic != MAGIC or end > len(content):
        raise _unusable(path, f"it does not begin as {MAGIC.decode()}")
    try:
        header = json.loads(content[_PREFIX.size : end])
        usable = (
            isinstance(header["version"], str)
            and all(isinstance(header[name], int) and header[name] > 0 for name in ("ipv4", "ipv6"))
            and header["countries"][0] == UNKNOWN
        )
    except (ValueError, LookupError, TypeError) as error:
        raise _unusable(path, "its header cannot be read") from error
    if not usable:
        raise _unusable(path, "its header is incomplete")
    return header, end


def _unusable(path: Path, reason: str) -> TableError:
    return TableError(f"{path} is no geo table: {reason}", "run `make geo-table`, or restore the installed package")
