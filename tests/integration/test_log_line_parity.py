"""The Flink format and Python read log lines alike, in every shape, spoilt ones included.

No server: the format's own classes run in a JVM.
"""

from __future__ import annotations

import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from gamestream_dagster.security.lines import read_line
from gamestream_dagster.security.patterns import patterns_document
from tests.support.java_probe import compiled
from tests.support.log_records import records

LINES = 20_000
WRITTEN = (
    *(f"Jan  1 00:00:00 h sshd[1]: Failed password for root from {address} port 1 ssh2" for address in (
        "1.2.3.4", "01.2.3.4", "256.1.1.1", "::1", "::FFFF:1.2.3.4", "::ffff:102:304", "FE80::1%eth0", "1::2::3",
        "UNKNOWN", ":::", "2001:DB8::A",
        "1.2.3", "....",
    )),
    *(f"{time} h sshd[1]: x" for time in (
        "Feb 29 12:00:00", "Feb 30 12:00:00",
        "Xxx  1 00:00:00", "Dec 31 23:59:60", "Dec 31 23:59:61", "Jan  0 00:00:00",
        "2026-02-29T00:00:00Z", "2024-02-29T00:00:00,123456789+05:30", "2024-02-29 00:00:00.5-0800",
        "1969-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "1970-01-01T00:00:00+01:00",
    )),
    "<34>1 2026-10-11T22:14:15.003Z host sshd 123 - - Invalid user a from 1.2.3.4",
    "<34>1 2026-10-11T22:14:15.003Z host sshd - ID47 [a b=\"c\"] Invalid user a from 1.2.3.4",
    "<13>Nov  5 10:00:00 host sshd-session[9]: Accepted publickey for a from 1.2.3.4 port 5 ssh2: RSA SHA256:a ID b",
    "<13>Nov  5 10:00:00 host sshd[9]: Accepted publickey for a from 1.2.3.4 port 5 ssh2: RSA-CERT SHA256:a ID from x",
    "message repeated 2 times: [ Invalid user a from 1.2.3.4]",
    "sshd[9]: message repeated 999999999 times: [ PAM 9999 more authentication failures; logname= uid=0 euid=0 tty=ssh "
    "ruser= rhost=1.2.3.4 ]",
    "sshd: Invalid user  from 1.2.3.4\r\n",
    "Invalid user a from 1.2.3.4 port 123456",
    "Failed none for invalid user a from 1.2.3.4 port 1 ssh2",
    "",
)  # fmt: skip
TIMES = (
    "1790000000", "1790000000.9995", "1790000000123", "-1", "-0.0", "1e11", "1e12", "99999999999.9", "1e40", "1e41",
    "253402300799.9999", "253402300800", "true", "null", '"x"', '"2026-01-01T00:00:00Z"', "1" * 19, "1" * 40, "1" * 41,
    "0.0000000001", "253402300799999999",
)  # fmt: skip


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return compiled(tmp_path_factory.mktemp("probe"), "LogLineProbe")["LogLineProbe"]


def in_java(probe: list[str], values: list[bytes]) -> list[dict[str, Any]]:
    given = "".join(f"{value.hex()}\n" for value in values)
    done = subprocess.run(
        probe, input=f"{patterns_document()}\n{given}", capture_output=True, text=True, check=True, encoding="utf-8"
    )
    found = [orjson.loads(line) for line in done.stdout.split("\n") if line.startswith("{")]
    assert len(found) == len(values), done.stderr[:500]
    return found


def in_python(values: list[bytes]) -> list[dict[str, Any]]:
    return [orjson.loads(orjson.dumps(asdict(read_line(value)))) for value in values]


def compare(probe: list[str], values: list[bytes]) -> list[dict[str, Any]]:
    java, python = in_java(probe, values), in_python(values)
    wrong = [(value, one, other) for value, one, other in zip(values, java, python, strict=True) if one != other]
    assert not wrong, wrong[:3]
    return java


def test_generated_records_in_every_shape(probe: list[str], tmp_path: Path) -> None:
    read = compare(probe, [value for _, value in records(7, LINES)])
    kinds = {row["kind"] for row in read if row["source"]}
    assert kinds == {"failed", "accepted", "invalid_user", "pam_failure", "pam_more"}
    assert {row["reason"] for row in read} >= {None, "NOT_UTF8", "NOT_JSON", "NO_LINE", "NO_HEADER", "UNKNOWN_FORM"}


def test_forms_and_times_at_their_edges(probe: list[str]) -> None:
    values = [line.encode() for line in WRITTEN]
    values += [orjson.dumps({"log": line}) for line in WRITTEN]
    values += [orjson.dumps({"timestamp": 1_790_000_000, "log": line}) for line in WRITTEN]
    values += [orjson.dumps({"timestamp": 1_790_000_000, "message": line, "host": "a b"}) for line in WRITTEN]
    values += [f'{{"timestamp": {time}, "log": "{line}"}}'.encode() for time in TIMES for line in WRITTEN[13:15]]
    values += [f'{{"log": {{"ts": {time}, "message": "x", "time": 5}}}}'.encode() for time in TIMES]
    values += [f'{{"log": {{"pid": {pid}, "message": "x"}}}}'.encode() for pid in ("1", '"1"', "true", "1.5", "1" * 20)]
    values += [b'{"log": "{\\"message\\": \\"\\\\ud800 Invalid user\\"}"}', b'{"a": 1, "a": 2}', b"\xef\xbb\xbf{}"]
    compare(probe, values)
