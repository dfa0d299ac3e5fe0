from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.cli.main import main
from gamestream_dagster.flink_jobs.errors import JobSpecError, TerminalFlinkJobError
from gamestream_dagster.flink_jobs.linter import text_rules
from gamestream_dagster.flink_jobs.linter.findings import RULES, rules_table
from gamestream_dagster.flink_jobs.linter.lint import lint, text_findings
from gamestream_dagster.flink_jobs.linter.plan_rules import plan_findings, proven_orders, refused
from gamestream_dagster.flink_jobs.linter.plan_text import parse
from gamestream_dagster.flink_jobs.linter.planning import Planned
from gamestream_dagster.flink_jobs.linter.shapes import shapes_of
from gamestream_dagster.flink_jobs.linter.source import Unit, session_of, units_of
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.settings import Ranks, Season
from tests.support.fakes.lint_marks import CASES, marked

DOCS = Path(__file__).parents[3] / "docs" / "lint.md"


def found_in(path: Path) -> set[tuple[str, int, str]]:
    return {(Path(one.file).name, one.line, one.code) for unit in units_of([path]) for one in text_findings(unit)}


def codes_of(sql: str) -> list[str]:
    return sorted(one.code for one in text_findings(Unit("s", (session_of(sql, "s.sql"),))))


@pytest.mark.parametrize("case", ["board_scripts", "clocks_and_floats.sql", "clean.sql", "not_understood.sql"])
def test_the_text_rules_find_what_is_marked_and_nothing_else(case: str) -> None:
    assert found_in(CASES / case) == marked(CASES / case, "finds")


def test_every_text_rule_has_a_case_and_every_rule_a_mark() -> None:
    by_text = {code for _, _, code in marked(CASES / "board_scripts", "finds")}
    for case in ("clocks_and_floats.sql", "not_understood.sql"):
        by_text |= {code for _, _, code in marked(CASES / case, "finds")}
    by_plan = {code for _, _, code in marked(CASES / "board_scripts", "plans")}
    by_text.add("GS18")  # of job folders alone: see PLANTED
    assert by_text == set(text_rules.TEXT_RULES)
    assert by_plan == {code for code, rule in RULES.items() if rule.planner}
    assert by_text | by_plan == set(RULES)


def test_the_projects_own_jobs_have_no_fault() -> None:
    units = units_of([FLINK_SQL_DIR])
    names = [unit.name for unit in units]
    assert set(names) == set(load_jobs(season=Season.DAILY, ranks=Ranks.ALL))
    assert names.count("leaderboards_v1") == names.count("hot_streaks_v1") == 2, "with ids and without"
    assert lint(units, None).findings == ()


PLANTED = [
    ("_sources/user_score.sql", "'earliest-offset'", "'latest-offset'", "GS01"),
    ("_sources/user_score.avro.sql", "'earliest-offset'", "'latest-offset'", "GS01"),
    ("leaderboards_v1/query.sql", "ORDER BY total_score DESC, user_id ASC", "ORDER BY total_score DESC", "GS04"),
    ("leaderboards_v1/query.sql", "total_score DESC, team_id ASC", "total_score DESC, team_name ASC", "GS04"),
    ("leaderboards_v1/query.sql", "PARTITION BY team_id ORDER", "PARTITION BY team_name ORDER", "GS15"),
    (
        "leaderboards_v1/query.sql",
        "ORDER BY CAST(share AS DECIMAL(18, 17)) DESC, share DESC",
        "ORDER BY CAST(share AS DOUBLE) DESC",
        "GS06",
    ),
    ("leaderboards_v1/query.sql", "AS DECIMAL(19, 0)) AS share", "AS DOUBLE) AS share", "GS06"),
    ("leaderboards_v1/query.sql", "SUM(points)", "SUM(CAST(points AS INT))", "GS02"),
    ("_sources/checked_scores.sql", "  proc_time,", "  proc_time AS event_clock,", "GS07"),
    ("_sources/counted_scores.sql", "  minute_millis,", "  FLOOR(proc_time TO MINUTE) AS minute_millis,", "GS07"),
    (
        "_sources/counted_scores.sql",
        "  minute_millis,",
        "  COALESCE(proc_time, minute_millis) AS minute_millis,",
        "GS07",
    ),
    ("leaderboards_v1/job.yaml", "  state.backend.type", "  table.exec.state.ttl: 1 h\n  state.backend.type", "GS03"),
    (
        "leaderboards_v1/job.yaml",
        "    execution.buffer-timeout",
        "    table.exec.state.ttl: 1 h\n    execution.buffer-timeout",
        "GS03",
    ),
    ("leaderboards_v1/job.yaml", "  sinks:\n", "  sinks:\n    sink.parallelism: {'1': '4'}\n", "GS14"),
    ("leaderboards_v1/query.sql", "SUM(points) AS player_total", "MAX(UNIX_TIMESTAMP()) AS player_total", "GS07"),
    ("_sources/counted_scores.sql", "VIEW counted_scores", "VIEW scores_that_count", "GS18"),
    ("hot_streaks_v1/query.sql", "hotness DESC, user_id ASC", "hotness DESC", "GS04"),
]


