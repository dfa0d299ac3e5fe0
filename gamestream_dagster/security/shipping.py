"""Ships log lines from a file or stdin to the topic `logs`, and goes on where it stopped.

The position file says up to which byte of which file the broker has confirmed every line. It is written after each
confirmed batch: what it says is never sent twice nor left out. A crash between a confirmation and the writing of the
position sends at most that batch once more.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import orjson

from gamestream_dagster.events.interrupts import until_interrupted
from gamestream_dagster.events.producer import ScoreProducer
from gamestream_dagster.security.errors import ShippingError
from gamestream_dagster.security.lines import read_line
from gamestream_dagster.security.patterns import UNKNOWN_HOST
from gamestream_dagster.settings import Settings

TOPIC: Final = "logs"
LONGEST_LINE: Final = 131_072
"""Bytes; of a longer line the beginning is sent. Written as JSON it still fits into a record."""
BATCH_LINES: Final = 2_000
BATCH_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.2
"""How often a followed file is looked at when nothing is in it."""
ROTATED_SECONDS: Final = 2.0
"""A daemon may write into a renamed file until it opens the new one; so long without a line it is taken for done."""
_HEAD: Final = 256
_ROTATED: Final = r"[.-][0-9][0-9-]{0,20}"
"""How `logrotate` goes on from a file's name: `.1`, `-20260921`."""


@dataclass
class Shipped:
    """What became of the lines."""

    lines: int = 0
    cut: int = 0
    """Lines of which only the beginning was sent."""
    resumed_at: int = 0
    """Byte of the file at which this run began."""
    replaced: bool = False
    """Another file stands in the place of the one that was shipped before, and the rest of that one was not found."""
    interrupted: bool = False


@dataclass(frozen=True)
class Position:
    """Up to where a file was shipped.

    Attributes:
        device: of the file.
        inode: of the file.
        offset: bytes whose lines the broker has confirmed.
        head: digest of the file's first bytes, so that a reused inode is seen.
        head_bytes: of how many.
    """

    device: int
    inode: int
    offset: int
    head: str
    head_bytes: int

    def is_of(self, path: Path) -> bool:
        """Whether a file is the one that was shipped, and still holds what was."""
        try:
            found = path.stat()
            if (found.st_dev, found.st_ino) != (self.device, self.inode) or found.st_size < self.offset:
                return False
            with path.open("rb") as file:
                return _digest(file.read(self.head_bytes)) == self.head
        except OSError:
            return False


def default_position(settings: Settings, path: Path) -> Path:
    """Where the position of a file is kept unless told otherwise."""
    name = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:24]
    return settings.home / "shipping" / f"{name}.json"


def ship_stdin(settings: Settings, stream: BinaryIO, *, topic: str = TOPIC, host: str | None = None) -> Shipped:
    """Ship every line of a stream until it ends; there is no position to go on from.

    Raises:
        SendingError: lines were not delivered.
    """
    result = Shipped()
    with ScoreProducer(settings.kafka, topic) as producer, until_interrupted() as stopped:
        sender = _Sender(producer, host, result)
        while not stopped():
            line = stream.readline(LONGEST_LINE + 1)
            if not line:
                break
            sender.send(_whole(stream, line, result)[0])
        result.interrupted = stopped()
    return result


def ship_file(
    settings: Settings,
    path: Path,
    *,
    follow: bool = False,
    position: Path | None = None,
    topic: str = TOPIC,
    host: str | None = None,
    on_progress: Callable[[Shipped], None] = lambda result: None,
) -> Shipped:
    """Ship the lines of a file that were not shipped before.

    Args:
        settings: which stack.
        path: the file; `logrotate` may rename or empty it.
        follow: go on with what is appended, until Ctrl-C. A line is then sent once it ends.
        position: file that keeps how far it got; default: under the home.
        topic: where to.
        host: key of lines that name no machine; default: this machine.
        on_progress: told after each batch.

    Raises:
        ShippingError: the file or the position cannot be used; says why.
        SendingError: lines were not delivered; the next run sends them.
    """
    kept = position or default_position(settings, path)
    if not path.is_file():
        raise ShippingError(f"{path} is no file that can be read", "name a log file, or - for stdin")
    result = Shipped()
    with (
        _only_one(kept),
        ScoreProducer(settings.kafka, topic) as producer,
        until_interrupted() as stopped,
    ):
        sender = _Sender(producer, host, result)
        tail = _Tail(path, follow, stopped, result)
        batch = _Batch(producer, kept, tail, lambda: on_progress(result))
        for begin in _begins(path, _load(kept), result):
            for line in tail.lines(*begin):
                if line is None:
                    batch.confirm()
                    continue
                sender.send(line)
                batch.note()
        batch.confirm()
        result.interrupted = stopped() and not follow
    return result


class _Sender:
    """Lines as records of Fluent Bit's shape, keyed by the machine that wrote them."""

    def __init__(self, producer: ScoreProducer, host: str | None, result: Shipped) -> None:
        self._producer = producer
        self._host = (host or socket.gethostname() or UNKNOWN_HOST).encode()
        self._result = result

    def send(self, line: bytes) -> None:
        text = line.rstrip(b"\r\n").decode("utf-8", "replace")
        self._result.lines += 1
        if not text:
            return
        now = int(time.time() * 1000)
        found = read_line(orjson.dumps({"timestamp": now, "log": text}))
        sent = found.millis if found.millis is not None else now
        key = self._host if found.host == UNKNOWN_HOST else found.host.encode()
        self._producer.send(key, orjson.dumps({"timestamp": sent / 1000, "log": text}))


