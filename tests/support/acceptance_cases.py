"""Reads `acceptance_cases.yaml`; whoever tests the rule (in Python, in Flink) takes the cases from here."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CASES_FILE = Path(__file__).with_name("acceptance_cases.yaml")


@dataclass(frozen=True)
class Case:
    """One record and what must become of it; `rows` only for an array at the root."""

    name: str
    value: bytes | None
    kafka_timestamp: int
    reason: str | None  # None: accepted
    fields: dict[str, Any]
    remark: str | None
    verify: bool
    rows: tuple[dict[str, Any] | str, ...] = ()


def load_cases() -> list[Case]:
    """Every case of one object or none."""
    content = yaml.safe_load(CASES_FILE.read_text(encoding="utf-8"))
    return [_case(entry, content) for entry in content["cases"]]


def load_arrays() -> list[Case]:
    """The cases of an array at the root: `rows` holds the fields of an accepted row, or the reason of a refused one."""
    content = yaml.safe_load(CASES_FILE.read_text(encoding="utf-8"))
    default = content["default_fields"]
    cases = []
    for entry in content["arrays"]:
        rows = tuple(row["reason"] if "reason" in row else {**default, **row["fields"]} for row in entry["rows"])
        cases.append(Case(entry["name"], _value(entry), content["kafka_timestamp"], None, {}, None, True, rows))
    return cases


def _case(entry: dict[str, Any], content: dict[str, Any]) -> Case:
    accepted = entry["outcome"] == "accepted"
    return Case(
        name=entry["name"],
        value=_value(entry),
        kafka_timestamp=entry.get("kafka_timestamp", content["kafka_timestamp"]),
        reason=None if accepted else entry["reason"],
        fields={**content["default_fields"], **entry.get("fields", {})} if accepted else {},
        remark=entry.get("remark"),
        verify=entry.get("verify", False),
    )


def _value(entry: dict[str, Any]) -> bytes | None:
    if "base64" in entry:
        return base64.b64decode(entry["base64"])
    if entry["value"] is None:
        return None
    text: str = entry["value"]
    if "fill" in entry:
        fill = entry["fill"]
        text = text.replace(fill["word"], fill["text"] * fill["times"])
    return text.encode()
