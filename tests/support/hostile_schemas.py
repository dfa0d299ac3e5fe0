"""Schemas that a hostile producer may register: none may stop a reader, and both readers decide alike about records."""

from __future__ import annotations

from typing import Final


def _nested(levels: int) -> dict[str, str]:
    """Schemas of parts inside each other."""
    text = '"string"'
    arrays = '{"type":"array","items":' * levels + text + "}" * levels
    records = text
    for number in range(levels):
        records = f'{{"type":"record","name":"R{number}","fields":[{{"name":"a","type":{records}}}]}}'
    return {
        f"{levels} arrays": f'{{"type":"record","name":"R","fields":[{{"name":"a","type":{arrays}}}]}}',
        f"{levels} unions": "[" * levels + text + "]" * levels,
        f"{levels} types": '{"type":' * levels + text + "}" * levels,
        f"{levels} records": records,
    }


def _health(field: str) -> str:
    return f'{{"type":"record","name":"PlayerHealth","fields":[{field}]}}'


def _of(kind: str) -> str:
    return _health(f'{{"name":"a","type":{kind}}}')


SCHEMAS: Final[dict[str, str]] = {
    name: text for levels in (100, 900, 1_000, 3_000, 20_000) for name, text in _nested(levels).items()
} | {
    "empty object": "{}",
    "empty list": "[]",
    "null": "null",
    "number": "7",
    "text": '"record"',
    "nothing": "",
    "junk": "{{{",
    "no fields": '{"type":"record","name":"PlayerHealth"}',
    "fields null": '{"type":"record","name":"PlayerHealth","fields":null}',
    "fields text": '{"type":"record","name":"PlayerHealth","fields":"x"}',
    "field no name": _health('{"type":"string"}'),
    "field name null": _health('{"name":null,"type":"string"}'),
    "field type null": _of("null"),
    "field twice": _health('{"name":"player_id","type":"string"},{"name":"player_id","type":"string"}'),
    "name null": '{"type":"record","name":null,"fields":[]}',
    "name number": '{"type":"record","name":7,"fields":[]}',
    "name empty": '{"type":"record","name":"","fields":[]}',
    "no name": '{"type":"record","fields":[]}',
    "name with dots": '{"type":"record","name":"..PlayerHealth","fields":[]}',
    "namespace number": '{"type":"record","name":"PlayerHealth","namespace":7,"fields":[]}',
    "enum no symbols": _of('{"type":"enum","name":"E","symbols":[]}'),
    "enum symbols null": _of('{"type":"enum","name":"E"}'),
    "enum symbols numbers": _of('{"type":"enum","name":"E","symbols":[1,null]}'),
    "fixed negative": _of('{"type":"fixed","name":"E","size":-5}'),
    "fixed huge": _of('{"type":"fixed","name":"E","size":9223372036854775807}'),
    "fixed beyond": _of('{"type":"fixed","name":"E","size":1e400}'),
    "fixed fraction": _of('{"type":"fixed","name":"E","size":1.5}'),
    "fixed text": _of('{"type":"fixed","name":"E","size":"16"}'),
    "fixed zero": _of('{"type":"fixed","name":"E","size":0}'),
    "unknown ref": _of('"Nobody"'),
    "self": _of('"PlayerHealth"'),
    "mutual": _of('{"type":"record","name":"B","fields":[{"name":"b","type":"PlayerHealth"}]}'),
    "union of unions": '["null",["string",["int"]]]',
    "union empty in field": _of("[]"),
    "union self": '["null",' + _of('["null","PlayerHealth"]') + "]",
    "map no values": _of('{"type":"map"}'),
    "array no items": _of('{"type":"array"}'),
    "decimal no precision": _of('{"type":"bytes","logicalType":"decimal","scale":"x"}'),
    "logical null": _of('{"type":"long","logicalType":null}'),
    "logical list": _of('{"type":"long","logicalType":[]}'),
    "lone surrogate": _health('{"name":"\\ud800","type":"string"}'),
    "nul name": _health('{"name":"a\\u0000","type":"string"}'),
    "nul record": '{"type":"record","name":"Player\\u0000Health","fields":[{"name":"a","type":"string"}]}',
    "type name surrogate": '{"type":"record","name":"\\ud800","fields":[{"name":"a","type":"string"}]}',
    "many fields": _health(",".join(f'{{"name":"f{one}","type":"null"}}' for one in range(50_000))),
    "type bool": '{"type":true,"name":"PlayerHealth","fields":[]}',
    "type list of list": '{"type":["record"],"name":"PlayerHealth","fields":[]}',
    "error type": '{"type":"error","name":"PlayerHealth","fields":[]}',
    "NaN": '{"type":"record","name":"PlayerHealth","fields":[],"x":NaN}',
    "dup key": '{"type":"string","type":"record","name":"PlayerHealth","fields":[]}',
    "bom": '\ufeff{"type":"record","name":"PlayerHealth","fields":[]}',
    "a whole number of 5,000 digits": f'{{"type":"record","name":"PlayerHealth","fields":[],"x":{"9" * 5_000}}}',
    "turkish I": '{"type":"record","name":"PLAYER_HEALTH","fields":[{"name":"player_id","type":"string"}]}',
    "kelvin": '{"type":"record","name":"\u212aPLAYERHEALTH","fields":[]}',
    "dotted I": '{"type":"record","name":"PLAYER_POS\u0130TION","fields":[]}',
    "sharp s": '{"type":"record","name":"player_po\xdfition","fields":[]}',
}

BODIES: Final = (b"", bytes(40), b"\x04u1\x02" + bytes(20), b"\x02" * 60)
"""Records of them, or not."""
