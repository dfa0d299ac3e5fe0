"""Replays a file of score events into Kafka. A line that the acceptance rule refuses is counted and kept aside."""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from gamestream_dagster.events.acceptance import FIELD_NAMES, Decoded, Reason, judge
from gamestream_dagster.events.avro import AvroFormatError
from gamestream_dagster.events.pacing import Pacer
from gamestream_dagster.events.producer import ScoreProducer
from gamestream_dagster.events.readers import Line, open_source
from gamestream_dagster.events.score_event import ScoreEvent, encode_json, readable_time

SAMPLES_DIR: Final = Path(__file__).with_name("samples")
SAMPLES: Final[dict[str, Path]] = {"nba": SAMPLES_DIR / "nba_2014_15_shots.csv.gz"}
UNREADABLE: Final = "UNREADABLE"  # the reason of a line that is not even a record of its file

Encode = Callable[[ScoreEvent], bytes]


class BadLine(NamedTuple):
    """A line that was not sent."""

    number: int
    reason: str
    detail: str


@dataclass
class ReplayResult:
    """What a replay did."""

    sent: int = 0
    bad: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    rejects: Path | None = None
    """File of the bad lines (JSON lines); None when there was none."""
    seconds: float = 0.0


def sample_path(name: str) -> Path | None:
    """File of a bundled sample (`nba`); None when there is no such sample."""
    return SAMPLES.get(name)


def replay(
    path: Path,
    producer: ScoreProducer,
    rejects: Path,
    *,
    encode: Encode = encode_json,
    speed: float | None = None,
    on_progress: Callable[[int, int], None] = lambda done, size: None,
    on_bad: Callable[[BadLine], None] = lambda bad: None,
) -> ReplayResult:
    """Send every good line of `path`, in order.

    Args:
        path: CSV, JSON lines (both also gzipped) or Parquet.
        producer: where to.
        rejects: file for the bad lines; made only when there is one.
        encode: JSON or Avro.
        speed: how much faster than event time, from the first event on; None: as fast as possible.
        on_progress: told how far it has come, and how far there is to go.
        on_bad: told each bad line.

    Raises:
        ReadingError: the file cannot be read (to its end).
        SendingError: not all records could be delivered.
    """
    source = open_source(path)
    result = ReplayResult()
    started = time.monotonic()
    pacer = Pacer(producer) if speed else None
    first_ms: int | None = None
    with _Rejects(rejects) as kept:
        for line in source.lines(lambda done: on_progress(done, source.size)):
            ready = _prepare(line, encode)
            if isinstance(ready, BadLine):
                result.bad += 1
                result.reasons[ready.reason] += 1
                kept.add(line, ready)
                on_bad(ready)
                continue
            if pacer is not None and speed:
                first_ms = ready.event_ms if first_ms is None else first_ms
                pacer.wait((ready.event_ms - first_ms) / speed)
            producer.send(ready.key, ready.value)
            result.sent += 1
        result.rejects = kept.written
    producer.flush()
    on_progress(source.size, source.size)
    result.seconds = time.monotonic() - started
    return result


class _Ready(NamedTuple):
    key: bytes
    value: bytes
    event_ms: int


def _prepare(line: Line, encode: Encode) -> _Ready | BadLine:
    if line.problem:
        return BadLine(line.number, UNREADABLE, line.problem)
    value = line.raw if line.raw is not None else _as_json(line.fields or {})
    if value is None:
        return BadLine(line.number, Reason.NOT_UTF8.value, "a text is not UTF-8, or a value fits no JSON")
    outcome = judge(value, int(time.time() * 1000))
    if not isinstance(outcome, Decoded):
        return BadLine(line.number, outcome.reason.value, outcome.detail)
    if line.raw is None or encode is not encode_json:  # a line of JSON is sent as it stands
        try:
            value = encode(_event(outcome))
        except AvroFormatError as error:
            return BadLine(line.number, Reason.NOT_AVRO.value, str(error))
    return _Ready(outcome.user_id.encode("utf-8"), value, outcome.event_time_millis)


def _event(found: Decoded) -> ScoreEvent:
    return ScoreEvent(
        found.user_id,
        found.team_id,
        found.team_name,
        found.score,
        found.event_time_millis,
        found.readable_time or readable_time(found.event_time_millis),
        found.event_type or "normal",
        found.event_id,
    )


def _as_json(fields: dict[str, Any]) -> bytes | None:
    """The known columns as JSON. Texts stay texts: the acceptance rule reads digits in them. An empty one is no id."""
    known = {name: fields.get(name) for name in FIELD_NAMES}
    for optional in ("readable_time", "event_type", "event_id"):
        known[optional] = known[optional] or None
    try:
        return orjson.dumps(known)
    except TypeError:  # lone surrogates: bytes that were no UTF-8; or a Parquet type without a JSON form
        return None


class _Rejects:
    """The file of bad lines, made at the first of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None

    @property
    def written(self) -> Path | None:
        return self._path if self._file is not None else None

    def __enter__(self) -> _Rejects:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, line: Line, bad: BadLine) -> None:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("wb")
        entry: dict[str, Any] = {"line": bad.number, "reason": bad.reason, "detail": bad.detail}
        if line.raw is not None:
            entry["base64"] = base64.b64encode(line.raw).decode()
        if line.fields is not None:
            entry["fields"] = {str(name): _printable(value) for name, value in line.fields.items()}
        self._file.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))


def _printable(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return value if value is None or isinstance(value, int | float | bool) else repr(value)


def read_rejects(path: Path) -> Iterator[dict[str, Any]]:
    """The bad lines of an earlier replay, one by one."""
    with path.open("rb") as file:
        for line in file:
            yield orjson.loads(line)
