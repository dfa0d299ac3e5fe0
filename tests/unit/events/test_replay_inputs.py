"""Files as people have them: every line is sent, or counted and kept with its number and reason."""

from __future__ import annotations

import csv
import errno
import gzip
import io
import json
import os
import signal
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gamestream_dagster.events.file_lines import ReadingError
from gamestream_dagster.events.pacing import EventClock
from gamestream_dagster.events.readers import open_source, renames_of
from gamestream_dagster.events.replay import ReplayResult, Wait, read_rejects, replay
from tests.support.kept_records import KeptRecords

NOW = 1_700_000_000_000
HEADER = "user_id,team_id,team_name,score,event_time_millis,readable_time,event_type,event_id"
GOOD = {"user_id": "u1", "team_id": "t1", "team_name": "Lions", "score": 7, "event_time_millis": NOW}
untimed = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=60
)


def run(path: Path, **options: Any) -> tuple[ReplayResult, list[dict[str, Any]], list[dict[str, Any]]]:
    """The result, the records sent, and the lines kept aside."""
    sink = options.pop("sink", None) or KeptRecords()
    aside = path.with_name("rejects.jsonl")
    result = replay(path, sink, aside, **options)
    kept = list(read_rejects(result.rejects)) if result.rejects else []
    assert result.lines == result.sent + result.bad + result.blank
    assert len(kept) == result.bad == sum(result.reasons.values())
    assert all(one["reason"] and one["detail"] for one in kept)
    return result, [json.loads(value or b"") for _, value in sink.records], kept


def csv_of(tmp_path: Path, *rows: str, header: str = HEADER, end: str = "\n") -> Path:
    path = tmp_path / "a.csv"
    path.write_bytes((end.join([header, *rows]) + end).encode("utf-8", "surrogateescape"))
    return path


def row(user: str, name: str = "Lions", score: object = 5) -> str:
    return f"{user},t1,{name},{score},{NOW},,normal,"


def test_a_quote_that_never_closes_costs_one_line(tmp_path: Path):
    rows = [row(f"u{number}") for number in range(2000)]
    rows[1] = row("uX", '"Broken')
    result, sent, kept = run(csv_of(tmp_path, *rows))
    assert (result.sent, result.bad) == (1999, 1)
    assert (kept[0]["line"], kept[0]["reason"]) == (3, "UNREADABLE")
    assert "quotation mark" in kept[0]["detail"]
    assert [one["user_id"] for one in sent] == [f"u{number}" for number in range(2000) if number != 1]


@pytest.mark.parametrize("stray", [[1, 5], [1, 2], [1, 40], [0, 1, 2, 3, 4], [1999], list(range(0, 2000, 7))])
def test_several_stray_quotes_cost_their_own_lines(tmp_path: Path, stray: list[int]):
    rows = [row(f"u{number}", '"Broken' if number in stray else "Lions") for number in range(2000)]
    result, _, kept = run(csv_of(tmp_path, *rows))
    assert [one["line"] - 2 for one in kept] == stray
    assert result.lines == 2000


def test_a_text_with_line_ends_is_one_row(tmp_path: Path):
    rows = [
        row("u1", '"two\nlines"'),
        row("u2", '"a ""quoted""\r\nname, with a comma\n"'),
        '"u\n3",t1,n,7,1000,,,',
        row("u4"),
    ]
    result, sent, _ = run(csv_of(tmp_path, *rows))
    assert (result.lines, result.sent) == (4, 4)
    assert [one["team_name"] for one in sent[:2]] == ["two\nlines", 'a "quoted"\r\nname, with a comma\n']


def test_ragged_rows_and_odd_bytes_are_counted(tmp_path: Path):
    rows = [
        row("u1"),
        "a,b",
        row("u2") + ",more",
        "",
        row("u\udcff3"),
        row("nul\0"),
        "x\ry,t,T,5,1,,,",
        row("\u2028u4"),
        row("u5"),
    ]
    result, sent, kept = run(csv_of(tmp_path, *rows))
    assert [one["user_id"] for one in sent] == ["u1", "\u2028u4", "u5"]
    assert [one["reason"] for one in kept] == ["UNREADABLE", "UNREADABLE", "NOT_UTF8", "BAD_TEXT", "UNREADABLE"]
    assert result.blank == 1


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n"])
def test_line_ends_and_a_byte_order_mark(tmp_path: Path, end: str):
    path = csv_of(tmp_path, row("u1"), row("u2"), header="\ufeff " + HEADER.replace(",", " , "), end=end)
    assert run(path)[0].sent == 2
    lines = tmp_path / "a.jsonl"
    lines.write_bytes(b"\xef\xbb\xbf" + (json.dumps(GOOD) + end).encode() * 3)
    assert run(lines)[0].sent == 3


