"""Replay: every good line is sent in order, every bad one is counted, told and kept; nothing vanishes."""

from __future__ import annotations

import base64
import csv
import gzip
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from gamestream_dagster.events import file_lines
from gamestream_dagster.events.acceptance import Decoded, judge
from gamestream_dagster.events.readers import ReadingError
from gamestream_dagster.events.replay import read_rejects, replay, sample_path
from tests.support.kept_records import KeptRecords

GOOD = {"user_id": "u1", "team_id": "t1", "team_name": "Red Koala", "score": 7, "event_time_millis": 1000}
COLUMNS = [*GOOD, "readable_time", "event_type", "event_id"]


def run(path: Path, tmp_path: Path, **given):
    sink, told = KeptRecords(), []
    result = replay(path, sink, tmp_path / "rejects.jsonl", on_bad=told.append, **given)
    assert len(told) == result.bad
    assert result.sent == len(sink.records)
    return result, sink, told


def json_lines(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def csv_file(path: Path, rows: list[list[object]], columns: list[str] = COLUMNS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def test_the_real_sample(tmp_path):
    path = sample_path("nba")
    assert path is not None
    result, sink, _ = run(path, tmp_path)
    assert (result.sent, result.bad, result.rejects) == (13_874, 0, None)
    players: Counter[str] = Counter()
    teams: Counter[str] = Counter()
    for key, value in sink.records:
        event = judge(value, 1_800_000_000_000)
        assert isinstance(event, Decoded)
        assert event.remark is None
        assert key.decode() == event.user_id
        players[event.user_id] += event.score
        teams[event.team_name] += event.score
    assert players.most_common(3) == [("stephen-curry", 1130), ("james-harden", 1103), ("klay-thompson", 1075)]
    assert teams.most_common(2) == [("Golden State Warriors", 2205), ("Cleveland Cavaliers", 2039)]


def test_json_lines_are_sent_as_they_stand(tmp_path):
    lines = [json.dumps(GOOD | {"score": score, "extra": [1]}).encode() for score in range(3)]
    path = json_lines(tmp_path / "a.jsonl", lines[0], b"", b"  " + lines[1] + b" ", lines[2])
    _, sink, _ = run(path, tmp_path)
    assert [value for _, value in sink.records] == lines


def test_bad_json_lines_are_counted_told_and_kept(tmp_path):
    good = json.dumps(GOOD).encode()
    bad = [b"{", b"[1]", b'{"user_id": "\xff"}', json.dumps(GOOD | {"score": -1}).encode()]
    path = json_lines(tmp_path / "a.jsonl", good, *bad, good)
    result, _, told = run(path, tmp_path)
    assert (result.sent, result.bad) == (2, 4)
    assert [(line.number, line.reason) for line in told] == [
        (2, "NOT_JSON"),
        (3, "NOT_AN_OBJECT"),
        (4, "NOT_UTF8"),
        (5, "OUT_OF_RANGE"),
    ]
    assert result.rejects is not None
    kept = list(read_rejects(result.rejects))
    assert [base64.b64decode(entry["base64"]) for entry in kept] == bad
    assert [entry["line"] for entry in kept] == [2, 3, 4, 5]


def test_csv(tmp_path):
    rows: list[list[object]] = [
        ["u1", "t1", 'a "b", c', 7, 1000, "r", "late", "e1"],
        ["u2", "t1", "line\nend", 0, 2000, "", "", ""],
        ["u3", "t1", "n", "7.0", 1000, "", "", ""],
        ["", "t1", "n", 7, 1000, "", "", ""],
        ["u4", "t1", "n", 7, "yesterday", "", "", ""],
        ["u5", "t1", "n"],
        ["u6", "t1", "n", 7, 1000, "", "", "", "too", "many"],
    ]
    result, sink, told = run(csv_file(tmp_path / "a.csv", rows), tmp_path)
    assert (result.sent, result.bad) == (2, 5)
    first, second = (json.loads(value or b"") for _, value in sink.records)
    assert first == dict(zip(COLUMNS, ["u1", "t1", 'a "b", c', 7, 1000, "r", "late", "e1"], strict=True))
    assert second["readable_time"] == "1970-01-01 00:00:02.000"
    assert second["event_type"] == "normal"
    assert "event_id" not in second
    assert [bad.reason for bad in told] == [
        "WRONG_TYPE",
        "MISSING_FIELD",
        "MISSING_FIELD",
        "UNREADABLE",
        "UNREADABLE",
    ]
    assert told[0].number == 5, "the line in the file, not the record: the second record has two lines"


def test_csv_with_bytes_that_are_no_text(tmp_path):
    path = csv_file(
        tmp_path / "a.csv", [["uX", "t1", "n", 7, 1000, "", "", ""], ["u2", "t1", "n", 7, 1000, "", "", ""]]
    )
    path.write_bytes(path.read_bytes().replace(b"uX", b"u\xff"))
    result, _, told = run(path, tmp_path)
    assert (result.sent, [bad.reason for bad in told]) == (1, ["NOT_UTF8"])
    assert result.rejects is not None
    assert next(read_rejects(result.rejects))["fields"]["user_id"] == "u\\xff"


def test_csv_with_a_byte_order_mark_and_gzip(tmp_path):
    path = csv_file(tmp_path / "a.csv", [["u1", "t1", "n", 7, 1000, "", "", ""]])
    packed = tmp_path / "b.csv.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + path.read_bytes()))
    assert run(packed, tmp_path)[0].sent == 1


def test_parquet(tmp_path):
    rows = [GOOD | {"user_id": f"u{number}", "event_id": None, "other": 1.5} for number in range(5000)]
    rows[3]["score"] = -1
    rows[4]["team_id"] = None
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    progress: list[tuple[int, int]] = []
    result, sink, told = run(path, tmp_path, on_progress=lambda done, size: progress.append((done, size)))
    assert (result.sent, result.bad) == (4998, 2)
    assert [(bad.number, bad.reason) for bad in told] == [(4, "OUT_OF_RANGE"), (5, "MISSING_FIELD")]
    assert sink.records[-1][0] == b"u4999"
    assert progress[-1] == (5000, 5000)


def test_a_long_line_is_one_bad_line_and_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(file_lines, "MAX_LINE", 200)
    good = json.dumps(GOOD).encode()
    result, _, told = run(json_lines(tmp_path / "a.jsonl", good, b"x" * 5000, good), tmp_path)
    assert (result.sent, [bad.number for bad in told]) == (2, [2])
    rows = [["u1", "t1", "n", 7, 1000, "", "", ""], ["u" * 5000, "t1", "n", 7, 1000, "", "", ""]]
    result, _, told = run(csv_file(tmp_path / "a.csv", [*rows, rows[0]]), tmp_path)
    assert (result.sent, [bad.reason for bad in told]) == (2, ["UNREADABLE"])


def test_speed_paces_by_event_time(tmp_path):
    lines = [json.dumps(GOOD | {"event_time_millis": 1000 + 100 * step}).encode() for step in range(4)]
    path = json_lines(tmp_path / "a.jsonl", *lines)
    assert run(path, tmp_path, speed=2.0)[0].seconds >= 0.14  # 300 ms of event time, twice as fast
    assert run(path, tmp_path, speed=1e6)[1].polled_seconds == 0


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.csv", None, "no file"),
        ("a.xlsx", b"x", "no known kind"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"user_id,score\nu,1\n", "lacks the columns team_id, team_name, event_time_millis"),
        ("a.parquet", b"not parquet", "not a Parquet file"),
        ("a.csv.gz", b"not gzip", "damaged"),
        ("a.jsonl", b"\x1f\x8b\n", "damaged"),
        ("a.jsonl.gz", gzip.compress(json.dumps(GOOD).encode() * 1000, mtime=0)[:-20], "damaged"),
    ],
)
def test_a_file_that_cannot_be_read_says_so(tmp_path, name: str, content: bytes | None, said: str):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ReadingError, match=said):
        replay(path, KeptRecords(), tmp_path / "rejects.jsonl")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.just(json.dumps(GOOD).encode()), st.binary(max_size=60).filter(lambda b: b"\n" not in b))))
@example([b"\xef\xbb\xbf"])
def test_no_line_vanishes(tmp_path, lines: list[bytes]):
    assume(not lines or not lines[0].startswith(b"\x1f\x8b"))  # a file that begins so is a gzipped one
    path = json_lines(tmp_path / "a.jsonl", *lines)
    result, _, _ = run(path, tmp_path)
    # the mark of UTF-8 at the start of the file belongs to no line
    texts = [line.removeprefix(file_lines.UTF8_MARK) if number == 0 else line for number, line in enumerate(lines)]
    assert result.sent + result.bad == sum(1 for text in texts if text.strip())
