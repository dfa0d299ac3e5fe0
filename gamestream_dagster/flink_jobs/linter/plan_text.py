"""Flink's optimized execution plan, parsed from EXPLAIN: nodes, their columns, and the keys of their rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from gamestream_dagster.flink_jobs.errors import TerminalFlinkJobError

_HEADING = "== Optimized Execution Plan =="
_NODE = re.compile(
    r"^(?P<indent>[\s:|]*(?:[+:]- )?)(?P<kind>\w+)\((?P<body>.*?)\)(?:\(reuse_id=\[(?P<reuse>\d+)\]\))?$"
)
_KEPT_BY_CAST = re.compile(r"^CAST\(([^\s()]+) AS (?:BIGINT|VARCHAR|TIMESTAMP)", re.IGNORECASE)
_PASS_THROUGH = frozenset(
    {"Exchange", "MiniBatchAssigner", "WatermarkAssigner", "DropUpdateBefore", "ChangelogNormalize", "Sort"}
)
_MANY_KEYS = 32  # limit for plans of many joins

Keys = frozenset[frozenset[str]]


@dataclass
class Node:
    """One operator. Columns have the plan's names, unique within a node."""

    kind: str
    body: str
    children: list[Node] = field(default_factory=list["Node"])

    def property(self, name: str) -> str:
        """The text inside `name=[...]`; empty when the operator has none."""
        start = re.search(rf"(?:^|[\s(]){name}=\[", self.body)
        if not start:
            return ""
        depth = 1
        for place in range(start.end(), len(self.body)):
            depth += {"[": 1, "]": -1}.get(self.body[place], 0)
            if depth == 0:
                return self.body[start.end() : place]
        return ""

    def names(self, name: str) -> list[str]:
        """A property that is a list of columns, without `ASC` and `DESC`."""
        return [re.sub(r" (ASC|DESC)\b.*", "", piece) for piece in pieces(self.property(name))]

    @cached_property
    def columns(self) -> dict[str, str]:
        """Output column -> its expression, in the names of the input."""
        listed = pieces(self.property("select") or self.property("fields"))
        if not listed and self.kind in _PASS_THROUGH and self.children:
            return {name: name for name in self.children[0].columns}
        split = [piece.rsplit(" AS ", 1) if not piece.endswith(")") else [piece] for piece in listed]
        return {one[-1]: one[0] for one in split}

    @cached_property
    def keys(self) -> Keys:
        """Sets of columns that each identify a row; empty when none is known."""
        return frozenset(list(_keys(self))[:_MANY_KEYS])

    def origin(self, column: str) -> str:
        """The expression that made a column, followed through renaming and CAST; the column itself when it is read."""
        expression = self.columns.get(column, column)
        plain = re.sub(r"^CAST\(([^\s()]+) AS [^)]*(?:\(\d+(?:, \d+)?\))?\)$", r"\1", expression)
        for child in self.children:
            if plain in child.columns and not self.kind.endswith("Aggregate"):
                return child.origin(plain)
        return expression


def pieces(text: str) -> list[str]:
    """Split at commas outside brackets and quotes."""
    found: list[str] = []
    depth, quoted, start = 0, False, 0
    for place, sign in enumerate(text):
        # a single quote inside a plan's own names, as in `start('w$)`, opens no literal
        quoted = quoted ^ (sign == "'" and not text.startswith("'w$", place))
        if quoted:
            continue
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(sign, 0)
        if sign == "," and depth == 0:
            found.append(text[start:place].strip())
            start = place + 1
    return [piece for piece in (*found, text[start:].strip()) if piece]


def parse(explained: str) -> list[Node]:
    """Every node of the plan with its children; `Reused` is resolved.

    Raises:
        TerminalFlinkJobError: the text contains no execution plan.
    """
    _, heading, text = explained.partition(_HEADING)
    if not heading:
        raise TerminalFlinkJobError(
            "Flink's answer to EXPLAIN holds no execution plan; use a gateway of Flink 1.14 or newer"
        )
    nodes: list[Node] = []
    reusable: dict[str, Node] = {}
    path: list[tuple[int, Node]] = []
    for line in text.splitlines():
        found = _NODE.match(line.rstrip())
        if not found:
            path = []
            continue
        depth = len(found["indent"])
        reused = re.search(r"reference_id=\[(\d+)\]", found["body"]) if found["kind"] == "Reused" else None
        node = reusable[reused[1]] if reused else Node(found["kind"], found["body"])
        if found["reuse"]:
            reusable[found["reuse"]] = node
        path = [(at, above) for at, above in path if at < depth]
        if path:
            path[-1][1].children.append(node)
        path.append((depth, node))
        if not reused:
            nodes.append(node)
    return nodes


def _keys(node: Node) -> Iterator[frozenset[str]]:
    below: Keys = node.children[0].keys if node.children else frozenset()
    match node.kind:
        case "GroupAggregate" | "GlobalGroupAggregate":
            yield frozenset(node.names("groupBy"))
        case "WindowAggregate" | "GlobalWindowAggregate":
            for column, made in node.columns.items():
                if re.match(r"(start|end|rowtime)\(", made):
                    yield frozenset({*node.names("groupBy"), column})
        case "Rank" | "WindowRank":
            yield from _rank_keys(node, below)
        case "Deduplicate":
            yield frozenset(node.names("key"))
        case "Calc":
            yield from _renamed(node, below)
        case "Join":
            yield from _join_keys(node)
        case "OverAggregate":
            yield from below
        case kind if kind in _PASS_THROUGH:
            yield from below
        case _:
            return


def _rank_keys(node: Node, below: Keys) -> Iterator[frozenset[str]]:
    yield from below
    partition = set(node.names("partitionBy"))
    windows = re.findall(r"win_(?:start|end)=\[(\w+)\]", node.body) if node.kind == "WindowRank" else []
    added = [name for name in node.columns if node.children and name not in node.children[0].columns]
    scopes = [{*partition, window} for window in windows] or [partition]
    for scope in scopes:
        if "rankStart=1, rankEnd=1]" in node.body:
            yield frozenset(scope)
        if added and "rankType=[ROW_NUMBER]" in node.body:
            yield frozenset({*scope, added[0]})


def _renamed(node: Node, below: Keys) -> Iterator[frozenset[str]]:
    new: dict[str, list[str]] = {}
    for name, made in node.columns.items():
        cast = _KEPT_BY_CAST.match(made)
        new.setdefault(cast[1] if cast else made, []).append(name)
    for key in below:
        if all(column in new for column in key):
            yield frozenset(new[column][0] for column in key)


def _join_keys(node: Node) -> Iterator[frozenset[str]]:
    if len(node.children) != 2:
        return
    left, right = node.children
    names = list(node.columns)
    if len(names) == len(left.columns):  # a semi or anti join only drops rows
        yield from left.keys
        return
    there = dict(zip(right.columns, names[len(left.columns) :], strict=False))
    right_keys = {frozenset(there.get(column, column) for column in key) for key in right.keys}
    found = {one | other for one in left.keys for other in right_keys}
    if "leftInputSpec=[JoinKeyContainsUniqueKey]" in node.body:
        found |= right_keys
    if "rightInputSpec=[JoinKeyContainsUniqueKey]" in node.body:
        found |= left.keys
    yield from found
    for one, other in re.findall(r"\(([\w$]+) = ([\w$]+)\)", node.property("where")):
        for key in found:
            if one in key:
                yield key - {one} | {other}
            elif other in key:
                yield key - {other} | {one}