def test_a_gzipped_file_is_known_by_its_content(tmp_path: Path):
    path = csv_of(tmp_path, row("u1"))
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert run(path)[0].sent == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", HEADER.replace("team_id", "user_id"), "the column user_id twice"),
        (
            "a.csv",
            "player,[/team],score\na,b,1\n",
            r"lacks the columns user_id, .* it has player, \[/team\], score. Rename",
        ),
        ("a.csv", "\n\n", "is empty"),
        ("a.jsonl", "", "is empty"),
        ("a.csv", HEADER.encode("utf-16"), "is UTF-16; save it as UTF-8"),
        ("a.csv", f"{HEADER}\r{row('u1')}\r".encode(), "no readable first line .* line feed"),
        ("a.tsv", "x", "no known kind"),
        ("noname", "x", "no known kind"),
        ("a.parquet", "", "is empty"),
        ("a.parquet", "PAR1", "not a Parquet file"),
    ],
)
def test_a_file_that_is_none_is_said(tmp_path: Path, name: str, content: str | bytes, said: str):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ReadingError, match=said):
        run(path)


def test_what_is_no_file_is_said(tmp_path: Path):
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    for name, said in (
        ("folder.csv", "is a folder"),
        ("pipe.csv", "no regular file"),
        ("x" * 300, "looked at"),
        ("no.csv", "There is no file"),
    ):
        with pytest.raises(ReadingError, match=said):
            run(tmp_path / name)


def test_a_file_cut_short_says_what_was_sent(tmp_path: Path):
    path, sink = tmp_path / "a.jsonl.gz", KeptRecords()
    path.write_bytes(gzip.compress(b"\n".join(json.dumps(GOOD | {"score": n}).encode() for n in range(20000)))[:-5000])
    with pytest.raises(ReadingError, match=r"is damaged .* Of (\d+) lines read, \1 were sent and 0 are bad") as caught:
        run(path, sink=sink)
    assert f"{len(sink.records)} were sent" in str(caught.value)
    assert sink.flushed


def test_rejects_never_overwrite_the_file(tmp_path: Path):
    path = csv_of(tmp_path, "a,b")
    with pytest.raises(ReadingError, match="would overwrite"):
        replay(path, KeptRecords(), path)
    assert path.read_text().startswith(HEADER)


@pytest.mark.parametrize("large", [400_000, 600_000])
def test_a_record_that_kafka_refuses_is_one_bad_line(tmp_path: Path, large: int):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(GOOD | extra) for extra in ({}, {"note": "x" * large}, {})) + "\n")
    result, sent, kept = run(path, sink=KeptRecords(refuse_over=300_000))
    assert (result.sent, result.bad, len(sent)) == (2, 1, 2)
    assert (kept[0]["line"], kept[0]["reason"]) == (2, "TOO_LARGE")


def test_an_interrupt_ends_in_order(tmp_path: Path):
    path, sink = csv_of(tmp_path, *(row(f"u{n}") for n in range(9))), KeptRecords(interrupt_after=4)
    result = replay(path, sink, tmp_path / "r.jsonl")
    assert (result.interrupted, len(sink.records), sink.flushed) == (True, 4, True)
    assert (result.lines, result.sent) == (4, 4)


def test_columns_are_renamed(tmp_path: Path):
    renames = renames_of(["player=user_id", "pts=score"])
    path = csv_of(tmp_path, f"p1,ignored,t1,T,9,{NOW}", header="player,user_id,team_id,team_name,pts,event_time_millis")
    assert [(one["user_id"], one["score"]) for one in run(path, renames=renames)[1]] == [("p1", 9)]
    lines = tmp_path / "b.jsonl"
    event = {name: value for name, value in GOOD.items() if name not in ("user_id", "score")}
    lines.write_text(json.dumps(event | {"player": "p2", "pts": 3, "x": 1.5}) + "\n[1]\n{\n")
    result, sent, _ = run(lines, renames=renames)
    assert (result.bad, sent) == (2, [event | {"x": 1.5, "user_id": "p2", "score": 3}])
    rows = tmp_path / "c.parquet"
    pq.write_table(pa.Table.from_pylist([event | {"player": "p3", "pts": 4}]), rows)
    assert [(one["user_id"], one["score"]) for one in run(rows, renames=renames)[1]] == [("p3", 4)]


