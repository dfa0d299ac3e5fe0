"""JSON as Flink's `json` format reads it (`decode.json-parser.enabled=false`, `ignore-parse-errors=true`).

Established by running Flink 2.3.0's own classes (with Jackson 2) on every case of the acceptance table and on random
input. Differences from strict JSON: bytes after the first value are ignored, a byte order mark, UTF-16 and UTF-32
are read, over-long UTF-8, lone surrogates and control characters in strings are accepted, the last of
two equal keys wins. Numbers keep their text. Limits are Jackson's: depth 1000, 1000 digits, names of 50,000 characters.
Not replicated: Jackson may take a field name with a byte 0xFF for a known one (which, depends on the names it has
seen before); such a record is refused here.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Final

MAX_DEPTH: Final = 1000
MAX_DIGITS: Final = 1000
MAX_NAME: Final = 50_000
MAX_STRING: Final = 20_000_000

_SPACE = r"[ \t\r\n]*"
_TOKEN = re.compile(
    _SPACE
    + r"""(?:(?P<string>"[^"\\]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\]*)*")"""
    + r"""|(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)"""
    + r"""|(?P<word>true|false|null)|(?P<mark>[\[\]{},:]))"""
)
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}
_SURROGATE = re.compile("[\ud800-\udfff]")
_PAIR = re.compile("([\ud800-\udbff])([\udc00-\udfff])")
_MIN_LONG: Final = -(2**63)
_MAX_LONG: Final = 2**63 - 1


class NotJsonError(ValueError):
    """The bytes do not start with a JSON value."""


class NotUtf8Error(NotJsonError):
    """The bytes cannot be decoded to text before the value is complete."""


class Number(str):
    """A JSON number by its text."""

    __slots__ = ()

    @property
    def is_integer(self) -> bool:
        """True when the text has neither fraction nor exponent."""
        return not any(mark in self for mark in ".eE")


Json = str | Number | bool | None | list["Json"] | dict[str, "Json"]


def parse(value: bytes) -> Json:
    """The first JSON value in `value`; ignores what follows.

    Raises:
        NotUtf8Error: undecodable bytes precede the value's end.
        NotJsonError: anything else that Jackson refuses.
    """
    text, whole = _decode(value)
    try:
        return _Builder().build(text)
    except NotJsonError as error:
        if not whole:
            raise NotUtf8Error("the bytes are not UTF-8") from error
        raise


def as_text(value: Json) -> str | None:
    """The content of a STRING column for `value`."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number):
        return _number_text(value)
    if isinstance(value, str):
        return _settle_surrogates(value)
    return _settle_surrogates(_serialise(value))


def as_long(value: Json) -> int | None:
    """The content of a BIGINT column for `value`: None for everything that Flink cannot read."""
    if isinstance(value, Number):
        if value.is_integer:
            return _in_long(int(value))
        number = float(value)
        return min(int(number), _MAX_LONG) if float(_MIN_LONG) <= number <= float(_MAX_LONG) else None
    return parse_long(value) if isinstance(value, str) else None


def parse_long(text: str) -> int | None:
    """Java's `Long.parseLong(text.trim())`, None where it throws. Accepts digits of any script, as Java does."""
    trimmed = text.strip("".join(map(chr, range(0x21))))
    digits = trimmed[1:] if trimmed[:1] in ("+", "-") else trimmed
    if not digits or not digits.isdecimal() or any(ord(digit) > 0xFFFF for digit in digits) or len(digits) > MAX_DIGITS:
        return None
    return _in_long(int(trimmed))


def _in_long(number: int) -> int | None:
    return number if _MIN_LONG <= number <= _MAX_LONG else None