@pytest.mark.parametrize(("file", "old", "new", "code"), PLANTED)
def test_a_fault_planted_in_our_own_jobs_is_found(tmp_path: Path, file: str, old: str, new: str, code: str) -> None:
    root = shutil.copytree(FLINK_SQL_DIR, tmp_path / "flink_sql")
    text = (root / file).read_text(encoding="utf-8")
    assert old in text
    (root / file).write_text(text.replace(old, new), encoding="utf-8")
    assert code in {one.code for one in lint(units_of([root]), None).findings}


SOURCE = "CREATE TABLE s (id STRING, n INT, ok BIGINT) WITH ('connector' = 'x');"


@pytest.mark.parametrize(
    ("sql", "codes"),
    [
        ("INSERT INTO t SELECT SUM(n) FROM s;", ["GS02"]),
        ("INSERT INTO t SELECT SUM(`n`) FROM s;", ["GS02"]),
        ("INSERT INTO t SELECT CAST(SUM(n) AS BIGINT) FROM s;", ["GS02"]),
        ("INSERT INTO t SELECT SUM(m) FROM (SELECT n AS m FROM s);", ["GS02"]),
        ("INSERT INTO t SELECT SUM(m) FROM (SELECT CAST(ok AS INT) AS m FROM s);", ["GS02"]),
        ("INSERT INTO t SELECT SUM(ok) FROM s;", []),
        ("CREATE TABLE p (a STRING, pt AS PROCTIME()); CREATE VIEW v AS SELECT CONCAT('', a) AS a, pt FROM p;", []),
        ("CREATE TABLE p (a STRING, pt AS PROCTIME()); CREATE VIEW v AS SELECT a, COALESCE(a, pt) FROM p;", ["GS07"]),
        ("CREATE TABLE p (a STRING, pt AS PROCTIME()); CREATE VIEW v AS SELECT a, PROCTIME() AS pt FROM p;", []),
        ("CREATE TABLE p (a STRING, pt AS PROCTIME()); CREATE VIEW v AS SELECT PROCTIME() AS pt, a FROM p;", []),
        ("CREATE TABLE p (a STRING, pt AS PROCTIME()); CREATE VIEW v AS SELECT a, PROCTIME() AS b FROM p;", ["GS07"]),
        ("CREATE TABLE p (a STRING, pt AS PROCTIME()); CREATE VIEW v AS SELECT a, PROCTIME() FROM p;", ["GS07"]),
        ("INSERT INTO t SELECT SUM(CAST(n AS BIGINT)) FROM s;", []),
        ("INSERT INTO t SELECT SUM(n) FROM (SELECT CAST(n AS BIGINT) AS n FROM s);", []),
        ("INSERT INTO t SELECT MAX(n) FROM s; -- SUM(n)", []),
        ("CREATE TABLE t (n INT) WITH ('connector' = 'y'); INSERT INTO t SELECT SUM(ok) AS n FROM s;", []),
        ("SET 'table.exec.state.ttl' = '1 h'; INSERT INTO t SELECT id, ok FROM s;", []),
        ("SET table.exec.state.ttl = 1 h; INSERT INTO t SELECT id, COUNT(*) FROM s GROUP BY id;", ["GS03"]),
        ("INSERT INTO t SELECT /*+ STATE_TTL('s' = '1d') */ id, COUNT(*) FROM s GROUP BY id;", ["GS03"]),
        ("INSERT INTO t SELECT id FROM s WHERE note = 'ADD JAR; DROP TABLE s; NOW()';", []),
        ("DROP TEMPORARY TABLE IF EXISTS s;", ["GS11"]),
        ("INSERT INTO t SELECT UNIX_TIMESTAMP(id), NOW() FROM s;", ["GS07"]),
        ("SET 'x.secret-key' = 'abc';", ["GS09"]),
        ("CREATE TABLE u (a INT) WITH ('url' = 'http://me:hush@host/');", ["GS09"]),
        ("CREATE TABLE u (a INT) WITH ('url' = 'http://host:80/', 'x.token' = ${token});", []),
    ],
)
def test_small_texts(sql: str, codes: list[str]) -> None:
    assert codes_of(SOURCE + sql) == codes


