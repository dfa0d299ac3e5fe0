"""Files of game events: where one event ends and the next begins, whatever the file holds."""

from __future__ import annotations

import gzip
import io
import json

import pytest
import zstandard

from gamestream_dagster.events import game_files
from gamestream_dagster.events.file_lines import ReadingError
from gamestream_dagster.events.game_files import samples


def found(data: bytes) -> list[tuple[int, bytes]]:
    return [(one.line, one.value) for one in samples(io.BytesIO(data), "file")]


def problems(data: bytes) -> list[str]:
    return [one.problem for one in samples(io.BytesIO(data), "file")]


LAYOUTS = [
    (b'{"a":1}\n{"b":2}\n', [(1, b'{"a":1}'), (2, b'{"b":2}')]),
    (b'{"a":1}\r\n\r\n  {"b":2}', [(1, b'{"a":1}'), (3, b'{"b":2}')]),
    (b'\n\n{"a":1}\n', [(3, b'{"a":1}')]),
    (b'\xef\xbb\xbf{"a":1}\n', [(1, b'{"a":1}')]),
    (b'{"a":\n{"b":2}\n', [(1, b'{"a":'), (2, b'{"b":2}')]),
    (b'[{"a":1},{"b":2}]', [(1, b'{"a":1}'), (1, b'{"b":2}')]),
    (b' [\n {"a":[1,\n2]},\n\n {"b":"],[\\"}\\\\"}\n]\n', [(2, b'{"a":[1,\n2]}'), (5, b'{"b":"],[\\"}\\\\"}')]),
    (b"[]", []),
    (b"[ \n ]", []),
    (b"[1,[2,3],null]", [(1, b"1"), (1, b"[2,3]"), (1, b"null")]),
    (b"[{},]", [(1, b"{}"), (1, b"")]),
    (b"[,{}]", [(1, b""), (1, b"{}")]),
    (b"[{} {}]", [(1, b"{} {}")]),
    (b'{\n "a": 1\n}\n', [(1, b'{\n "a": 1\n}')]),
    (b'{\n "a": {"b":"}"}\n}\n{\n "c": 1\n}', [(1, b'{\n "a": {"b":"}"}\n}'), (4, b'{\n "c": 1\n}')]),
    (b"", []),
    (b" \n\t", []),
    (b"x\n", [(1, b"x")]),
]


@pytest.mark.parametrize(("data", "expected"), LAYOUTS)
@pytest.mark.parametrize("chunk", [1, 2, 3, 1 << 16])
def test_layout(data: bytes, expected: list[tuple[int, bytes]], chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(game_files, "_CHUNK", chunk)
    assert found(data) == expected
    assert found(gzip.compress(data)) == expected


def test_an_array_that_does_not_end_and_what_follows_one_are_problems() -> None:
    assert problems(b"[{},{}") == ["", "the file ends before its array does; add what is missing"]
    assert problems(b'[{},{"a":"') == ["", "the file ends before its array does; add what is missing"]
    after = "something follows the array; put all events into one array, or one into each line"
    assert problems(b"[{}]\n[{},{}]") == ["", after]
    assert problems(b"[{}] \n ") == [""]


def test_an_event_that_is_too_long_keeps_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(game_files, "MAX_LINE", 100)
    long = json.dumps({"a": "x" * 300}).encode()
    [first, second] = samples(io.BytesIO(b"[" + long + b',{"b":1}]'), "file")
    assert first.problem == "the event has more than 100 bytes"
    assert len(first.value) <= 100
    assert (second.value, second.problem) == (b'{"b":1}', "")


def test_a_broken_gzip_file_is_said() -> None:
    data = gzip.compress(b'{"a":1}\n' * 1000)
    with pytest.raises(ReadingError, match="is not a whole gzip file"):
        found(data[:-20])
    with pytest.raises(ReadingError, match="is not a whole gzip file"):
        found(data[:12] + b"\xff" * 20)


@pytest.mark.parametrize("size", [2_000, 200_000])
def test_zstd_files_of_one_frame_and_of_several(size: int) -> None:
    lines = b'{"a":1}\n' * size
    packed = zstandard.compress(lines)
    assert len(found(packed)) == size
    assert [line for line, _ in found(packed + zstandard.compress(b'{"b":1}'))][-1] == size + 1


def test_a_broken_zstd_file_is_said() -> None:
    data = zstandard.compress(b"".join(b'{"a":%d}\n' % number for number in range(1000)))
    for broken in (data[:-20], data[:12], data[:40] + b"\xff" * 40, data + b"more"):
        with pytest.raises(ReadingError, match="is not a whole zstd file"):
            found(broken)


@pytest.mark.parametrize("mark", [b"PAR1", b"Obj\x01", b"PK\x03\x04", b"BZh9", b"\xfd7zXZ\x00"])
def test_files_of_other_kinds_are_said(mark: bytes) -> None:
    with pytest.raises(ReadingError, match="give JSON lines or a JSON array"):
        found(mark + b"\x00" * 100)
