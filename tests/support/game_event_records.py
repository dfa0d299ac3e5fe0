"""Game events for tests of agreement: any number of records, good and broken, from the declaration.

`records()` and `good_events()` are Hypothesis strategies; `generated_records` gives a list, for implementations that
are fed in bulk. All draw from a `random.Random`: strategies for each field take minutes for some thousand records.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import strategies as st

from gamestream_dagster.catalogue.game_event import GameField, GameFieldType
from tests.support.game_event_cases import CATALOGUE, NOW, all_cases

_TIMES = CATALOGUE.times
_CASES = all_cases()


class Raw(NamedTuple):
    """JSON text that is put into a record as it is."""

    text: str


class GameRecord(NamedTuple):
    """One record as it is in Kafka."""

    value: bytes | None
    kafka_timestamp: int


_ODD_TEXTS = ["", " ", "\0", "\ud800", "\udc00", "\U0001f600", "\u00e9", "\ufeff", "\u202e", "7", "null"]
_ODD_TEXTS += ["2023-11-14T22:13:20Z", "1700000000", "4.99", "1e5", "EUR", "EU", "score", "1001", "'; --", "\\u0000"]
_ODD_TEXTS += ["x" * 200, "x" * 201]
_ODD_NUMBERS = ["0", "-0", "7", "-1", "7.0", "7.50", "1e2", "1E-7", "0.1", "4.999999", "4.9999999", "1.5e300", "1e308"]
_ODD_NUMBERS += ["1e309", "9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775809"]
_ODD_NUMBERS += ["1" * 64, "1" * 65, "01", "NaN", "1700000000000", "1700000000", "1000000000000", "1000000000001"]
_GOOD_CHARACTERS = 'aZ09 -_.\u00e9\U0001f600\u2028\ufffe"\\/\t\n\x01\x7f'
_CHARACTERS = _GOOD_CHARACTERS + "\0\ud800\udfff"
_FIELDS = [
    *CATALOGUE.fields.items(),
    *(pair for event in CATALOGUE.types.values() for pair in event.properties.items()),
]
_NAMES = sorted({name for field, one in _FIELDS for name in (field, *one.synonyms)})


def _text(chance: random.Random) -> str:
    if chance.random() < 0.5:
        return chance.choice(_ODD_TEXTS)
    return "".join(chance.choice(_CHARACTERS) for _ in range(chance.randrange(12)))


def _scalar(chance: random.Random) -> Any:
    match chance.randrange(6):
        case 0 | 1:
            return _text(chance)
        case 2:
            return Raw(chance.choice(_ODD_NUMBERS))
        case 3:
            return chance.randint(-(2**66), 2**66)
        case 4:
            return chance.uniform(-1, 1) * 10.0 ** chance.randint(-30, 30)
        case _:
            return chance.choice([None, True, False])


def _anything(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(8)
    if depth < 3 and kind == 0:
        return [_anything(chance, depth + 1) for _ in range(chance.randrange(4))]
    if depth < 3 and kind == 1:
        return {_text(chance): _anything(chance, depth + 1) for _ in range(chance.randrange(4))}
    if kind == 2 and not depth and chance.random() < 0.1:
        deep = chance.randint(28, 34)
        return Raw("[" * deep + "]" * deep)
    return _scalar(chance)


def _good_text(chance: random.Random, one: GameField) -> str:
    if one.values:
        return chance.choice(one.values)
    letters = one.alphabet or _GOOD_CHARACTERS
    most = min(one.max_length or 1, 20)
    return "".join(chance.choice(letters) for _ in range(chance.randint(one.min_length, most)))


def _good_time(chance: random.Random) -> int | str:
    millis = chance.randint(NOW - _TIMES.max_age, NOW + _TIMES.max_ahead)
    if chance.random() < 0.3:
        return chance.choice([millis, str(millis)])
    offset, digits = chance.choice([0, 0, chance.randint(-14 * 60, 14 * 60)]), chance.choice([3, 4, 6, 9])
    local = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=millis, minutes=offset)
    fraction = f".{millis % 1000:03}999999"[: digits + 1]
    zone = f"{'+' if offset > 0 else '-'}{abs(offset) // 60:02}:{abs(offset) % 60:02}" if offset else "Z"
    return f"{local:%Y-%m-%dT%H:%M:%S}{fraction}{zone}"


def _good(chance: random.Random, one: GameField) -> Any:
    whole = chance.choice([int(one.least), int(one.most), chance.randint(int(one.least), int(one.most))])
    match one.type:
        case GameFieldType.INTEGER:
            return whole
        case GameFieldType.NUMBER:
            return chance.choice([whole, chance.uniform(float(one.least), float(one.most))])
        case GameFieldType.DECIMAL:
            digits = chance.randint(1, one.scale)
            exact = f"{chance.randint(int(one.least), int(one.most) - 1)}.{chance.randrange(10**digits):0{digits}}"
            return chance.choice([whole, exact, Raw(exact)])
        case GameFieldType.BOOLEAN:
            return chance.random() < 0.5
        case GameFieldType.TIME:
            return _good_time(chance)
        case _:
            return _good_text(chance, one)


def _named(chance: random.Random, fields: dict[str, GameField], required: set[str]) -> dict[str, Any]:
    return {
        chance.choice([name, name, *one.synonyms]): _good(chance, one)
        for name, one in fields.items()
        if one.type not in {GameFieldType.OBJECT, GameFieldType.EVENT_TYPE}
        and (name in required or chance.random() < 0.4)
    }


def good_event(chance: random.Random) -> dict[str, Any]:
    """An event that is accepted at `NOW`, in any of the shapes that senders may use."""
    event = chance.choice([*CATALOGUE.types.values()])
    document = _named(chance, CATALOGUE.fields, {one for one in CATALOGUE.fields if CATALOGUE.required(event, one)})
    document["event_type"] = chance.choice([*event.names, *event.codes])
    properties = _named(chance, event.properties, {name for name, one in event.properties.items() if one.required})
    if chance.random() < 0.2:
        return document | properties
    if chance.random() < 0.2:
        properties["other"] = chance.choice([1, 2.5, "text", [1, {"b": 1, "a": Raw("1.50")}], None])
    return document | {"properties": properties}


def record(chance: random.Random) -> GameRecord:
    """A record: a good event, one with some fields changed, its bytes changed, or a case of the table."""
    kind = chance.randrange(10)
    if kind == 0:
        case = chance.choice(_CASES)
        return GameRecord(case.value, case.kafka_timestamp)
    document = good_event(chance)
    if kind > 3:
        _break(chance, document)
    shuffled = [*document.items()]
    chance.shuffle(shuffled)
    value = written(dict(shuffled), ascii_only=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    if kind == 8 and chance.random() < 0.2:
        value = b"[" + value + b"]"
    if kind == 9:
        at = chance.randrange(len(value))
        value = value[:at] + chance.randbytes(chance.randrange(3)) + value[at + chance.randrange(4) :]
    moved = chance.choice([0, 0, 0, 600_000, 600_001, _TIMES.max_age, -_TIMES.max_ahead - 1, -NOW - 1])
    return GameRecord(value, NOW + moved)


def _break(chance: random.Random, document: dict[str, Any]) -> None:
    for _ in range(chance.randint(1, 3)):
        inside = document.get("properties")
        target = inside if isinstance(inside, dict) and chance.random() < 0.5 else document
        name = chance.choice([chance.choice([*target] or [""]), chance.choice(_NAMES), _text(chance)])
        if chance.random() < 0.8:
            target[name] = _anything(chance)
        else:
            target.pop(name, None)


def written(value: Any, *, ascii_only: bool) -> str:
    """JSON text of a document with `Raw` parts."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        parts = (f"{json.dumps(name)}:{written(one, ascii_only=ascii_only)}" for name, one in value.items())
        return "{" + ", ".join(parts) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(one, ascii_only=ascii_only) for one in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def good_events() -> st.SearchStrategy[dict[str, Any]]:
    """Events that are accepted at `NOW`."""
    return st.integers(0, 2**32).map(lambda seed: good_event(random.Random(seed)))


def records() -> st.SearchStrategy[GameRecord]:
    """Records of every kind."""
    return st.integers(0, 2**32).map(lambda seed: record(random.Random(seed)))


def generated_records(count: int = 5_000, seed: int = 1) -> list[GameRecord]:
    """So many different records, the same for the same seed."""
    chance = random.Random(seed)
    found: dict[GameRecord, None] = {}
    while len(found) < count:
        found[record(chance)] = None
    return list(found)
