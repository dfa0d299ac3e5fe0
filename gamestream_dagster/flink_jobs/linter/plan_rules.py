"""Rules on Flink's plan: each yields findings of one planned statement set."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gamestream_dagster.flink_jobs.linter.findings import Finding
from gamestream_dagster.flink_jobs.linter.lexemes import SqlStatement
from gamestream_dagster.flink_jobs.linter.plan_text import Node, parse
from gamestream_dagster.flink_jobs.linter.planning import Planned
from gamestream_dagster.flink_jobs.linter.shapes import Ranking, target

_KEY_REFUSED = re.compile(r"Primary key: (\[[^]]*\]), upsert key: (\[[^]]*\])")
_STATE_ENDS = frozenset({"GroupAggregate", "GlobalGroupAggregate", "Rank", "Deduplicate", "Join"})


def refused(planned: Planned) -> Iterator[Finding]:
    """GS05 for the refusal of an upsert key, GS16 for any other."""
    at = planned.refused
    if at is None:
        return
    keys = _KEY_REFUSED.search(planned.refusal)
    if keys:
        at = _insert_into(planned, planned.refusal) or at
        name = target(at).lower()
        yield Finding(at.file, at.line, "GS05", f"{name} has the key {keys[1]}, the query the upsert key {keys[2]}")
    else:
        reason = " ".join(planned.refusal.split()).partition(" Was expecting")[0]
        yield Finding(at.file, at.line, "GS16", reason if len(reason) <= 240 else f"{reason[:240]} ...")


def plan_findings(planned: Planned) -> Iterator[Finding]:
    """Findings in a plan; none for a refused statement."""
    for node in parse(planned.plan) if planned.plan else ():
        if node.kind == "Sink":
            yield from _materialized(node, planned)
        elif node.kind == "Rank" and node.children:
            yield from _dear_rank(node, planned)
            yield from _partial_order(node, planned)
        elif node.kind == "Join":
            yield from _endless_join(node, planned)


def proven_orders(planned: Planned) -> list[Ranking]:
    """The rankings of the text whose order the plan proves to be total."""
    nodes = parse(planned.plan) if planned.plan else []
    ranks = [node for node in nodes if node.kind in ("Rank", "WindowRank") and node.children and _total(node)]
    return [ranking for node in ranks for ranking in _rankings(node, planned)]


def _materialized(node: Node, planned: Planned) -> Iterator[Finding]:
    if "upsertMaterialize=[true]" in node.body:
        at = _insert_into(planned, node.body) or planned.inserts[0]
        message = f"{target(at).lower()} is not keyed as its query is: the sink keeps every row to set the order right"
        yield Finding(at.file, at.line, "GS05", message)


def _dear_rank(node: Node, planned: Planned) -> Iterator[Finding]:
    first = node.names("orderBy")[:1]
    if "strategy=[RetractStrategy]" not in node.body or node.names("partitionBy") or not first:
        return
    made = node.children[0].origin(first[0])
    if re.match(r"(SUM|COUNT|\$SUM0)\w*\(", made):
        file, line = _place(node, planned)
        yield Finding(file, line, "GS12", f"ranked by {made} with RetractStrategy: every row is kept")


def _partial_order(node: Node, planned: Planned) -> Iterator[Finding]:
    """Only where the planner knows a key; otherwise the text rule decides."""
    if node.children[0].keys and not _total(node):
        file, line = _place(node, planned)
        found = _rankings(node, planned)
        order = ", ".join(found[0].order).lower() if found else ", ".join(node.names("orderBy"))
        known = " or ".join(sorted(", ".join(sorted(key)) for key in node.children[0].keys)[:2])
        message = f"ORDER BY {order} does not tell rows that tie apart; they are told apart by {known}"
        yield Finding(file, line, "GS04", message)


def _total(node: Node) -> bool:
    told = {*node.names("partitionBy"), *node.names("orderBy")}
    if node.kind == "WindowRank":
        told |= set(re.findall(r"win_(?:start|end)=\[(\w+)\]", node.body))
    return any(key <= told for key in node.children[0].keys)


def _endless_join(node: Node, planned: Planned) -> Iterator[Finding]:
    if any(_windowed(child) for child in node.children):
        at = planned.inserts[0]
        message = f"a regular join on {node.property('where')} keeps every window of its inputs"
        yield Finding(at.file, at.line, "GS13", message)


def _windowed(node: Node) -> bool:
    if node.kind in ("WindowAggregate", "GlobalWindowAggregate", "WindowRank"):
        return True
    return node.kind not in _STATE_ENDS and any(_windowed(child) for child in node.children)


def _insert_into(planned: Planned, text: str) -> SqlStatement | None:
    """The INSERT into the table that Flink calls `catalog.database.table`."""
    return next((one for one in planned.inserts if re.search(rf"(?i)\.{re.escape(target(one))}\b", text)), None)


def _place(node: Node, planned: Planned) -> tuple[str, int]:
    """File and line of the ranking behind a Rank node; those of the first INSERT when none fits."""
    found = _rankings(node, planned)
    if found:
        return found[0].statement.file, found[0].line
    return planned.inserts[0].file, planned.inserts[0].line


def _rankings(node: Node, planned: Planned) -> list[Ranking]:
    order, partition = node.names("orderBy"), node.names("partitionBy")
    return [
        one
        for one in planned.shapes.rankings
        if _alike(order, one.order) and (node.kind == "WindowRank" or _alike(partition, one.partition))
    ]


def _alike(planned: list[str], written: tuple[str, ...]) -> bool:
    """The same columns, as far as the plan shows: it numbers a second `team_id` and calls an expression `$7`."""
    if len(planned) != len(written):
        return False
    pairs = zip(planned, written, strict=True)
    return all(
        re.match(r"\$|EXPR\$", one) or re.sub(r"\d+$", "", one.upper()) in (two, re.sub(r"\d+$", "", two))
        for one, two in pairs
    )
