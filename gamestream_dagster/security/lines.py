"""What a record of the topic `logs` says: `LogLine.java` reads the same bytes to the same values."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Any, Final

from gamestream_dagster.catalogue.game_event import RecordLimits
from gamestream_dagster.events.strict_json import NotStrictJsonError, StrictJsonReader
from gamestream_dagster.security import patterns
from gamestream_dagster.security.patterns import LineKind, LineReason

_EXACT: Final = Context(prec=120, rounding=ROUND_FLOOR)
_HEADERS: Final = tuple(re.compile(one) for one in (patterns.HEADER, patterns.HEADER_5424))
_TAG: Final = re.compile(patterns.TAG)
_HOST: Final = re.compile(patterns.HOST)
_REPEATED: Final = re.compile(patterns.REPEATED)
_SHORT_TIME: Final = re.compile(patterns.SHORT_TIME)
_LONG_TIME: Final = re.compile(patterns.LONG_TIME)
_KINDS: Final = tuple((kind, re.compile(pattern)) for kind, pattern in patterns.KINDS)
_PID: Final = re.compile("[0-9]{1,10}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SSHD: Final = "sshd"
_LIMITS: Final = RecordLimits(
    record_bytes=1_048_576,
    depth=patterns.JSON_DEPTH,
    number_characters=patterns.JSON_NUMBER,
    number_exponent=patterns.JSON_EXPONENT,
)
_reader: Final = StrictJsonReader(_LIMITS)


@dataclass(frozen=True)
class LogLine:
    """One log line. Addresses and messages are personal data: they go to Kafka and Postgres, never into our own logs.

    Attributes:
        reason: why it could not be read; None: it could.
        host: the machine that wrote it, `unknown` where the line does not say.
        program: such as `sshd`; None where the record names none and it is no try to log in.
        pid: process id, empty where the line has none.
        message: what the program wrote, without `message repeated`.
        kind: what it says about a try; `other` for every other program.
        repeats: how many times the message stands for itself.
        source: address that the try came from, in its one spelling.
        millis: time of the line, milliseconds since 1970 UTC; None: the record's Kafka time counts.
    """

    reason: LineReason | None = None
    host: str = patterns.UNKNOWN_HOST
    program: str | None = None
    pid: str = ""
    message: str | None = None
    kind: LineKind = LineKind.OTHER
    repeats: int = 1
    source: str | None = None
    millis: int | None = None


def read_line(value: bytes | None) -> LogLine:
    """The log line in a record: a plain line, Fluent Bit's shape, or JSON fields; never raises."""
    try:
        text = (value or b"").decode("utf-8")
    except UnicodeDecodeError:
        return LogLine(reason=LineReason.NOT_UTF8)
    if not text.startswith("{"):
        return _plain(text, None)
    outer = _object(text)
    if outer is None:
        return LogLine(reason=LineReason.NOT_JSON)
    sent = _first_time(outer, None)
    log = outer.get("log")
    if isinstance(log, dict):
        return _fields(log, sent)
    if isinstance(log, str):
        inner = _object(log) if log.startswith("{") else None
        return _plain(log, sent) if inner is None else _fields(inner, sent)
    return _fields(outer, sent)


def canonical_address(text: str) -> str | None:
    """An address as outputs name it: small letters, IPv4 inside IPv6 as IPv4; None: the text is no address."""
    try:
        if ":" not in text:
            socket.inet_pton(socket.AF_INET, text)
            return text
        packed = socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return None
    if packed.startswith(bytes(10) + b"\xff\xff"):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return text.lower()


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = _reader.read(text.encode("utf-8", "replace"))
    except NotStrictJsonError:
        return None
    return found if isinstance(found, dict) else None


def _plain(text: str, sent: int | None) -> LogLine:
    text = text.rstrip("\r\n")
    for header in _HEADERS:
        if found := header.fullmatch(text):
            time, host, program, pid, message = found.groups()
            return _told(host, program, pid or "", message, _time(time, sent) if time else sent)
    return LogLine(reason=LineReason.NO_HEADER)


