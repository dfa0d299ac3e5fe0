"""A request's body: its declared form, read within limits of size and time, and inflated within a limit."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import zstandard
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from gamestream_dagster.http_server.errors import RequestRefusedError, bad_request, too_large

MAX_BODY_BYTES: Final = 1 << 20
"""Of a batch, inflated; and of what is sent."""
MAX_BEACON_BYTES: Final = 64 << 10
"""Of a `text/plain` body: the most that browsers let `navigator.sendBeacon` queue."""
_ZSTD_WINDOW: Final = 8 << 20  # what RFC 9659 has every HTTP client keep to; a frame may ask for 2 GiB
_STEP: Final = 64 << 10
_MOST_MEMBERS: Final = 16  # of one stream: a megabyte of empty ones would take seconds


class Coding(StrEnum):
    """Content codings that are understood."""

    IDENTITY = "identity"
    GZIP = "gzip"
    ZSTD = "zstd"


@dataclass(frozen=True)
class BodyForm:
    """What the headers say about a body."""

    coding: Coding
    beacon: bool
    """`text/plain`, as `navigator.sendBeacon` sends it."""

    @property
    def max_bytes(self) -> int:
        """Limit of the inflated body, and of what is sent."""
        return MAX_BEACON_BYTES if self.beacon else MAX_BODY_BYTES


def is_beacon(headers: Headers) -> bool:
    """Whether the body is declared as plain text."""
    return _media_type(headers)[0] == "text/plain"


def form_of(headers: Headers) -> BodyForm:
    """Check what the headers say, before the body is read.

    Raises:
        RequestRefusedError: 400 for contradicting headers, 413 for a declared length over the limit, 415 for a media
            type, charset or coding that is not understood.
    """
    media_type, charset = _media_type(headers)
    if media_type not in ("application/json", "text/plain"):
        raise _unsupported("UNSUPPORTED_MEDIA_TYPE", "send Content-Type: application/json (text/plain for sendBeacon)")
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise _unsupported("UNSUPPORTED_CHARSET", "send the body as UTF-8")
    form = BodyForm(_coding(headers), media_type == "text/plain")
    length = _only(headers, "content-length")
    if length and "transfer-encoding" in headers:
        # one of the two lies about where the next request begins
        message = "The body has both a Content-Length and a Transfer-Encoding; send one of them."
        raise RequestRefusedError(400, "REPEATED_HEADER", message, headers={"Connection": "close"})
    if length.isdecimal() and int(length[:18]) > form.max_bytes:
        raise _over(form)
    return form


async def read_body(chunks: AsyncIterator[bytes], form: BodyForm, seconds: float) -> bytes:
    """The bytes as they were sent.

    Raises:
        RequestRefusedError: 400 when the sender goes away, 408 when they take longer than `seconds`, 413 when they are
            over the limit.
    """
    read = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in chunks:
                read += chunk
                if len(read) > form.max_bytes:
                    raise _over(form)
    except TimeoutError as error:
        message = f"The body did not arrive within {seconds:g} s; send a smaller one, or over a better connection."
        raise RequestRefusedError(408, "BODY_TOO_SLOW", message, headers={"Connection": "close"}) from error
    except ClientDisconnect as error:
        raise bad_request("BODY_INCOMPLETE", "The connection ended within the body; send all of it.") from error
    return bytes(read)


def inflate(sent: bytes, form: BodyForm) -> bytes:
    """The body without its coding. Never makes more than the limit and one step of `_STEP` bytes.

    Raises:
        RequestRefusedError: 400 for a damaged or incomplete stream, 413 over the limit.
    """
    match form.coding:
        case Coding.GZIP:
            return _gunzip(sent, form)
        case Coding.ZSTD:
            return _unzstd(sent, form)
        case Coding.IDENTITY:
            return sent


def _gunzip(sent: bytes, form: BodyForm) -> bytes:
    made = bytearray()
    rest = sent
    for _ in range(_MOST_MEMBERS):  # a gzip file may have several
        stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            while not stream.eof and rest:
                made += stream.decompress(rest, form.max_bytes + 1 - len(made))
                rest = stream.unconsumed_tail
                if len(made) > form.max_bytes:
                    raise _over(form)
        except zlib.error as error:
            raise _damaged(Coding.GZIP) from error
        if not stream.eof:
            raise _damaged(Coding.GZIP)
        rest = stream.unused_data
        if not rest:
            return bytes(made)
    raise _damaged(Coding.GZIP)


def _unzstd(sent: bytes, form: BodyForm) -> bytes:
    opener = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    made = bytearray()
    rest = sent
    try:
        for _ in range(_MOST_MEMBERS):
            # the reader makes no more than it is asked for, but does not tell a truncated frame from a whole one
            with opener.stream_reader(rest, read_across_frames=False) as reader:
                size = 0
                while chunk := reader.read(min(_STEP, form.max_bytes + 1 - len(made) - size)):
                    size += len(chunk)
                    if len(made) + size > form.max_bytes:
                        raise _over(form)
            frame = opener.decompressobj(read_across_frames=False)  # bounded: its size is known by now
            made += frame.decompress(rest)
            if not frame.eof:
                raise _damaged(Coding.ZSTD)
            rest = frame.unused_data
            if not rest:
                return bytes(made)
    except zstandard.ZstdError as error:
        raise _damaged(Coding.ZSTD) from error
    raise _damaged(Coding.ZSTD)


def _coding(headers: Headers) -> Coding:
    given = _only(headers, "content-encoding").strip().lower()
    given = {"": "identity", "x-gzip": "gzip"}.get(given, given)
    if given not in tuple(Coding):
        raise _unsupported("UNSUPPORTED_ENCODING", "send the body plain, or with Content-Encoding gzip or zstd")
    return Coding(given)


def _media_type(headers: Headers) -> tuple[str, str]:
    """Media type and charset in small letters; empty where not given."""
    media_type, *parameters = _only(headers, "content-type").split(";")
    named: dict[str, str] = {}
    for part in parameters:
        name, _, value = part.strip().lower().partition("=")
        named[name] = value.strip('"')
    return media_type.strip().lower(), named.get("charset", "")


def _only(headers: Headers, name: str) -> str:
    found = headers.getlist(name)
    if len(found) > 1:
        raise bad_request("REPEATED_HEADER", f"The header {name} is given {len(found)} times; send it once.")
    return found[0] if found else ""


def _unsupported(code: str, instruction: str) -> RequestRefusedError:
    message = f"The body is of a kind that is not understood; {instruction}."
    return RequestRefusedError(415, code, message, headers={"Accept-Encoding": "gzip, zstd"})


def _over(form: BodyForm) -> RequestRefusedError:
    what = "a text/plain body" if form.beacon else "a body, also when inflated"
    return too_large("BODY_TOO_LARGE", f"The limit for {what} is {form.max_bytes:,} bytes; send less in one request.")


def _damaged(coding: Coding) -> RequestRefusedError:
    return bad_request(
        "DAMAGED_BODY", f"The body is not a complete {coding} stream; compress it again and send all of it."
    )
