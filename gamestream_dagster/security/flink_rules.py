"""Detection rules as views of Flink SQL: `flink_sql/_sources/ssh_rules.sql` is what `ssh_rules_sql` gives.

A count keeps the times of the last `gte` tries that its rule matches: of each source the try with the number `c` goes
to the place `c mod gte`, and `LAST_VALUE` passes over NULL. So one order holds, that of the records: nothing waits for
a watermark, and no line is too late.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from gamestream_dagster.security.sigma import (
    All,
    Any_,
    AnyRule,
    Condition,
    EventCount,
    Level,
    Match,
    Not,
    Ordered,
    Rule,
)

RULES_FILE: Final = "ssh_rules.sql"
_BY_SOURCE: Final = (
    "WINDOW by_source AS (PARTITION BY source ORDER BY proc_time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
)
_PASSED: Final = (
    "host, program, message, kind, source, country, millis, kafka_time, kafka_partition, kafka_offset, proc_time, "
    "unit, outcome, weight"
)
ANY_CHARACTER: Final = r"[\s\S]"
"""One character, line ends too, for Java and Python."""
_HEAD: Final = """\
-- Made from the Sigma files of gamestream_dagster/security/rules by `gamestream logs rules --write`; do not edit.
-- A line that adds several tries, such as `message repeated 5 times`, gives a row for each, up to the most that a
-- rule counts: the last of them stands for the rest.
"""


def ssh_rules_sql(rules: Mapping[str, AnyRule]) -> str:
    """The views `ssh_units` to `ssh_detections`, over `ssh_tries`."""
    counts = _counts(rules)
    most = most_units(rules)
    seen = [
        f"  SUM(CASE WHEN {_sql(one.rule.condition)} THEN {_big(1)} ELSE {_big(0)} END) OVER by_source"
        f" AS {one.name}_seen"
        for one in counts
    ]
    kept = [
        f"  LAST_VALUE(CASE WHEN {_sql(one.rule.condition)} AND MOD({one.name}_seen, {_big(one.at_least)}) = {place}"
        f" THEN millis END) OVER by_source AS {name}"
        for one in counts
        for place, name in enumerate(_ring(one))
    ]
    views = [
        "CREATE TEMPORARY VIEW ssh_units AS\nSELECT\n"
        "  host, program, message, kind, source, country, millis, kafka_time, kafka_partition, kafka_offset,\n"
        "  PROCTIME() AS proc_time, -- UNNEST leaves the former one without its meaning\n"
        "  unit,\n"
        "  CASE WHEN kind = 'accepted' THEN 'succeeded' WHEN tries > 0 THEN 'failed' END AS outcome,\n"
        "  CASE\n"
        "    WHEN kind = 'accepted' THEN repeats\n"
        f"    WHEN unit = {most} THEN tries - {_big(most - 1)}\n"
        f"    ELSE {_big(1)}\n"
        "  END AS weight\n"
        f"FROM {_split(most)};",
    ]
    last = "ssh_units"
    if counts:
        views.append(_view("ssh_seen", seen, last, _PASSED))
        names = ", ".join(f"{one.name}_seen" for one in counts)
        views.append(_view("ssh_kept", kept, "ssh_seen", f"{_PASSED}, {names}"))
        last = "ssh_kept"
    found = [_detection(rule, last) for rule in rules.values() if rule.level is not Level.INFORMATIONAL]
    views.append("CREATE TEMPORARY VIEW ssh_detections AS\n" + "\nUNION ALL\n".join(found) + ";")
    return _HEAD + "\n\n".join(views) + "\n"


def _split(most: int) -> str:
    """The rows of lines, one for each try that is told apart.

    The numbers depend on the line: an array that is the same for all would become a source that ends, and a join that
    keeps every line.
    """
    cases = "".join(
        f"\n    WHEN tries >= {count} THEN ARRAY[{', '.join(str(number) for number in range(1, count + 1))}]"
        for count in range(most, 1, -1)
    )
    if not cases:
        return "(SELECT *, 1 AS unit FROM ssh_tries)"
    made = f"SELECT *, CASE{cases}\n    ELSE ARRAY[1]\n  END AS units"
    return f"(\n  {made}\n  FROM ssh_tries\n) CROSS JOIN UNNEST(units) AS numbered (unit)"


def most_units(rules: Mapping[str, AnyRule]) -> int:
    """Into how many rows a line with several tries is split at most."""
    return max((one.at_least for one in _counts(rules)), default=1)


def _counts(rules: Mapping[str, AnyRule]) -> list[EventCount]:
    return [rule for rule in rules.values() if isinstance(rule, EventCount)]


def _view(name: str, columns: Iterable[str], source: str, passed: str) -> str:
    listed = ",\n".join(columns)
    return f"CREATE TEMPORARY VIEW {name} AS\nSELECT\n  {passed},\n{listed}\nFROM {source}\n{_BY_SOURCE};"


def _detection(rule: AnyRule, view: str) -> str:
    match rule:
        case Rule():
            where = f"unit = 1 AND {_sql(rule.condition)}"
        case EventCount():
            where = f"{_sql(rule.rule.condition)}\n  AND {_within(rule)}"
        case Ordered():
            newest = f"GREATEST({', '.join(_ring(rule.first))})"
            where = (
                f"unit = 1 AND {_sql(rule.then.condition)}\n  AND {_within(rule.first)}\n"
                f"  AND millis - {newest} <= {_big(rule.timespan_ms)}"
            )
    return (
        f"SELECT\n  '{rule.name}' AS rule, '{rule.level}' AS level, host, source, country, millis, weight,\n"
        f"  kafka_time, kafka_partition, kafka_offset\nFROM {view}\nWHERE {where}"
    )


def _within(rule: EventCount) -> str:
    """NULL, which is no detection, until there were enough."""
    ring = ", ".join(_ring(rule))
    return f"GREATEST({ring}) - LEAST({ring}) <= {_big(rule.timespan_ms)}"


def _ring(rule: EventCount) -> list[str]:
    return [f"{rule.name}_{place}" for place in range(rule.at_least)]


def _big(number: int) -> str:
    return f"CAST({number} AS BIGINT)"


def _sql(condition: Condition) -> str:
    match condition:
        case Match():
            return _match(condition)
        case All() | Any_():
            if len(condition.of) == 1:
                return _sql(condition.of[0])
            word = " AND " if isinstance(condition, All) else " OR "
            return "(" + word.join(_sql(one) for one in condition.of) + ")"
        case Not():
            return f"(NOT {_sql(condition.of)})"


def _match(found: Match) -> str:
    if found.missing:
        return f"({found.field} IS NULL)"
    match found.parts:
        case ():
            test = f"{found.field} = ''"
        case (text,) if text.startswith("="):
            test = f"{found.field} = {_literal(text[1:])}"
        case (text, "*") if text.startswith("="):
            test = f"STARTSWITH({found.field}, {_literal(text[1:])})"
        case ("*", text) if text.startswith("="):
            test = f"ENDSWITH({found.field}, {_literal(text[1:])})"
        case ("*", text, "*") if text.startswith("="):
            test = f"POSITION({_literal(text[1:])} IN {found.field}) > 0"
        case _:
            test = f"REGEXP({found.field}, {_literal(f'^{pattern(found.parts)}(?!{ANY_CHARACTER})')})"
    # a field that is absent matches nothing, so that `not` holds for it
    return f"COALESCE({test}, FALSE)"


def pattern(parts: Iterable[str]) -> str:
    """Parts of a value as a regular expression that Java and Python read alike."""
    made = {"*": f"{ANY_CHARACTER}*", "?": ANY_CHARACTER}
    return "".join(made[part] if part in made else re.sub(r"([^A-Za-z0-9 ])", r"\\\1", part[1:]) for part in parts)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
