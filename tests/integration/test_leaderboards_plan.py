"""How Flink plans the jobs: what makes them cheap hangs on details of the SQL that nobody sees in the rows."""

from __future__ import annotations

import json
import re
from functools import cache

import pytest

from gamestream_dagster.clients.flink_sql_gateway import SqlGateway
from gamestream_dagster.flink_jobs.control.workbench import workbench
from gamestream_dagster.flink_jobs.spec.catalogue import load_job, load_jobs
from gamestream_dagster.flink_jobs.target.render import bindings_for, render
from gamestream_dagster.flink_jobs.target.targets import target_for
from gamestream_dagster.settings import Settings, TopicFormat

WRITTEN_ANEW = {
    *(f"abuse_{kind}_topic" for kind in ("velocity", "refunds", "scores", "devices")),
    "sessions_live_topic",
}
"""Sinks of jobs on request in which a changed row is deleted and written again, in one transaction."""


@pytest.fixture(scope="module")
def plan_of(stack: Settings):
    """Plans a job, each once: the operators that run, one a line, shared parts once."""

    @cache
    def explained(job: str, score_format: TopicFormat, ids: bool = True) -> list[str]:
        spec = load_job(job) if ids else load_job(job, dedup={})
        rendered = render(spec, bindings_for(stack, job), {"user-score": score_format})
        gateway = SqlGateway(stack.flink_gateway, secrets=(stack.postgres_password_value,))
        try:
            with gateway.session(f"plan-{job}", target_for(stack, spec).options) as session:
                for statement in rendered.definitions:
                    session.execute(statement)
                text = session.explain(rendered.statement_set_body)
        finally:
            gateway.close()
        _, heading, running = text.partition("== Optimized Execution Plan ==")
        assert heading, text[:500]
        return running.splitlines()

    return explained


def operators(plan: list[str], name: str) -> list[str]:
    """The lines of one kind of operator, such as `Rank`."""
    return [line for line in plan if re.match(rf"^[\s:+-]*{name}\(", line)]


both_ways = pytest.mark.parametrize("ids", [True, False], ids=["ids", "no-ids"])
formats = pytest.mark.parametrize("score_format", list(TopicFormat), ids=lambda one: one.value)


@formats
@both_ways
def test_leaderboards_are_one_scan_and_one_sum(plan_of, score_format: TopicFormat, ids: bool):
    plan = plan_of("leaderboards_v1", score_format, ids)
    assert len(operators(plan, "TableSourceScan")) == 1
    (shared,) = (line for line in operators(plan, "LocalGroupAggregate") if "groupBy=[user_id, team_id]" in line)
    assert "SUM(points)" in shared or "SUM_RETRACT(points)" in shared
    # with mini-batches the planner calls no first row final, hence a sum that could take back
    assert len(operators(plan, "Deduplicate")) == ids
    assert not operators(plan, "OverAggregate")
    # partial sums travel, and not each event
    assert len(operators(plan, "MiniBatchAssigner")) == 1


@formats
@both_ways
def test_leaderboards_keep_ten_rows_and_not_every_player(plan_of, score_format: TopicFormat, ids: bool):
    ranks = operators(plan_of("leaderboards_v1", score_format, ids), "Rank")
    strategy = {rank_of(line): found(r"strategy=\[(\w+)", line) for line in ranks}
    assert strategy == {
        "rankEnd=10 total_score DESC, user_id ASC": "UpdateFastStrategy",
        "rankEnd=10 total_score DESC, team_id ASC": "UpdateFastStrategy",
        "rankEnd=1 player_total DESC, user_id ASC": "UpdateFastStrategy",
        # a share may fall: every team is kept, but no player
        "rankEnd=10 share DESC, share DESC, team_id ASC": "RetractStrategy",  # 17 places of it, then all
    }
    assert len(ranks) == 4


