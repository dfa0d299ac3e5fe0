"""Splits the body of a batch into the exact bytes of its events.

The bytes go to the rule, and those of accepted events to Kafka, as they were sent: duplicate keys, numbers beyond 64
bits, lone surrogates and bytes that are no UTF-8 are for the rule to judge, event by event. A body that is no JSON, or
has no `events`, is refused as a whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from gamestream_dagster.http_server.errors import RequestRefusedError, bad_request, too_large

MAX_EVENTS: Final = 500
EXAMPLE: Final = '{"events": [...]}'
_SPACE: Final = r"[ \t\n\r]*"
_HEAD: Final = re.compile(rf'{_SPACE}\{{{_SPACE}"events"{_SPACE}:{_SPACE}\[{_SPACE}')
_NEXT: Final = re.compile(rf"{_SPACE}([,\]]){_SPACE}")
_TAIL: Final = re.compile(rf"{_SPACE}\}}{_SPACE}\Z")
_COLON: Final = re.compile(rf"{_SPACE}:{_SPACE}")


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One element of `events`: its exact bytes, and its members as a lenient reader sees them."""

    value: bytes
    members: dict[str, Any]
    """Empty where the element is no object. Numbers are not kept."""

    @property
    def event_id(self) -> str | None:
        """The id that the sender knows the event by, for the verdict of an event that is refused."""
        found = self.members.get("event_id")
        return found if isinstance(found, str) and len(found) <= 200 and found.isprintable() else None


def split(body: bytes) -> list[RawEvent]:
    """The events of a batch, in order.

    Raises:
        RequestRefusedError: 400 when the body is no JSON object of the form `{"events": [...]}`, 413 with more than
            `MAX_EVENTS` events.
    """
    text = body.decode("utf-8", "surrogateescape")
    head = _HEAD.match(text)
    if head is None:
        _explain(text)
    try:
        events = list(_elements(text, head.end()))
    except (ValueError, RecursionError):
        _explain(text)
    return events


def _elements(text: str, at: int) -> Iterator[RawEvent]:
    """Elements of the array whose first one begins at `at`; ValueError where the text is no such JSON."""
    separator = "]" if text[at : at + 1] == "]" else ","
    at += separator == "]"
    count = 0
    while separator == ",":
        found, end = _DECODER.raw_decode(text, at)
        count += 1
        if count > MAX_EVENTS:
            raise too_large(
                "TOO_MANY_EVENTS", f"A batch has at most {MAX_EVENTS} events; send the rest in further requests."
            )
        yield RawEvent(_bytes(text[at:end]), found if isinstance(found, dict) else {})
        following = _NEXT.match(text, end)
        if following is None:
            raise ValueError("no comma")
        separator, at = following.group(1), following.end()
    if _TAIL.match(text, at) is None:
        raise ValueError("no end")


def without_member(value: bytes, name: str) -> bytes:
    """The bytes of a JSON object without its members called `name`; all others keep their exact bytes."""
    text = value.decode("utf-8", "surrogateescape")
    kept = [text[start:end] for key, start, end in _members(text) if key != name]
    return _bytes("{" + ",".join(kept) + "}")


def with_member(value: bytes, name: str, text: str) -> bytes:
    """The bytes of a JSON object with one more member, a text, at its end."""
    found = value.rstrip()[:-1].rstrip()
    comma = b"" if found.endswith(b"{") else b","
    return found + comma + json.dumps(name).encode() + b":" + json.dumps(text).encode() + b"}"


def _members(text: str) -> Iterator[tuple[str, int, int]]:
    """Key, first and last position of each member of an object that is known to be one."""
    at = _skip(text, text.index("{") + 1)
    while text[at] != "}":
        key, end = _DECODER.raw_decode(text, at)
        colon = _COLON.match(text, end)
        if colon is None:
            raise ValueError("no colon")
        _, end = _DECODER.raw_decode(text, colon.end())
        yield key, at, end
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\n\r":
        at += 1
    return at


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _unread(_: str) -> int:
    """In place of a number, whose text can be a megabyte long."""
    return 0


# the exact reader is the rule's; this one finds where elements end, and must take whatever is JSON
_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant, parse_int=_unread, parse_float=_unread)


def _explain(text: str) -> NoReturn:
    """Say why a body is no batch."""
    try:
        found = json.loads(
            text, parse_constant=_no_constant, parse_int=_unread, parse_float=_unread, object_pairs_hook=_Pairs
        )
    except RecursionError:
        raise bad_request("TOO_DEEP", "The body is nested more deeply than is read; make its events flatter.") from None
    except ValueError as error:
        raise _not_json(text, error) from None
    if not isinstance(found, _Pairs):
        raise bad_request("NOT_AN_OBJECT", f"The body is not a JSON object; send {EXAMPLE}.")
    names = [name for name, _ in found]
    if "events" not in names:
        raise bad_request("NO_EVENTS", f"The body has no `events`; send {EXAMPLE}.")
    if names != ["events"]:
        raise bad_request("UNKNOWN_MEMBER", f"The body has members beside one `events`; send {EXAMPLE} alone.")
    if not isinstance(found[0][1], list) or isinstance(found[0][1], _Pairs):
        raise bad_request("NO_EVENTS", f"`events` is not an array; send {EXAMPLE}.")
    raise bad_request("NOT_JSON", f"The name `events` is written with escapes; send {EXAMPLE}.")


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, repeated ones too."""


def _not_json(text: str, error: ValueError) -> RequestRefusedError:
    if not text.strip():
        return bad_request("NOT_JSON", f"The body is empty; send {EXAMPLE}.")
    place = f" at line {error.lineno} column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
    return bad_request("NOT_JSON", f"The body is no JSON{place}; send {EXAMPLE} as UTF-8.")
