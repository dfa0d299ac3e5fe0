"""Replays a file of score events into Kafka. Lines that the acceptance rule refuses are counted and set aside."""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from gamestream_dagster.errors import sentence_of
from gamestream_dagster.events.acceptance import FIELD_NAMES, judge
from gamestream_dagster.events.avro import AvroFormatError
from gamestream_dagster.events.file_lines import Line, ReadingError, Renames
from gamestream_dagster.events.interrupts import until_interrupted
from gamestream_dagster.events.outcome import Accepted, Reason, Refused
from gamestream_dagster.events.pacing import LONGEST_WAIT_SECONDS, EventClock, Pacer
from gamestream_dagster.events.producer import RecordTooLargeError, ScoreProducer
from gamestream_dagster.events.readers import open_source
from gamestream_dagster.events.score_event import ScoreEvent, encode_json, readable_time

SAMPLES_DIR: Final = Path(__file__).with_name("samples")
SAMPLES: Final[dict[str, Path]] = {"nba": SAMPLES_DIR / "nba_2014_15_shots.csv.gz"}
UNREADABLE: Final = "UNREADABLE"  # the reason of a line that is not a record of its file
TOLD_WAIT_MS: Final = 5_000
LARGE_BYTES: Final = 500_000  # larger records may exceed the topic's limit: each has its own delivery report

Encode = Callable[[ScoreEvent], bytes]


class BadLine(NamedTuple):
    """A line that was not sent."""

    number: int
    reason: str
    detail: str


class Wait(NamedTuple):
    """A long wait for the event of a line."""

    number: int
    seconds: float
    """Its duration."""
    wanted_seconds: float
    """Its duration by the event times."""


@dataclass
class ReplayResult:
    """The outcome of a replay. Every line is sent, bad or blank."""

    lines: int = 0
    """Lines read; in CSV: rows after the header, in Parquet: rows."""
    sent: int = 0
    bad: int = 0
    blank: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    rejects: Path | None = None
    """File of the bad lines (JSON lines); None when there was none."""
    seconds: float = 0.0
    interrupted: bool = False


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
    longest_wait: float = LONGEST_WAIT_SECONDS,
    renames: Renames | None = None,
    on_progress: Callable[[int, int], None] = lambda done, size: None,
    on_bad: Callable[[BadLine], None] = lambda bad: None,
    on_wait: Callable[[Wait], None] = lambda wait: None,
) -> ReplayResult:
    """Send every good line of `path`, in order. After Ctrl-C, sent records are still delivered and counted.

    Args:
        path: CSV, JSON lines (both also gzipped) or Parquet.
        producer: where to.
        rejects: file for the bad lines; created for the first one.
        encode: JSON or Avro.
        speed: factor over event time, from the first event on; None: as fast as possible.
        longest_wait: maximum wait in seconds for a gap between two events; event time continues from there.
        renames: columns of the file that are our fields.
        on_progress: receives progress and total.
        on_bad: receives each bad line.
        on_wait: receives each long wait before it begins.

    Raises:
        ReadingError: the file cannot be read (to its end); says what was sent.
        SendingError: not all records could be delivered.
    """
    if rejects.exists() and path.exists() and rejects.samefile(path):
        raise ReadingError(f"--rejects {rejects} is the file to replay, which it would overwrite; name another file.")
    source = open_source(path, renames)
    run = _Replay(producer, encode, on_bad)
    clock = EventClock(speed, longest_wait) if speed else None
    started = time.monotonic()
    with until_interrupted() as stopped, _Rejects(rejects) as kept:
        pacer = Pacer(producer, stopped)
        try:
            for line in source.lines(lambda done: on_progress(done, source.size)):
                ready = None if stopped() else run.prepare(line)
                if isinstance(ready, _Ready) and clock is not None:
                    _wait(clock, pacer, line.number, ready.event_ms, on_wait)
                if stopped():
                    run.result.interrupted = True
                    break
                run.take(line, ready, kept)
        except KeyboardInterrupt:
            run.result.interrupted = True
        except (ReadingError, OSError) as error:  # the file to read, or the disk with the rejects
            producer.flush()
            done = run.result
            raise ReadingError(
                f"{sentence_of(error)} Of {done.lines} lines read, {done.sent} were sent and {done.bad} are bad."
            ) from error
        producer.flush()
        run.result.rejects = kept.written
    if not run.result.interrupted:
        on_progress(source.size, source.size)
    run.result.seconds = time.monotonic() - started
    return run.result