class _Batch:
    """Writes the position once the broker has every line before it."""

    def __init__(self, producer: ScoreProducer, kept: Path, tail: _Tail, told: Callable[[], None]) -> None:
        self._producer, self._kept, self._tail, self._told = producer, kept, tail, told
        self._lines, self._since = 0, time.monotonic()

    def note(self) -> None:
        self._lines += 1
        if self._lines >= BATCH_LINES or time.monotonic() - self._since >= BATCH_SECONDS:
            self.confirm()

    def confirm(self) -> None:
        if self._lines:
            self._producer.flush()
            _save(self._kept, self._tail.position())
            self._told()
        self._lines, self._since = 0, time.monotonic()


class _Tail:
    """Lines of one file after the other; None: what was given so far should be confirmed."""

    def __init__(self, path: Path, follow: bool, stopped: Callable[[], bool], result: Shipped) -> None:
        self._path, self._follow, self._stopped, self._result = path, follow, stopped, result
        self._file: BinaryIO | None = None
        self._offset = 0

    def position(self) -> Position:
        """Behind the newest line that was given."""
        assert self._file is not None  # noqa: S101 - a line came from it
        found = os.fstat(self._file.fileno())
        head = os.pread(self._file.fileno(), min(_HEAD, self._offset), 0)
        return Position(found.st_dev, found.st_ino, self._offset, _digest(head), len(head))

    def lines(self, path: Path, offset: int) -> Iterator[bytes | None]:
        """Lines of a file from a byte on; of the current file, with `follow`, without end."""
        current = path == self._path
        while True:
            yield from self._of_one(path, offset, self._follow and current)
            yield None  # the position is that of the file that is still open
            if self._file is not None:
                self._file.close()
                self._file = None
            if not (self._follow and current) or self._stopped():
                return
            offset = 0

    def _of_one(self, path: Path, offset: int, follow: bool) -> Iterator[bytes | None]:
        """Until the file ends; with `follow`, until another one stands in its place and this one is read up."""
        try:
            self._file = path.open("rb")
        except OSError as error:
            if not follow:
                raise ShippingError(f"{path} cannot be read ({error.strerror})", "give yourself the right") from error
            time.sleep(LOOK_SECONDS)  # between the renaming and the new file
            return
        self._file.seek(offset)
        self._offset = offset
        last = False  # whether the file will not grow any more
        read_at = time.monotonic()
        while not self._stopped():
            line = self._file.readline(LONGEST_LINE + 1)
            whole = line.endswith(b"\n") or len(line) > LONGEST_LINE
            if line and (whole or last or not follow):
                text, length = _whole(self._file, line, self._result)
                self._offset += length
                yield text
                read_at = time.monotonic()
                continue
            if not follow or last:
                return
            self._file.seek(self._offset)
            yield None
            match self._changed():
                case "replaced":
                    last = time.monotonic() - read_at > ROTATED_SECONDS
                    time.sleep(LOOK_SECONDS)
                case "emptied":
                    return
                case _:
                    time.sleep(LOOK_SECONDS)

    def _changed(self) -> str:
        assert self._file is not None  # noqa: S101 - asked while it is open
        mine = os.fstat(self._file.fileno())
        if mine.st_size < self._offset:
            return "emptied"
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return ""
        return "" if (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino) else "replaced"


def _begins(path: Path, last: Position | None, result: Shipped) -> Iterator[tuple[Path, int]]:
    """The files to read and from where: what was rotated away since the last run, then the file itself."""
    if last is None or last.is_of(path):
        result.resumed_at = last.offset if last is not None else 0
        yield path, result.resumed_at
        return
    name = re.compile(re.escape(path.name) + _ROTATED)
    named = (one for one in path.parent.iterdir() if name.fullmatch(one.name) and one.is_file())
    rotated = sorted(named, key=lambda one: one.stat().st_mtime_ns)
    place = next((place for place, one in enumerate(rotated) if last.is_of(one)), None)
    if place is None:
        result.replaced = True
    else:
        result.resumed_at = last.offset
        yield rotated[place], last.offset
        yield from ((one, 0) for one in rotated[place + 1 :])
    yield path, 0


def _whole(file: BinaryIO, line: bytes, result: Shipped) -> tuple[bytes, int]:
    """A line, and how many bytes it takes in the file; of one that is too long the beginning."""
    if len(line) <= LONGEST_LINE or line.endswith(b"\n"):
        return line, len(line)
    length = len(line)
    while not (part := file.readline(LONGEST_LINE)).endswith(b"\n") and part:
        length += len(part)
    result.cut += 1
    return line[:LONGEST_LINE], length + len(part)


@contextmanager
def _only_one(kept: Path) -> Iterator[None]:
    """Two runs over one position would send each line twice."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = kept.with_suffix(".lock").open("w")
    except OSError as error:
        raise ShippingError(
            f"{kept} cannot be written ({error.strerror})", "name another file with --position"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ShippingError(
                f"Another run ships by the position {kept}", "wait for it, or name another file with --position"
            ) from error
        yield


def _load(kept: Path) -> Position | None:
    try:
        raw = json.loads(kept.read_text(encoding="utf-8"))
        return Position(**raw)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ShippingError(
            f"The position {kept} cannot be read", "restore it, or remove it to ship the file from its start"
        ) from error


def _save(kept: Path, position: Position) -> None:
    descriptor, partial = tempfile.mkstemp(dir=kept.parent, prefix=f".{kept.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(vars(position), file)
        file.flush()
        os.fsync(file.fileno())
    Path(partial).replace(kept)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
