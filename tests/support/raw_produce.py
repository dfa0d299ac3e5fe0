"""Produces one record by Kafka's own protocol, with what no client library sends: header names of any bytes."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from typing import Final

_PRODUCE, _VERSION = 0, 3
_CASTAGNOLI: Final = 0x82F63B78


def produce(bootstrap: str, topic: str, value: bytes, headers: Sequence[tuple[bytes, bytes | None]]) -> None:
    """Append a record without a key to partition 0, and wait for the broker's answer."""
    batch = _batch(value, headers)
    named = topic.encode()
    body = struct.pack(">hhi", -1, -1, 10_000)  # no transaction, all replicas
    body += struct.pack(f">ih{len(named)}sii", 1, len(named), named, 1, 0) + struct.pack(">i", len(batch)) + batch
    head = struct.pack(">hhih4s", _PRODUCE, _VERSION, 7, 4, b"test")
    host, _, port = bootstrap.rpartition(":")
    with socket.create_connection((host, int(port)), 10) as broker:
        broker.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
        answer = _exactly(broker, struct.unpack(">i", _exactly(broker, 4))[0])
    at = 4 + 4 + 2 + len(named) + 4 + 4  # correlation, topics, its name, partitions, the partition
    [error] = struct.unpack_from(">h", answer, at)
    assert error == 0, f"the broker answers with error {error}"


def _batch(value: bytes, headers: Sequence[tuple[bytes, bytes | None]]) -> bytes:
    record = b"\0" + _varint(0) + _varint(0) + _varint(-1) + _varint(len(value)) + value + _varint(len(headers))
    for name, held in headers:
        record += _varint(len(name)) + name + (_varint(-1) if held is None else _varint(len(held)) + held)
    record = _varint(len(record)) + record
    now = round(time.time() * 1000)
    checked = struct.pack(">hiqqqhii", 0, 0, now, now, -1, -1, -1, 1) + record
    rest = struct.pack(">ibI", -1, 2, _crc32c(checked)) + checked
    return struct.pack(">qi", 0, len(rest)) + rest


def _varint(number: int) -> bytes:
    left, found = (number << 1) ^ (number >> 63), bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*found, left])


def _crc32c(content: bytes) -> int:
    found = 0xFFFFFFFF
    for byte in content:
        found ^= byte
        for _ in range(8):
            found = found >> 1 ^ (_CASTAGNOLI if found & 1 else 0)
    return found ^ 0xFFFFFFFF


def _exactly(broker: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = broker.recv(size - len(found))
        assert part, "the broker hung up"
        found += part
    return found