def _wait(clock: EventClock, pacer: Pacer, number: int, event_ms: int, on_wait: Callable[[Wait], None]) -> None:
    elapsed = pacer.elapsed_ms
    due, wanted = clock.due(event_ms, elapsed)
    if due - elapsed > TOLD_WAIT_MS or wanted > due:
        on_wait(Wait(number, (due - elapsed) / 1000, (wanted - elapsed) / 1000))
    pacer.wait(due)


class _Replay:
    """Counts the outcome of each line."""

    def __init__(self, producer: ScoreProducer, encode: Encode, on_bad: Callable[[BadLine], None]) -> None:
        self.result = ReplayResult()
        self._producer = producer
        self._encode = encode
        self._on_bad = on_bad

    def prepare(self, line: Line) -> _Ready | BadLine | None:
        """The record to send, or the fault; None for a blank line. Counts nothing."""
        return None if line.blank else _prepare(line, self._encode)

    def take(self, line: Line, ready: _Ready | BadLine | None, kept: _Rejects) -> None:
        """Count the line, and send it or set it aside."""
        self.result.lines += 1
        if ready is None:
            self.result.blank += 1
        elif isinstance(ready, BadLine):
            self._refuse(line, ready, kept)
        else:
            self._send(line, ready, kept)

    def _send(self, line: Line, ready: _Ready, kept: _Rejects) -> None:
        """Send it; a record too large for the topic is a bad line, now or when the broker refuses it."""

        def refused(why: str) -> None:
            self.result.sent -= 1
            self._refuse(line, BadLine(line.number, Reason.TOO_LARGE.value, why), kept)

        self.result.sent += 1
        large = len(ready.value) > LARGE_BYTES
        try:
            self._producer.send(ready.key, ready.value, on_refused=refused if large else None)
        except RecordTooLargeError as error:
            refused(str(error))
        except KeyboardInterrupt:
            self.result.sent -= 1
            self.result.lines -= 1
            raise

    def _refuse(self, line: Line, bad: BadLine, kept: _Rejects) -> None:
        self.result.bad += 1
        self.result.reasons[bad.reason] += 1
        kept.add(line, bad)
        self._on_bad(bad)


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
    if isinstance(outcome, Refused):
        return BadLine(line.number, outcome.reason.value, outcome.detail)
    if line.raw is None or encode is not encode_json:  # a line of JSON is sent verbatim
        try:
            value = encode(_event(outcome))
        except AvroFormatError as error:
            return BadLine(line.number, Reason.NOT_AVRO.value, str(error))
    return _Ready(outcome.user_id.encode("utf-8"), value, outcome.event_time_millis)


def _event(found: Accepted) -> ScoreEvent:
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
    """The known columns as JSON. Texts stay texts: the acceptance rule parses digits. Empty texts become no id."""
    known = {name: _within_64_bits(fields.get(name)) for name in FIELD_NAMES}
    for optional in ("readable_time", "event_type", "event_id"):
        known[optional] = known[optional] or None
    try:
        return orjson.dumps(known)
    except TypeError:  # lone surrogates: bytes that were not UTF-8; or a Parquet type without a JSON form
        return None


def _within_64_bits(value: Any) -> Any:
    """The digits of an integer too large for JSON's writer: the acceptance rule parses them."""
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


class _Rejects:
    """The file of bad lines, created for the first one."""

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
    return _within_64_bits(value) if value is None or isinstance(value, int | float) else repr(value)


def read_rejects(path: Path) -> Iterator[dict[str, Any]]:
    """The bad lines of an earlier replay, one by one."""
    with path.open("rb") as file:
        for line in file:
            yield orjson.loads(line)