@formats
def test_boards_of_seasons_keep_ten_rows_of_each(plan_of, score_format: TopicFormat):
    plan = plan_of("season_boards_v1", score_format)
    assert len(operators(plan, "TableSourceScan")) == 1
    strategy = {
        found(r"orderBy=\[([^]]*)\]", line): found(r"strategy=\[(\w+)", line) for line in operators(plan, "Rank")
    }
    assert [one for order, one in strategy.items() if "total" in order] == ["UpdateFastStrategy"] * 3
    # a share may fall: every team of a season is kept, but no player
    assert [one for order, one in strategy.items() if "total" not in order] == ["RetractStrategy"]


@pytest.mark.parametrize("job", ["leaderboards_v1", "hot_streaks_v1", "season_boards_v1"])
def test_no_state_is_forgotten(stack: Settings, plan_of, job: str):
    """A sum whose state has expired would start from 0 in silence."""
    assert "ttl" not in "\n".join(plan_of(job, TopicFormat.JSON)).lower()  # a hint of the SQL
    gateway = SqlGateway(stack.flink_gateway)
    try:
        with gateway.session(f"ttl-{job}", target_for(stack, load_job(job)).options) as session:
            in_force = dict(session.execute("SET").rows)
    finally:
        gateway.close()
    assert in_force["execution.runtime-mode"] == "streaming"
    assert "table.exec.state.ttl" not in in_force


@formats
@both_ways
def test_hot_streaks_are_windows_and_one_running_sum(plan_of, score_format: TopicFormat, ids: bool):
    plan = plan_of("hot_streaks_v1", score_format, ids)
    assert len(operators(plan, "TableSourceScan")) == 1
    assert len(operators(plan, "WindowRank")) == 1
    # copies are out before anything is summed up, by the first record of an id
    assert len(operators(plan, "Deduplicate")) == ids
    # the slices, and the last two of them; the long term is a running sum of those
    assert len(operators(plan, "GlobalWindowAggregate")) == 2
    assert len(operators(plan, "OverAggregate")) == 1
    # records with and without an id; the windows wait for the watermark of both
    assert len(operators(plan, "Union")) == ids
    # a join of two windows of different sizes would keep its state for ever
    assert not operators(plan, r"\w*Join")
    # the marker of a mini-batch swallows the watermarks of a shared source
    assert not operators(plan, "MiniBatchAssigner")
    # what is left of the board itself: the newest row of each rank
    (newest,) = operators(plan, "Rank")
    assert "rankEnd=1]" in newest
    assert "partitionBy=[rnk]" in newest


def rank_of(line: str) -> str:
    """What a Rank orders by; the planner numbers both lengths of the share, and the joined team."""
    end = found(r"(rankEnd=\d+)", line)
    order = found(r"orderBy=\[([^]]*)\]", line)
    return f"{end} {re.sub('[$][0-9]+', 'share', order).replace('team_id0', 'team_id')}"


def found(pattern: str, line: str) -> str:
    """What the group of a pattern stands for."""
    match = re.search(pattern, line)
    assert match, f"no {pattern} in {line}"
    return match[1]


def test_no_sink_deletes_a_row_in_order_to_write_it_anew(stack: Settings):
    """A table's key must be the key that the planner knows, or a reader finds rows missing between the two writes.

    Where it stands upon a block that others share, the planner leaves the deletions in: docs/abuse.md, live-metrics.md.
    """
    for job in load_jobs():
        with workbench(stack, job) as bench:
            compiled = bench.submitter.check(job, bench.target.rendered, bench.target.options)
        assert compiled is not None
        sinks = [node for node in json.loads(compiled)["nodes"] if "-sink" in node["type"]]
        assert sinks
        for sink in sinks:
            anew = "UPDATE_BEFORE" in sink["inputChangelogMode"]
            table = re.search(r"table=\[[\w.]*?(\w+)\]", sink["description"])
            assert table, sink["description"]
            assert anew is (table[1] in WRITTEN_ANEW), sink["description"]
