"""Finds text that cannot be SQL without a parser: `SELECT * FORM x`, an open bracket, a `BY` after nothing.

It checks which words can be neighbours and accepts doubtful cases. Where Flink's planner was asked, its
verdict replaces this one.
"""

from __future__ import annotations

from collections.abc import Sequence

from gamestream_dagster.flink_jobs.linter.lexemes import Lexeme
from gamestream_dagster.flink_jobs.linter.tables import closing
from gamestream_dagster.flink_jobs.spec.sql_text import TokenKind

# Words of Flink's SQL that cannot be names here: they end a run of names.
_WORDS = """
    ABSENT ALL ALWAYS AND ANTI ANY ARRAY AS ASC ASOF ASYMMETRIC AT BETWEEN BIGINT BINARY BOOLEAN BOTH BY BYTES CASE CAST
    CATALOG CHAR CHARACTER CLUSTER COLLATE COMMENT CONDITIONAL CONFLICT CONSTRAINT CROSS CUBE CURRENT CURRENT_DATE
    CURRENT_TIME CURRENT_TIMESTAMP DATE DAY DAYS DEC DECADE DECIMAL DEDUPLICATE DEFAULT DEFINE DESC DESCRIPTOR DISTINCT
    DISTRIBUTED DO DOUBLE DOW DOY ELSE EMPTY END EPOCH ERROR ESCAPE EXCEPT EXCLUDE EXISTS FALSE FETCH FILTER FINAL FIRST
    FLOAT FOLLOWING FOR FORMAT FROM FULL GROUP GROUPING HAVING HOUR HOURS IF IGNORE ILIKE IN INCLUDE INNER INSERT INT
    INTEGER INTERSECT INTERVAL INTO IS ISODOW ISOYEAR JOIN JSON KEY KEYS LAST LATERAL LEADING LEFT LIKE LIMIT LOCAL
    LOCALTIME LOCALTIMESTAMP MAP MATCH MATCH_RECOGNIZE MEASURES METADATA MICROSECOND MILLENNIUM MILLISECOND MINUS MINUTE
    MINUTES MONTH MONTHS MULTISET NANOSECOND NATURAL NEXT NOT NOTHING NULL NULLS NUMERIC OF OFFSET ON ONE ONLY OR ORDER
    ORDINALITY OUTER OVER OVERLAY OVERLAPS OVERWRITE PARTITION PARTITIONED PASSING PATTERN PER PIVOT PLACING PRECEDING
    PRECISION PRIMARY QUALIFY QUARTER RANGE RAW REAL REPLACE RESPECT RETURNING RIGHT RLIKE ROLLUP ROW ROWS SECOND
    SECONDS SELECT SEMI SESSION SETS SIMILAR SMALLINT SOME STRING SYMMETRIC SYSTEM_TIME TABLE TABLESAMPLE TEMPORARY
    THEN TIES TIME TIMESTAMP TIMESTAMP_LTZ TIMESTAMP_NTZ TINYINT TO TRAILING TRIM TRUE UESCAPE UNBOUNDED UNCONDITIONAL
    UNION UNIQUE UNKNOWN UNNEST UNPIVOT USING VALUE VALUES VARBINARY VARCHAR VARIANT VIEW WATERMARK WEEK WEEKS WHEN
    WHERE WINDOW WITH WITHIN WITHOUT WRAPPER XOR YEAR YEARS ZONE
"""
_KEYWORDS = frozenset(_WORDS.split())
_BEFORE_BY = frozenset({"GROUP", "ORDER", "PARTITION", "PARTITIONED", "DISTRIBUTED", "CLUSTER", "SORT"})
_NOT_LAST = frozenset(
    {"SELECT", "FROM", "WHERE", "BY", "JOIN", "ON", "AND", "OR", "AS", "UNION", "HAVING", ",", "=", "."}
)
_BEFORE_STAR = frozenset({"SELECT", "DISTINCT", "ALL", ",", "."})
_NAMES_SIDE_BY_SIDE = 2  # a name and its alias


def odd_place(parts: Sequence[Lexeme]) -> tuple[Lexeme, str] | None:
    """The first piece that cannot be SQL, and why; None when the query looks correct."""
    bracket = _odd_bracket(parts)
    if bracket:
        return bracket
    run, skip_until = 0, -1
    for place, part in enumerate(parts):
        before = parts[place - 1].word if place else ""
        if place < skip_until or part.kind is TokenKind.HINT:
            continue
        if part.text == "(" and before == "MATCH_RECOGNIZE":
            skip_until = closing(parts, place)
        if part.word == "BY" and part.kind is TokenKind.WORD and before not in _BEFORE_BY:
            return part, "follows neither GROUP nor ORDER nor PARTITION"
        if part.text == ")" and _unfinished(parts[place - 1 : place]):
            return parts[place - 1], "stands before a closing bracket"
        run = _run(part, before, run)
        if run > _NAMES_SIDE_BY_SIDE:
            return part, "cannot stand there"
    return (parts[-1], "ends the statement") if _unfinished(parts[-1:]) else None


def _unfinished(last: Sequence[Lexeme]) -> bool:
    return any(one.kind in (TokenKind.WORD, TokenKind.OTHER) and one.word in _NOT_LAST for one in last)


def _run(part: Lexeme, before: str, run: int) -> int:
    """How many consecutive names end at this piece."""
    if part.text == "*" and before in _BEFORE_STAR:
        return _NAMES_SIDE_BY_SIDE
    if _names(part):
        return run + 1
    return 1 if part.text == ")" or (part.word == "AS" and part.kind is TokenKind.WORD) else 0


def _odd_bracket(parts: Sequence[Lexeme]) -> tuple[Lexeme, str] | None:
    opened: list[Lexeme] = []
    for part in parts:
        if part.text == "(":
            opened.append(part)
        elif part.text == ")":
            if not opened:
                return part, "closes no bracket"
            opened.pop()
    return (opened[-1], "is never closed") if opened else None


def _names(part: Lexeme) -> bool:
    if part.kind in (TokenKind.STRING, TokenKind.QUOTED, TokenKind.PLACEHOLDER):
        return True
    return part.kind is TokenKind.WORD and part.word not in _KEYWORDS
