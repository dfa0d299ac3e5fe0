"""Classifies statements: the kind, and the statement behind `EXECUTE`, `EXPLAIN`, `COMPILE PLAN ... FOR`.

A statement of a kind that the rules cannot judge is `UNKNOWN`, with the reason; none is skipped.
"""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """How the linter treats a statement."""

    TABLE = "table"  # CREATE TABLE, also LIKE and AS; REPLACE TABLE; CREATE MATERIALIZED TABLE
    VIEW = "view"  # CREATE VIEW, ALTER VIEW ... AS
    INSERT = "insert"
    QUERY = "query"  # SELECT, WITH, VALUES
    ALTER = "alter"  # ALTER TABLE
    DROP = "drop"
    SET = "set"
    RESET = "reset"
    JAR = "jar"  # ADD JAR
    FUNCTION = "function"  # CREATE FUNCTION
    NEUTRAL = "neutral"  # changes no table and reads no row: USE, SHOW, DESCRIBE
    UNKNOWN = "unknown"


_QUERY = frozenset({"SELECT", "VALUES", "WITH", "TABLE"})
_NEUTRAL = frozenset({"USE", "DESCRIBE", "DESC", "LOAD", "UNLOAD", "ANALYZE", "HELP", "QUIT", "EXIT", "CLEAR"})
_SHOWN = frozenset(
    {
        *("TABLES", "VIEWS", "CATALOGS", "DATABASES", "FUNCTIONS", "MODULES", "JARS", "JOBS", "CREATE", "COLUMNS"),
        *("PARTITIONS", "CURRENT", "FULL", "USER", "PROCEDURES", "MODELS", "MATERIALIZED", "CONNECTIONS"),
    }
)
_OBJECTS = frozenset({"CATALOG", "DATABASE", "FUNCTION", "MODEL", "CONNECTION"})
_EXPLAINED = frozenset({"PLAN", "FOR", "ESTIMATED_COST", "CHANGELOG_MODE", "JSON_EXECUTION_PLAN", "PLAN_ADVICE", ","})
_BEGUN = ("STATEMENT", "SET", "BEGIN")


def prefix(words: tuple[str, ...]) -> tuple[int, bool]:
    """How many words precede the statement itself, and whether they open a statement set."""
    count, begins = 0, False
    while count < len(words):
        step, opened = _one_prefix(words[count:])
        if not step:
            break
        count, begins = count + step, begins or opened
    return count, begins


def _one_prefix(words: tuple[str, ...]) -> tuple[int, bool]:
    match list(words[:7]):
        case ["BEGIN", "STATEMENT", "SET"]:
            return 3, True
        case ["EXECUTE", "STATEMENT", "SET", "BEGIN", *_]:
            return 4, True
        case ["STATEMENT", "SET", "BEGIN", *_]:
            return 3, True
        case ["EXECUTE", ("INSERT" | "SELECT" | "WITH" | "VALUES"), *_]:
            return 1, False
        case ["COMPILE", "AND", "EXECUTE", "PLAN", _, "FOR", *_]:
            return 6, False
        case ["COMPILE", "PLAN", _, "FOR", *_]:
            return 4, False
        case ["COMPILE", "PLAN", _, "IF", "NOT", "EXISTS", "FOR"]:
            return 7, False
        case ["EXPLAIN", *_]:
            listed = next((at for at, word in enumerate(words[1:], 1) if word not in _EXPLAINED), len(words))
            return listed, False
        case _:
            return 0, False


def kind_of(words: tuple[str, ...], *, in_set: bool = False) -> tuple[Kind, str]:
    """The kind of a statement by its words, and the reason for `UNKNOWN`."""
    kind = _kind(words)
    if in_set and kind is not Kind.INSERT:
        return Kind.UNKNOWN, "a statement set holds INSERT statements and nothing else"
    if kind is Kind.UNKNOWN:
        return kind, "no rule knows this statement"
    return kind, ""


def _kind(words: tuple[str, ...]) -> Kind:
    second = words[1] if len(words) > 1 else ""
    first = words[0] if words else ""
    match first:
        case "CREATE":
            return _created(words)
        case "REPLACE" if second == "TABLE":
            return Kind.TABLE
        case "INSERT" if second in ("INTO", "OVERWRITE") and _QUERY & set(words[3:]):
            return Kind.INSERT
        case "SELECT" | "WITH" | "VALUES" | "(" if _QUERY & set(words):
            return Kind.QUERY
        case "ALTER":
            return _altered(words)
        case "DROP" if _OBJECTS & set(words[1:4]) or {"TABLE", "VIEW"} & set(words[1:4]):
            return Kind.DROP
        case "SET" if len(words) == 1 or "=" in words:
            return Kind.SET
        case "RESET":
            return Kind.RESET
        case "ADD" if second == "JAR" and len(words) == 3:
            return Kind.JAR
        case _ if _changes_nothing(first, second):
            return Kind.NEUTRAL
        case _:
            return Kind.UNKNOWN


def _changes_nothing(first: str, second: str) -> bool:
    return first in _NEUTRAL or (first == "REMOVE" and second == "JAR") or (first == "SHOW" and second in _SHOWN)


def _created(words: tuple[str, ...]) -> Kind:
    at = 1
    if words[at : at + 2] in (("OR", "REPLACE"), ("OR", "ALTER")):
        at += 2
    temporary = words[at : at + 1] == ("TEMPORARY",)
    at += temporary + (words[at + temporary : at + temporary + 1] == ("SYSTEM",))
    rest = words[at:]
    what = rest[0] if rest else ""
    if what == "TABLE" or rest[:2] == ("MATERIALIZED", "TABLE"):
        return Kind.TABLE if {"(", "LIKE", "AS"} & set(rest) else Kind.UNKNOWN
    if what == "VIEW":
        return Kind.VIEW if "AS" in rest and _QUERY & set(rest) else Kind.UNKNOWN
    if what == "FUNCTION":
        return Kind.FUNCTION
    return Kind.NEUTRAL if what in _OBJECTS else Kind.UNKNOWN


def _altered(words: tuple[str, ...]) -> Kind:
    if "TABLE" in words[1:3]:
        return Kind.ALTER
    if words[1:2] == ("VIEW",):
        return Kind.VIEW if "AS" in words and _QUERY & set(words) else Kind.NEUTRAL
    return Kind.NEUTRAL if set(words[1:2]) & _OBJECTS else Kind.UNKNOWN