class _Builder:
    """Reads one value without recursion, so that Jackson's depth limit applies and not Python's."""

    def __init__(self) -> None:
        self.open: list[list[Json] | dict[str, Json]] = []
        self.keys: list[str] = []
        self.root: Json = None

    def build(self, text: str) -> Json:
        position, expected = 0, "value"
        while True:
            found = _TOKEN.match(text, position)
            if found is None:
                raise NotJsonError("not a JSON value")
            position = found.end()
            expected = self._take(found.lastgroup or "", found.group(found.lastgroup or 0), expected)
            if expected == "done":
                return self.root

    def _take(self, kind: str, lexeme: str, expected: str) -> str:
        if expected == "colon":
            return self._need(lexeme == ":", "value")
        if expected == "next":
            if lexeme == ",":
                return "key" if isinstance(self.open[-1], dict) else "value"
            return self._close(lexeme)
        if lexeme in ("}", "]") and expected in ("first value", "first key"):
            return self._close(lexeme)
        if expected in ("key", "first key"):
            self._need(kind == "string", "")
            self.keys.append(_unquote(lexeme, MAX_NAME))
            return "colon"
        if lexeme in ("{", "["):
            return self._enter({} if lexeme == "{" else [])
        self._need(kind != "mark", "")
        return self._put(_scalar(kind, lexeme))

    @staticmethod
    def _need(fine: bool, then: str) -> str:
        if not fine:
            raise NotJsonError("not a JSON value")
        return then

    def _enter(self, container: list[Json] | dict[str, Json]) -> str:
        self.open.append(container)
        self._need(len(self.open) <= MAX_DEPTH, "")
        return "first key" if isinstance(container, dict) else "first value"

    def _close(self, lexeme: str) -> str:
        self._need(lexeme == ("}" if isinstance(self.open[-1], dict) else "]"), "")
        return self._put(self.open.pop())

    def _put(self, value: Json) -> str:
        if not self.open:
            self.root = value
            return "done"
        container = self.open[-1]
        if isinstance(container, dict):
            container[self.keys.pop()] = value
        else:
            container.append(value)
        return "next"


def _scalar(kind: str, token: str) -> Json:
    if kind == "string":
        return _unquote(token, MAX_STRING)
    if kind == "number":
        if sum(character.isdigit() for character in token) > MAX_DIGITS:
            raise NotJsonError("a number has too many digits")
        return Number(token)
    return _WORDS[token]


def _unquote(token: str, limit: int) -> str:
    text: str = json.loads(token, strict=False) if "\\" in token else token[1:-1]
    if len(text) > limit:
        raise NotJsonError("a text is too long")
    return text


def _decode(value: bytes) -> tuple[str, bool]:
    """Text of `value` as Jackson detects its encoding, and False when undecodable bytes cut it short."""
    encoding, skip = _encoding(value)
    body = value[skip:]
    if encoding == "utf-8":
        try:
            return body.decode("utf-8"), True
        except UnicodeDecodeError:
            return _lenient_utf8(body)
    if encoding.startswith("utf-16"):
        return body.decode(encoding, "replace"), True
    try:
        return body.decode(encoding, "surrogatepass"), True
    except UnicodeDecodeError as error:
        return body[: error.start].decode(encoding, "surrogatepass"), False


def _encoding(value: bytes) -> tuple[str, int]:
    """Encoding and length of the byte order mark, from the first bytes (Jackson's order of tests)."""
    head = value[:4]
    if len(head) == 4:
        for mark, encoding in ((b"\0\0\xfe\xff", "utf-32-be"), (b"\xff\xfe\0\0", "utf-32-le")):
            if head == mark:
                return encoding, 4
        if head in (b"\0\0\xff\xfe", b"\xfe\xff\0\0"):
            raise NotJsonError("an encoding of four bytes in an odd order")
        for mark, encoding in ((b"\xfe\xff", "utf-16-be"), (b"\xff\xfe", "utf-16-le"), (b"\xef\xbb\xbf", "utf-8")):
            if head.startswith(mark):
                return encoding, len(mark)
        if head[:3] == b"\0\0\0":
            return "utf-32-be", 0
        if head[1:] == b"\0\0\0":
            return "utf-32-le", 0
        if (head[0], head[2], head[3]) == (0, 0, 0) or (head[0], head[1], head[3]) == (0, 0, 0):
            raise NotJsonError("an encoding of four bytes in an odd order")
    if len(head) >= 2:
        if head[0] == 0:
            return "utf-16-be", 0
        if head[1] == 0:
            return "utf-16-le", 0
    return "utf-8", 0


