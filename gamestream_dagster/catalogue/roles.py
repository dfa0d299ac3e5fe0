"""The roles of a board's columns: what each means, what it needs, and the sentence for a column that is not right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, cast


class ColumnRole(StrEnum):
    """What a column means to the comparison."""

    RANK = "rank"  # 1..n, the primary key of the streamed table
    KEY = "key"  # names the row's subject (the entity)
    LABEL = "label"  # greatest text seen for the entity; grows only
    SUM = "sum"  # running sum of scores over the columns named in `over`; grows only
    COUNT = "count"  # running number of accepted events over the columns named in `over`; grows only
    DISTINCT = "distinct"  # running number of different values of the event column `of`; grows only
    VALUE = "value"  # an integer that only its window decides
    CHOICE = "choice"  # the entity's best member by the column named in `of`
    RATIO = "ratio"  # numerator / denominator; compared by the integers, never as a float
    AS_OF = "as_of"  # end of the window that the row belongs to
    SEASON = "season"  # start of the season that the row belongs to; part of the table's key and of the topic's
    NEWEST = "newest"  # greatest Kafka time of the row's events; grows only
    FIRST = "first"  # event time of the entity's first event; falls only
    LAST = "last"  # event time of the entity's last event; grows only
    STANDING = "standing"  # number of subjects (`over`) whose last event has the row's key; grows and falls
    FINAL = "final"  # whether the watermark is `after` (1 minute) past the time in `of`


# Role -> the type it must have (None: any), the fields it needs. No other field of a column may be set.
_SHAPES: dict[ColumnRole, tuple[str | None, tuple[str, ...]]] = {
    ColumnRole.RANK: ("bigint", ()),
    ColumnRole.KEY: (None, ()),
    ColumnRole.LABEL: ("string", ()),
    ColumnRole.SUM: ("bigint", ("over",)),
    ColumnRole.COUNT: ("bigint", ("over",)),
    ColumnRole.DISTINCT: ("bigint", ("over", "of")),
    ColumnRole.VALUE: ("bigint", ()),
    ColumnRole.CHOICE: ("string", ("of",)),
    ColumnRole.RATIO: ("double", ("numerator", "denominator")),
    ColumnRole.AS_OF: ("timestamp", ()),
    ColumnRole.SEASON: ("timestamp", ()),
    ColumnRole.NEWEST: ("timestamp", ()),
    ColumnRole.FIRST: ("timestamp", ()),
    ColumnRole.LAST: ("timestamp", ()),
    ColumnRole.STANDING: ("bigint", ("over",)),
    ColumnRole.FINAL: ("boolean", ("of",)),
}
_FIELDS = ("over", "of", "numerator", "denominator")
_COUNTS = frozenset({"counter", "number", "counts"})
_INTEGERS = (ColumnRole.SUM, ColumnRole.VALUE)


def known_roles(columns: Any) -> None:
    """See that the columns of a output.yaml, as they were read, have one known role each.

    Raises:
        ValueError: names the column, what stands there and what can.
    """
    if not isinstance(columns, dict):
        raise ValueError("`columns` must hold `name: {type: ..., role: ...}` lines")  # noqa: TRY004 - of a file's content
    for name, column in cast("dict[str, Any]", columns).items():
        role = cast("dict[str, Any]", column).get("role") if isinstance(column, dict) else None
        if isinstance(role, list):
            raise ValueError(  # noqa: TRY004 - of a file's content
                f"column {name!r} has a list of roles, {role}; a column has one role, so write one of them"
            )
        if role is None or role in set(ColumnRole):
            continue
        words = f"column {name!r} has the role {role!r}; the roles are {', '.join(ColumnRole)}"
        if str(role).lower() in _COUNTS:
            words += ". A number of accepted events is a `count`; in an output with a window it is a `value`"
        raise ValueError(f"{words} (flink_sql/README.md, Boards)")


def check_roles(columns: Mapping[str, Any], window: Any, recompute: str) -> Iterator[str]:
    """What is wrong with the columns of a board, a sentence each.

    Args:
        columns: by name, each with `type`, `role` and the fields of its role.
        window: the board's window, if it has one.
        recompute: text of its recompute.sql, empty if there is none yet.
    """
    for name, column in columns.items():
        kind, needed = _SHAPES[column.role]
        if kind is not None and column.type != kind:
            yield f"column {name!r} has the role `{column.role}`, so its type must be `{kind}` and not `{column.type}`"
        for field in _FIELDS:
            if field in needed and not getattr(column, field):
                yield f"column {name!r} has the role `{column.role}`, which needs `{field}`"
            if field not in needed and getattr(column, field):
                yield f"column {name!r} has the role `{column.role}`, which has no `{field}`; remove it"
        yield from _of_window(name, column.role, window)
        if column.role is ColumnRole.CHOICE and column.of in columns and columns[column.of].role not in _INTEGERS:
            yield f"column {name!r} is chosen by {column.of!r}, which must have the role `sum` or `value`"
        if column.after is not None and column.role is not ColumnRole.FINAL:
            yield f"column {name!r} has the role `{column.role}`, which has no `after`; remove it"
        if column.role is ColumnRole.FINAL and column.of in columns and not _is_time(columns[column.of]):
            yield f"column {name!r} is `final` by {column.of!r}, which must be a timestamp of the role `key` or `last`"
        if column.role is ColumnRole.RATIO:
            yield from _factors(name, column, columns)
        if column.role is ColumnRole.SUM and _counted(name, recompute):
            yield (
                f"column {name!r} has the role `sum`, a sum of points, and recompute.sql makes it with COUNT; give it "
                "the role `count`"
            )


def _is_time(column: Any) -> bool:
    return column.role in (ColumnRole.KEY, ColumnRole.LAST) and column.type == "timestamp"


def _of_window(name: str, role: ColumnRole, window: Any) -> Iterator[str]:
    if role in (ColumnRole.VALUE, ColumnRole.AS_OF) and window is None:
        yield f"column {name!r} has the role `{role}`, which needs a `window`"
    if role in (ColumnRole.SUM, ColumnRole.COUNT, ColumnRole.DISTINCT, ColumnRole.STANDING) and window is not None:
        yield f"column {name!r} has the role `{role}`, which never starts anew; in a board with a window write `value`"
    if role is ColumnRole.AS_OF and window is not None and window.as_of != name:
        yield f"column {name!r} has the role `as_of`, and `window` names {window.as_of!r}; name one of them in both"


def _factors(name: str, column: Any, columns: Mapping[str, Any]) -> Iterator[str]:
    for field in ("numerator", "denominator"):
        for factor in filter(None, (one.strip() for one in (getattr(column, field) or "").split("*"))):
            if factor not in columns or columns[factor].role not in _INTEGERS:
                yield f"`{field}` of column {name!r} names {factor!r}; name a column with the role `sum` or `value`"


def _counted(name: str, recompute: str) -> bool:
    return re.search(rf"(?i)\bCOUNT\s*\([^()]*\)(::\w+)?\s+AS\s+{re.escape(name)}\b", recompute) is not None