def test_the_value_of_a_secret_is_never_shown() -> None:
    sql = "CREATE TABLE u (a INT) WITH ('password' = 'hush1', 'url' = 'http://me:hush2@host/');"
    findings = text_findings(Unit("s", (session_of(sql, "s.sql"),)))
    assert len(findings) == 2
    assert not any("hush" in one.message for one in findings)


PLAN = """== Optimized Execution Plan ==
Calc(select=[team, total])(reuse_id=[1])
+- GlobalGroupAggregate(groupBy=[team], select=[team, MAX(max$0) AS name, SUM(sum$1) AS total])
   +- TableSourceScan(table=[[c, d, s]], fields=[team, name, points])

Sink(table=[c.d.board], fields=[rnk, team, total]{sink})
+- Calc(select=[rnk, team, $3 AS total])
   +- Rank(strategy=[{strategy}], rankType=[ROW_NUMBER], rankRange=[rankStart=1, rankEnd=10], partitionBy=[], \
orderBy=[{order}], select=[team, total, $3, rnk])
      +- Exchange(distribution=[single])
         +- Calc(select=[team, total, CAST(total AS BIGINT) AS $3])
            +- Reused(reference_id=[1])
"""
BOARD = (
    "INSERT INTO board SELECT * FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY {order}) AS rnk FROM g) WHERE rnk <= 10;"
)


def planned(order: str = "total DESC, team ASC", strategy: str = "UpdateFastStrategy[0]", sink: str = "") -> Planned:
    unit = Unit("s", (session_of(BOARD.format(order=order), "s.sql"),))
    return Planned(unit.statements, shapes_of(unit)[0], PLAN.format(order=order, strategy=strategy, sink=sink))


@pytest.mark.parametrize(
    ("plan", "codes"),
    [
        (planned(), []),
        (planned(order="total DESC, name ASC"), ["GS04"]),
        (planned(order="$3 DESC, team ASC", strategy="RetractStrategy"), ["GS12"]),
        (planned(sink=", upsertMaterialize=[true]"), ["GS05"]),
    ],
)
def test_what_a_plan_shows(plan: Planned, codes: list[str]) -> None:
    assert [one.code for one in plan_findings(plan)] == codes


def test_an_order_that_the_plan_proves_is_not_left_to_the_text() -> None:
    assert [one.order for one in proven_orders(planned())] == [("TOTAL", "TEAM")]
    assert proven_orders(planned(order="total DESC")) == []


def test_keys_go_through_reuse_renaming_and_rank() -> None:
    sink = next(node for node in parse(planned().plan) if node.kind == "Sink")
    assert sink.children[0].keys == {frozenset({"team"}), frozenset({"rnk"})}


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("The query has an upsert key ... table 'c.d.board'. Primary key: [rnk], upsert key: [team]. This", "GS05"),
        ("Object 'g' not found", "GS16"),
    ],
)
def test_refusals_of_the_planner(reason: str, code: str) -> None:
    one = planned()
    (finding,) = refused(Planned(one.inserts, one.shapes, "", reason, one.inserts[0]))
    assert (finding.code, finding.line) == (code, 1)


def test_a_plan_without_its_heading_is_not_taken_for_a_clean_one() -> None:
    with pytest.raises(TerminalFlinkJobError, match="no execution plan"):
        parse("== Abstract Syntax Tree ==\n")


def test_the_page_lists_the_rules_of_the_code() -> None:
    assert rules_table() in DOCS.read_text(encoding="utf-8"), "put findings.rules_table() into docs/lint.md"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    def called(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["lint", "--home", str(tmp_path), *arguments])
        code = ended.value.code
        assert isinstance(code, int)
        return code, *capsys.readouterr()

    return called


def test_exit_codes_and_what_did_not_run(run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = run("--no-planner", "--json", str(CASES / "clocks_and_floats.sql"))
    assert code == 1
    rows = json.loads(out)["findings"]
    assert {"file", "line", "code", "severity", "message"} == set(rows[0])
    assert "planner rules did NOT run" in err.splitlines()[-1]
    code, out, _ = run("--no-planner", str(CASES / "clocks_and_floats.sql"))
    assert out.splitlines()[0].split() == ["FILE", "LINE", "CODE", "SEVERITY", "MESSAGE"]
    assert len(out.splitlines()) == len(rows) + 1, "a line for each finding, also in a pipe"
    assert run("--no-planner")[0] == 0
    assert run("--no-planner", "no/such/path")[0] == 2
    code, _, err = run("--gateway", "http://127.0.0.1:1")
    assert code == 2
    assert "nothing answers" in err


def test_a_text_that_is_no_sql_is_refused_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1;\nSELECT 'open", encoding="utf-8")
    with pytest.raises(JobSpecError, match=r"a\.sql: line 2"):
        units_of([tmp_path])
