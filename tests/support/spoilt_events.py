"""Game events with a few parts changed, cut, doubled or added: what a hostile or broken sender sends."""

from __future__ import annotations

import random

PARTS = (
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\u0000", b"\\ud800", b"\\udc00", b"null", b"true", b"1", b"-",
    b".", b"e", b"0", b"\xff", b"\xc3\xa9", b"\xf0\x9f\x98\x80", b" ", b"\n", b"\x1f", b'"a":1,', b'"user_id":', b"E+9",
)  # fmt: skip


def spoilt(chance: random.Random, value: bytes) -> bytes:
    """An event with a few parts changed, cut, doubled or added."""
    found = bytearray(value)
    for _ in range(chance.randint(0, 3)):
        at = chance.randint(0, len(found))
        match chance.randrange(5):
            case 0:
                found[at:at] = chance.choice(PARTS)
            case 1:
                del found[at : at + chance.randint(1, 6)]
            case 2:
                found[at : at + 1] = chance.choice(PARTS)
            case 3:
                found[at:at] = found[at : at + chance.randint(1, 40)]
            case _ if chance.random() < 0.1:
                del found[at:]
    return bytes(found)