def _fields(fields: dict[str, Any], sent: int | None) -> LogLine:
    message = _first(fields, patterns.MESSAGE_FIELDS)
    if message is None:
        return LogLine(reason=LineReason.NO_LINE)
    message = message.rstrip("\r\n")
    if (whole := _plain(message, sent)).reason is not LineReason.NO_HEADER:
        return whole
    host = _first(fields, patterns.HOST_FIELDS)
    if host is None or not _HOST.fullmatch(host):
        host = patterns.UNKNOWN_HOST
    program = _first(fields, patterns.PROGRAM_FIELDS)
    pid = next((str(fields[name]) for name in patterns.PID_FIELDS if isinstance(fields.get(name), str | int)), "")
    if not _PID.fullmatch(pid):
        pid = ""
    if program is None and (tagged := _TAG.fullmatch(message)) and tagged[1] in patterns.SSH_PROGRAMS:
        program, pid, message = tagged[1], tagged[2] or "", tagged[3]
    # the first seed's records name no program: what says exactly what sshd says is taken for sshd's
    return _told(host, program or _SSHD, pid, message, _first_time(fields, sent))


def _told(host: str, program: str, pid: str, message: str, millis: int | None) -> LogLine:
    repeats = 1
    told = message
    if program in patterns.SSH_PROGRAMS:
        if repeated := _REPEATED.fullmatch(message):
            repeats, told = int(repeated[1]), repeated[2]
        for kind, pattern in _KINDS:
            if found := pattern.fullmatch(told):
                return _try(LogLine(None, host, program, pid, told, kind, repeats, None, millis), found)
        if told.startswith(patterns.TRY_PREFIXES):
            return LogLine(LineReason.UNKNOWN_FORM, host, program, pid, None, millis=millis)
    return LogLine(None, host, program, pid, told, LineKind.OTHER, repeats, None, millis)


def _try(line: LogLine, found: re.Match[str]) -> LogLine:
    if line.kind is LineKind.OTHER:
        return line
    repeats = line.repeats * (int(found[1]) if line.kind is LineKind.PAM_MORE else 1)
    source = canonical_address(found[found.re.groups])
    if source is None:
        return LogLine(LineReason.UNKNOWN_FORM, line.host, line.program, line.pid, None, millis=line.millis)
    return LogLine(None, line.host, line.program, line.pid, line.message, line.kind, repeats, source, line.millis)


def _first(fields: dict[str, Any], names: Sequence[str]) -> str | None:
    found = next((fields[name] for name in names if isinstance(fields.get(name), str)), None)
    # half of a surrogate pair is no text that a row can hold
    return None if found is None else found.encode("utf-8", "replace").decode()


def _first_time(fields: dict[str, Any], sent: int | None) -> int | None:
    for name in patterns.TIME_FIELDS:
        value = fields.get(name)
        if isinstance(value, str) and (found := _time(value, sent)) is not None:
            return found
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return _number(Decimal(value))
    return sent


def _number(value: Decimal) -> int | None:
    millis = value if value >= patterns.SECONDS_BELOW else _EXACT.multiply(value, Decimal(1000))
    if not 0 <= millis <= patterns.LATEST_MS:
        return None
    return int(millis.to_integral_value(ROUND_FLOOR, _EXACT))


def _time(text: str, sent: int | None) -> int | None:
    """Milliseconds of a time's text; a time without a zone is UTC, one without a year the last before `sent`."""
    if found := _LONG_TIME.fullmatch(text):
        year, month, day, hour, minute, second, fraction, sign, hours, minutes = found.groups()
        behind = (int(hours) * 60 + int(minutes)) * 60_000 if sign else 0
        millis = _millis(int(year), int(month), int(day), int(hour), int(minute), int(second))
        if millis is None:
            return None
        millis += int(((fraction or "") + "000")[:3]) + (behind if sign == "-" else -behind)
        return millis if 0 <= millis <= patterns.LATEST_MS else None
    found = _SHORT_TIME.fullmatch(text)
    if not found or found[1] not in patterns.MONTHS or sent is None:
        return None
    month, day = patterns.MONTHS.index(found[1]) + 1, int(found[2])
    latest = (_EPOCH + timedelta(milliseconds=sent)).year
    for year in (latest + 1, latest, latest - 1, latest - 2, latest - 3, latest - 4):
        millis = _millis(year, month, day, int(found[3]), int(found[4]), int(found[5]))
        if millis is not None and 0 <= millis <= sent + patterns.DAY_MS:
            return millis
    return None


def _millis(  # noqa: PLR0917 - parts of a date
    year: int, month: int, day: int, hour: int, minute: int, second: int
) -> int | None:
    try:
        # a leap second counts as the one before it
        at = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None
    return (at - _EPOCH) // timedelta(milliseconds=1) if second <= 60 else None
