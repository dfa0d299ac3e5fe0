"""What the HTTP API counted of its own answers: a journal that survives a kill, and the table that it is folded into.

The API appends one line to a file of its own before it sends an answer. The line is in the kernel when the answer is
sent, so a SIGKILL loses the count of no answer; a power cut may. Whoever folds, the server or a command, adds the new
lines to the table and remembers how far it read in the same transaction.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from sqlalchemy import Connection, Engine, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import ProgrammingError

from gamestream_dagster.clients.errors import TerminalServiceError
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import ingest_counts, ingest_journals

MINUTE_MS: Final = 60_000
_LINE: Final = re.compile(rb"(\d{1,13}) ([0-9a-zA-Z_-]{1,64})((?: \d{1,9}){5})")
_MOST_BYTES: Final = 16 << 20  # folded at once
_SUFFIX: Final = ".counts"

log = logging.getLogger(__name__)


def journal_folder(settings: Settings) -> Path:
    """Where the servers of a stack write their journals."""
    return settings.home / "ingest" / "counts"


class Counts(NamedTuple):
    """Events of answered requests, by verdict. `received` is the sum of the others."""

    received: int = 0
    accepted: int = 0
    duplicate: int = 0
    refused: int = 0
    retry: int = 0

    def plus(self, other: Iterable[int]) -> Counts:
        """The sum."""
        return Counts(*(one + more for one, more in zip(self, other, strict=True)))

    @property
    def balanced(self) -> bool:
        """Whether every received event has a verdict."""
        return self.received == self.accepted + self.duplicate + self.refused + self.retry


@dataclass(frozen=True)
class KeyMinute:
    """What the API counted of one key in one minute of its clock."""

    minute: int
    """Milliseconds since 1970."""
    key_id: str
    counts: Counts


class Journal:
    """The files of one server, one after another.

    Args:
        folder: of all journals of the stack.
        most_bytes: a file that is larger is followed by another, so that it can be removed.
    """

    def __init__(self, folder: Path, most_bytes: int = _MOST_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._most_bytes = most_bytes
        self.failed = 0
        """Answers that could not be counted."""
        self._begin()

    def _begin(self) -> None:
        self.path = self._folder / f"{time.time_ns()}-{os.getpid()}{_SUFFIX}"
        fresh = self.path.with_suffix(".new")
        self._file = os.open(fresh, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_SH)  # as long as it is open: the file may still grow
        fresh.rename(self.path)  # now it can be folded: without the lock it would be removed
        self._bytes = 0

    def note(self, received_ms: int, key_id: str, counts: Counts) -> None:
        """Count an answer that is about to be sent. A full disk costs the count, not the answer."""
        minute = received_ms // MINUTE_MS * MINUTE_MS
        try:
            if self._bytes > self._most_bytes:
                full = self._file
                self._begin()
                os.close(full)
            self._bytes += os.write(self._file, f"{minute} {key_id} {' '.join(map(str, counts))}\n".encode())
        except OSError as error:
            self.failed += 1
            log.error("an answer could not be counted in %s: %s", self.path, error.strerror)  # noqa: TRY400

    def close(self) -> None:
        """End the file."""
        os.close(self._file)


def fold(engine: Engine, folder: Path) -> int:
    """Add what the journals hold beyond the last time to the table; the number of answers.

    A journal whose server has ended is removed when all of it is folded.

    Raises:
        TransientServiceError: Postgres does not answer.
        TerminalServiceError: the tables are missing.
    """
    answers = 0
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            with path.open("rb") as file:
                ended = _has_ended(file.fileno())
                while (taken := _folded(engine, path.name, file)) is not None:
                    answers += taken
            if ended:
                path.unlink()  # first: without its row it would be folded again
                with engine.begin() as database:
                    database.execute(ingest_journals.delete().where(ingest_journals.c.name == path.name))
        except FileNotFoundError:
            continue  # another process has folded it
        except ProgrammingError as error:
            raise _no_table(error) from error
    return answers


def counted(engine: Engine, since_ms: int) -> Iterator[KeyMinute]:
    """What the table holds, from a time on.

    Raises:
        TransientServiceError: Postgres does not answer.
        TerminalServiceError: the table is missing.
    """
    table = ingest_counts
    query = select(table).where(table.c.minute >= datetime.fromtimestamp(since_ms / 1000, UTC))
    try:
        with engine.connect().execution_options(stream_results=True) as database:
            for row in database.execute(query.order_by(table.c.minute, table.c.key_id)).mappings():
                counts = Counts(*(row[name] for name in Counts._fields))
                yield KeyMinute(int(row["minute"].timestamp() * 1000), row["key_id"], counts)
    except ProgrammingError as error:
        raise _no_table(error) from error


def summed(content: bytes) -> tuple[Mapping[tuple[int, str], Counts], int]:
    """The counts of whole lines by minute and key, and how many answers they are of. Other lines are left out."""
    found: dict[tuple[int, str], Counts] = defaultdict(Counts)
    answers = 0
    for line in content.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        key = int(match[1]), match[2].decode()
        found[key] = found[key].plus(map(int, match[3].split()))
        answers += 1
    return found, answers


def _has_ended(file: int) -> bool:
    """Whether the server that wrote a journal has ended: asked before the file is read to its end."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _folded(engine: Engine, name: str, file: BinaryIO) -> int | None:
    """Fold some more of a journal; None at its end."""
    with engine.begin() as database:
        database.execute(insert(ingest_journals).values(name=name, folded=0).on_conflict_do_nothing())
        mine = ingest_journals.c.name == name
        at = database.execute(select(ingest_journals.c.folded).where(mine).with_for_update()).scalar_one()
        file.seek(at)
        content = file.read(_MOST_BYTES)
        whole = content[: content.rfind(b"\n") + 1]
        if not whole:
            return None
        found, answers = summed(whole)
        _add(database, found)
        database.execute(ingest_journals.update().where(mine).values(folded=at + len(whole)))
    return answers


def _add(database: Connection, found: Mapping[tuple[int, str], Counts]) -> None:
    if not found:
        return
    rows = [
        {"minute": datetime.fromtimestamp(minute / 1000, UTC), "key_id": key_id, **counts._asdict()}
        for (minute, key_id), counts in found.items()
    ]
    fresh = insert(ingest_counts).values(rows)
    sums = {name: ingest_counts.c[name] + fresh.excluded[name] for name in Counts._fields}
    database.execute(fresh.on_conflict_do_update(index_elements=["key_id", "minute"], set_=sums))


def _no_table(error: ProgrammingError) -> TerminalServiceError:
    return TerminalServiceError(
        "Postgres",
        f"the tables of the ledger cannot be read ({str(error.orig).splitlines()[0]})",
        "create them with `gamestream apply`",
    )