def _lenient_utf8(body: bytes) -> tuple[str, bool]:
    """UTF-8 by lead byte alone, as Jackson reads it: accepts over-long forms and encoded surrogates."""
    characters: list[str] = []
    position = 0
    while position < len(body):
        lead = body[position]
        if lead < 0x80:
            characters.append(chr(lead))
            position += 1
            continue
        length = 2 if lead & 0xE0 == 0xC0 else 3 if lead & 0xF0 == 0xE0 else 4 if lead & 0xF8 == 0xF0 else 0
        rest = body[position + 1 : position + length]
        if not length or len(rest) != length - 1 or any(byte & 0xC0 != 0x80 for byte in rest):
            return "".join(characters), False
        code = lead & (0xFF >> (length + 1))
        for byte in rest:
            code = code << 6 | byte & 0x3F
        if length == 4:
            code -= 0x10000
            characters.append(chr((0xD800 | code >> 10) & 0xFFFF))
            code = 0xDC00 | code & 0x3FF
        characters.append(chr(code))
        position += length
    return "".join(characters), True


def _settle_surrogates(text: str) -> str:
    """Joins surrogate pairs; a lone one becomes `?`, as when Java encodes the text."""
    if _SURROGATE.search(text) is None:
        return text
    joined = _PAIR.sub(lambda pair: chr(0x10000 + ((ord(pair[1]) - 0xD800) << 10) + ord(pair[2]) - 0xDC00), text)
    return _SURROGATE.sub("?", joined)


def _number_text(number: Number) -> str:
    return str(int(number)) if number.is_integer else _java_double(float(number))


def _java_double(number: float) -> str:
    """Java's `Double.toString` (19 and later: the shortest decimal that reads back, two digits at least)."""
    if number in (float("inf"), float("-inf")):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "-0.0" if str(number).startswith("-") else "0.0"
    digits, exponent = _digits(number)
    sign = "-" if number < 0 else ""
    if not 1e-3 <= abs(number) < 1e7:
        return f"{sign}{digits[0]}.{digits[1:] or '0'}E{exponent}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    whole, fraction = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return f"{sign}{whole}.{fraction or '0'}"


def _digits(number: float) -> tuple[str, int]:
    """Significant digits without the point and the decimal exponent of the first."""
    shortest = Decimal(repr(abs(number))).normalize()
    if len(shortest.as_tuple().digits) == 1:
        two = Decimal(f"{abs(number):.1e}")  # Java tries two digits where one suffices, and takes the nearest
        shortest = two.normalize() if float(two) == abs(number) else shortest
    return "".join(map(str, shortest.as_tuple().digits)), shortest.adjusted()


_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
_TO_ESCAPE = re.compile(r'["\\\x00-\x1f]')


def _quoted(text: str) -> str:
    return '"' + _TO_ESCAPE.sub(lambda found: _ESCAPES.get(found[0], f"\\u{ord(found[0]):04X}"), text) + '"'


def _serialise(value: Json) -> str:
    """Jackson's `JsonNode.toString()`, without recursion: depth is the document's."""
    parts: list[str] = []
    work: list[Json | tuple[str]] = [value]
    while work:
        item = work.pop()
        if isinstance(item, tuple):
            parts.append(item[0])
        elif isinstance(item, dict):
            work.append(("}",))
            for index, (key, member) in reversed(list(enumerate(item.items()))):
                work += [member, (f"{',' if index else ''}{_quoted(key)}:",)]
            parts.append("{")
        elif isinstance(item, list):
            work.append(("]",))
            for index, member in reversed(list(enumerate(item))):
                work += [member, (",",)] if index else [member]
            parts.append("[")
        elif isinstance(item, str) and not isinstance(item, Number):
            parts.append(_quoted(item))
        else:
            scalar = as_text(item) or "null"
            parts.append(_quoted(scalar) if scalar.endswith("Infinity") else scalar)
    return "".join(parts)
