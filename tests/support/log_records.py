"""Records of the topic `logs` in every shape that senders use, and spoilt ones."""

from __future__ import annotations

import random
from collections.abc import Iterator

import orjson

from gamestream_dagster.security.simulation import FRAMES, LabelledLine, LogOptions, labelled_lines

START_MS = 1_790_000_000_000
_CHARACTERS = ' :[]{}"\\,.-0129azAZ\n\t%=\u00e9\u2028\U0001f600\x00'


def records(seed: int, lines: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of records: a labelled log in all shapes, a fifth of it spoilt somewhere."""
    chance = random.Random(seed)
    for line in labelled_lines(LogOptions(seed=seed, start_ms=START_MS, lines=lines)):
        text = _spoilt(chance, line.text) if chance.random() < 0.2 else line.text
        yield line.host.encode(), _shaped(chance, line, text)


def _shaped(chance: random.Random, line: LabelledLine, text: str) -> bytes:
    sent = line.millis / 1000 + chance.choice((0, 0.25, 3))
    match chance.randrange(8):
        case 0:
            return text.encode()
        case 1:
            fields = {"host": line.host, "ident": "sshd", "pid": chance.choice(("7", 7, None, "x")), "ts": sent,
                      "message": text.partition("]: ")[2] or text}  # fmt: skip
            return orjson.dumps({"timestamp": sent, "log": orjson.dumps(fields).decode()})
        case 2:
            return orjson.dumps({"@timestamp": int(sent * 1000), "log": {"hostname": line.host, "message": text}})
        case 3:
            return orjson.dumps({"timestamp": "2026-09-22T10:00:00Z", "host": line.host, "message": text})
        case 4 if chance.random() < 0.1:
            return chance.choice((b"\xff\xfe", b"", b"{", b"{}", b'{"log": 3}', b'{"log": "{"}', b'{"log": {"a": 1}}'))
        case _:
            return orjson.dumps({"timestamp": sent, "log": text})


def _spoilt(chance: random.Random, text: str) -> str:
    at = chance.randrange(len(text) + 1)
    match chance.randrange(5):
        case 0:
            return text[:at]
        case 1:
            return text[:at] + chance.choice(_CHARACTERS) + text[at:]
        case 2:
            return text[:at] + chance.choice(_CHARACTERS) + text[at + 1 :]
        case 3:
            return text[:at] + chance.choice(FRAMES) + text[at:]
        case _:
            return f"{text} from 10.1.2.3 port 22 ssh2"
