"""The root of the errors that users see, and every other error as a sentence."""

from __future__ import annotations

import errno
import sys
from typing import Final

_DISK: Final = {errno.ENOSPC, errno.EDQUOT}
_RIGHTS: Final = {errno.EACCES, errno.EPERM, errno.EROFS}


class GamestreamError(Exception):
    """A failed operation. The message is a sentence that says what happened and what to do next."""


class InstructedError(GamestreamError):
    """An error made of what is wrong and what to do next.

    Args:
        reason: what is wrong, without a full stop.
        instruction: what to do next, as a clause.
    """

    def __init__(self, reason: str, instruction: str) -> None:
        super().__init__(f"{reason}; {instruction}.")
        self.reason = reason
        self.instruction = instruction


class SettingsError(GamestreamError):
    """An invalid setting; the message names it, its origin and a valid value."""


class Transient:
    """Marks an error after which another try may succeed."""


def sentence_of(error: BaseException) -> str:
    """One sentence about any error, without a traceback.

    Our own errors carry it. Libraries are looked up by name, only where they are loaded: importing them all
    here would make every command slow.
    """
    if isinstance(error, GamestreamError):
        return str(error)
    if isinstance(error, OSError):
        return _of_the_system(error)
    if isinstance(error, UnicodeEncodeError):
        return f"A text cannot be shown here ({_short(error)}); set PYTHONIOENCODING=utf-8, or use --json."
    if isinstance(error, UnicodeError):
        return f"A text that was read is not UTF-8 ({_short(error)}); save the file as UTF-8, then try again."
    if isinstance(error, MemoryError):
        return "There was not enough memory; stop other programs, or ask for less at once, then try again."
    if isinstance(error, RecursionError):
        return "The input is nested too deeply to be read; make it flatter, then try again."
    return _of_a_library(error) or (
        f"Unexpected {type(error).__name__}: {_short(error)}. This is a fault of gamestream: run the command again "
        "with --debug and report what it prints."
    )


def _of_the_system(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    why = error.strerror or _short(error)
    if error.errno in _DISK:
        return f"{where}{why}; make room on the disk, then run the command again."
    if error.errno in _RIGHTS:
        return f"{where}{why}; give yourself the right to it, or choose another path with its option or --home."
    if error.errno == errno.EPIPE:
        return "The reader of the output closed it before everything was written; read all of it, or write to a file."
    if isinstance(error, FileNotFoundError):
        return f"{where}{why}; give another path, or restore it."
    if isinstance(error, ConnectionError | TimeoutError):
        return f"{where}{why}; see `gamestream status`, then try again."
    return f"{where}{why}; fix it, then run the command again."


_SEE_POSTGRES: Final = "see `gamestream status` and `gamestream plan`"
_SEE_DISK: Final = "see that the disk has room and the file is whole"
# Root classes of the libraries' errors, with what to do next.
_LIBRARIES: tuple[tuple[str, str, str, str], ...] = (
    ("yaml", "YAMLError", "A YAML file cannot be read", "fix the file at that line"),
    ("sqlalchemy.exc", "SQLAlchemyError", "Postgres refused the request", _SEE_POSTGRES),
    ("psycopg", "Error", "Postgres refused the request", _SEE_POSTGRES),
    ("duckdb", "Error", "DuckDB could not compute this", "see that the disk has room and the archive is whole"),
    ("pyarrow", "ArrowException", "A Parquet file could not be read or written", _SEE_DISK),
    ("confluent_kafka", "KafkaException", "Kafka refused the request", "see `gamestream status`"),
    ("httpx", "HTTPError", "A server did not answer", "see `gamestream status`"),
    ("pydantic", "ValidationError", "A value cannot be used", "mend it"),
    ("jinja2", "TemplateError", "A report could not be written", "restore the installed package"),
    ("json", "JSONDecodeError", "A JSON text cannot be read", "fix the file, or write a new one"),
)  # fmt: skip


def _of_a_library(error: BaseException) -> str | None:
    for module, name, what, then in _LIBRARIES:
        root = getattr(sys.modules.get(module), name, None)
        if isinstance(root, type) and isinstance(error, root):
            return f"{what} ({_short(error)}); {then}, then try again."
    return None


def _short(error: BaseException) -> str:
    """The first lines of an error in one; a database's own message without the statement and its values."""
    said = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    return " ".join(said.split("\n\n")[0].split())[:300]