@pytest.mark.parametrize(
    ("given_pairs", "said"),
    [
        (["player"], "write COLUMN=FIELD, such as player=user_id"),
        (["player=name"], "The fields are user_id, team_id"),
        (["=user_id"], "cannot be used"),
        (["a=user_id", "b=user_id"], "named twice"),
        (["a=user_id", "a=score"], "named twice"),
    ],
)
def test_a_rename_that_cannot_be_used_is_said(given_pairs: list[str], said: str):
    with pytest.raises(ReadingError, match=said):
        renames_of(given_pairs)


def test_a_rename_of_an_absent_column_is_said(tmp_path: Path):
    with pytest.raises(ReadingError, match="has no column gamer, which --map names; it has user_id"):
        run(csv_of(tmp_path, row("u1")), renames=renames_of(["gamer=user_id"]))


def test_waits_are_bounded_and_told(tmp_path: Path):
    told: list[Wait] = []
    path = csv_of(tmp_path, *(f"u,t1,T,5,{at},,," for at in (NOW // 1000, NOW, NOW // 1000, NOW, NOW + 60)))
    result, _, _ = run(path, speed=60.0, longest_wait=0.2, on_wait=told.append)
    assert result.sent == 5
    assert result.seconds < 2
    assert [wait.number for wait in told] == [3]
    assert told[0].wanted_seconds > 300 * 86_400


def test_the_clock_goes_on_from_a_gap_that_was_cut():
    clock = EventClock(speed=2.0, longest_wait=10.0)
    assert clock.due(1_000, 0.0) == (0.0, 0.0)
    assert clock.due(3_000, 0.0) == (1_000.0, 1_000.0)
    assert clock.due(1_003_000, 1_000.0) == (11_000.0, 501_000.0)
    assert clock.due(1_005_000, 11_000.0) == (12_000.0, 12_000.0)


def parquet(tmp_path: Path, **columns: pa.Array) -> Path:
    size = len(next(iter(columns.values())))
    base = {name: pa.array([value] * size) for name, value in GOOD.items()}
    pq.write_table(pa.table(base | columns), tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


@pytest.mark.parametrize(
    ("column", "array", "expected"),
    [
        ("event_time_millis", pa.array([NOW // 1000, None], pa.timestamp("s")), [NOW, "MISSING_FIELD"]),
        ("event_time_millis", pa.array([NOW, NOW * 1000], pa.timestamp("ms")), [NOW, "FUTURE_TIMESTAMP"]),
        (
            "event_time_millis",
            pa.array([NOW * 1000 + 999, -1], pa.timestamp("us", "Asia/Tokyo")),
            [NOW, "OUT_OF_RANGE"],
        ),
        ("event_time_millis", pa.array([NOW * 10**6], pa.timestamp("ns")), [NOW]),
        ("event_time_millis", pa.array([18_262], pa.int32()).cast(pa.date32()), [18_262 * 86_400_000]),
        ("event_time_millis", pa.array([5], pa.time32("ms")), ["UNREADABLE"]),
        ("event_time_millis", pa.array([float(NOW), 0.5]), [NOW, "MISSING_FIELD"]),
        ("score", pa.array([Decimal("5.00"), Decimal("5.50"), None]), [5, "WRONG_TYPE", "MISSING_FIELD"]),
        ("score", pa.array([Decimal("9" * 70)], pa.decimal256(76, 0)), ["OUT_OF_RANGE"]),
        ("score", pa.array([3, 2**64 - 1], pa.uint64()), [3, "OUT_OF_RANGE"]),
        ("score", pa.array([5.0, 5.5, float("inf"), float("nan")]), [5, "WRONG_TYPE", "WRONG_TYPE", "MISSING_FIELD"]),
        ("score", pa.array(["5", "five"]), [5, "WRONG_TYPE"]),
        ("score", pa.array([True]), ["UNREADABLE"]),
        ("score", pa.array([{"a": 1}, None]), ["UNREADABLE", "MISSING_FIELD"]),
        ("user_id", pa.array([b"a", b"\xff"]), ["a", "NOT_UTF8"]),
        ("user_id", pa.array([b"a", b"\xff"], pa.large_binary()), ["a", "NOT_UTF8"]),
        ("user_id", pa.array(["a"], pa.large_string()), ["a"]),
        ("user_id", pa.array(["a", None, "a"]).dictionary_encode(), ["a", "MISSING_FIELD", "a"]),
        ("user_id", pa.array([12, -3]), ["12", "-3"]),
        ("user_id", pa.array([["a"]]), ["UNREADABLE"]),
        ("event_id", pa.array(["", "e"]), [None, "e"]),
    ],
)
def test_parquet_is_read_by_what_its_types_mean(tmp_path: Path, column: str, array: pa.Array, expected: list[Any]):
    _, sent, kept = run(parquet(tmp_path, **{column: array}))
    found: dict[int, Any] = {one["line"]: one["reason"] for one in kept}
    rest = iter(sent)
    assert [found.get(place) or next(rest).get(column) for place in range(1, len(expected) + 1)] == expected


def test_parquet_text_that_is_no_text_is_one_bad_row(tmp_path: Path):
    offsets, data = pa.py_buffer(b"\0\0\0\0\2\0\0\0\5\0\0\0\7\0\0\0"), pa.py_buffer(b"okR\xc9Uok")
    result, _, kept = run(parquet(tmp_path, user_id=pa.Array.from_buffers(pa.string(), 3, [None, offsets, data])))
    assert (result.sent, [(one["line"], one["reason"]) for one in kept]) == (2, [(2, "NOT_UTF8")])


def test_a_parquet_uuid_is_its_text(tmp_path: Path):
    given_id = "319bdafb-3ce9-435c-ad04-6450b4a95040"
    query = f"SELECT 'u' AS user_id, 't' AS team_id, 'T' AS team_name, 5 AS score, timestamp '2020-01-01' AS event_time_millis, '{given_id}'::uuid AS event_id"  # noqa: E501
    duckdb.sql(f"COPY ({query}) TO '{tmp_path / 'a.parquet'}'")
    assert [one["event_id"] for one in run(tmp_path / "a.parquet")[1]] == [given_id]


def _cells() -> st.SearchStrategy[str]:
    return st.text(st.sampled_from('ab",\n\r\0 \u2028é'), max_size=6)


@untimed
@given(st.lists(st.lists(_cells(), min_size=8, max_size=8), max_size=12))
def test_what_a_csv_writer_writes_is_read_row_by_row(tmp_path: Path, rows: list[list[str]]):
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([HEADER.split(","), *rows])
    path = tmp_path / "a.csv"
    path.write_bytes(buffer.getvalue().encode())
    result, _, _ = run(path)
    assert result.lines >= len(rows)


@untimed
@given(
    st.lists(
        st.one_of(st.just(row("u1").encode()), st.binary(max_size=40).filter(lambda raw: b"\n" not in raw)), max_size=30
    )
)
def test_any_bytes_in_csv_are_counted_line_by_line(tmp_path: Path, lines: list[bytes]):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\n".join([HEADER.encode(), *lines]) + b"\n")
    result, sent, kept = run(path)
    good = sum(line == row("u1").encode() for line in lines)
    # an open quotation mark may take the lines up to the one that closes it, never a whole row
    assert sum(one["user_id"] == "u1" for one in sent) >= good - sum(b'"' in line for line in lines)
    if not any(b'"' in line for line in lines):
        assert result.lines == len(lines)
    assert [one["line"] for one in kept] == sorted(one["line"] for one in kept)


@untimed
@given(st.sampled_from(["a.csv", "a.jsonl", "a.parquet", "a.csv.gz"]), st.binary(max_size=200))
def test_any_bytes_are_read_or_said(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    with suppress(ReadingError):
        run(tmp_path / name)


def test_a_full_disk_says_what_was_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, sink = csv_of(tmp_path, row("u1"), row("u2"), "bad", row("u3")), KeptRecords()
    monkeypatch.setattr(Path, "mkdir", _no_room)
    with pytest.raises(ReadingError, match=r"No space left .* make room .* Of 3 lines read, 2 were sent and 1 are bad"):
        replay(path, sink, tmp_path / "rejects" / "r.jsonl")
    assert sink.flushed


def _no_room(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_ctrl_c_waits_for_the_reports(tmp_path: Path):
    """One that comes in the middle of a report loses nothing: it is a wish until the line is done."""
    path = csv_of(tmp_path, *(row(f"u{number}") for number in range(9)))

    class Pressed(KeptRecords):
        def send(self, *given: Any, **options: Any) -> None:
            super().send(*given, **options)
            if len(self.records) == 3:
                signal.raise_signal(signal.SIGINT)

    sink = Pressed()
    result, sent, _ = run(path, sink=sink)
    assert (result.interrupted, result.sent, result.lines, len(sent)) == (True, 3, 3, 3)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("number", ["-0", "1E2", "1.50", "123456789012345678901234567890"])
def test_a_renamed_field_keeps_the_text_of_its_number(tmp_path: Path, number: str):
    path = tmp_path / "scores.jsonl"
    path.write_text(f'{{"pts": {number}, "more": [{number}, {{"deep": {number}}}]}}\n')
    [line] = open_source(path, renames_of(["pts=score"])).lines(lambda *_: None)
    assert line.raw == f'{{"more":[{number},{{"deep":{number}}}],"score":{number}}}'.encode()
