"""How scripts go to the planner: each in its own session, statement by statement, follow-on errors with their root."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.clients.errors import TerminalServiceError
from gamestream_dagster.clients.flink_sql_gateway import SqlGateway
from gamestream_dagster.flink_jobs.linter.lint import lint
from gamestream_dagster.flink_jobs.linter.planning import plans_of
from gamestream_dagster.flink_jobs.linter.source import Unit, session_of, unit_of_job
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs

PLAN = "== Optimized Execution Plan ==\nSink(table=[c.d.t], fields=[a])\n+- TableSourceScan(table=[[s]], fields=[a])\n"


class Gateway:
    """A planner that knows which names exist, and nothing else."""

    def __init__(self) -> None:
        self.sessions: list[list[str]] = []

    @contextmanager
    def session(self, _name: str, _options: object) -> Iterator[Session]:
        self.sessions.append([])
        yield Session(self.sessions[-1])


class Session:
    def __init__(self, said: list[str]) -> None:
        self.said = said
        self.names: set[str] = set()

    def execute(self, text: str) -> None:
        self.said.append(text)
        if "NOPE" in text:
            raise TerminalServiceError("the SQL gateway", "Unknown type NOPE", "mend it")
        made = re.match(r"(?i)CREATE (?:TEMPORARY )?(?:TABLE|VIEW) (?:IF NOT EXISTS )?`?(\w+)", text)
        if made and made[1].upper() in self.names:
            raise TerminalServiceError("the SQL gateway", f"Table {made[1]} already exists", "mend it")
        gone = re.match(r"DROP (?:TEMPORARY )?(?:TABLE|VIEW) IF EXISTS `(\w+)`", text)
        if gone:
            self.names.discard(gone[1].upper())
        if " AS SELECT" in text.upper():
            self._read(text)
        if made:
            self.names.add(made[1].upper())

    def explain(self, text: str) -> str:
        self.said.append(f"EXPLAIN {text}")
        self._read(text)
        return PLAN

    def _read(self, text: str) -> None:
        for name in re.findall(r"(?i)(?:FROM|INTO|JOIN) `?(\w+)", text):
            if name.upper() not in self.names:
                raise TerminalServiceError("the SQL gateway", f"Object '{name}' not found", "mend it")


def test_every_job_of_the_repository_can_be_planned() -> None:
    for name, spec in load_jobs().items():
        plans_of(unit_of_job(FLINK_SQL_DIR / name, spec), cast("SqlGateway", Gateway()))


def told(*texts: str) -> tuple[list[str], Gateway]:
    gateway = Gateway()
    unit = Unit("s", tuple(session_of(text, f"{number}.sql") for number, text in enumerate(texts)))
    report = lint([unit], cast("SqlGateway", gateway))
    return [f"{one.file}:{one.line} {one.code} {one.message}" for one in report.findings], gateway


def table(name: str, kind: str = "INT") -> str:
    return f"CREATE TABLE {name} (a {kind}) WITH ('connector' = 'print');\n"


def test_two_scripts_with_one_table_name_are_two_sessions() -> None:
    one = table("s") + table("t") + "INSERT INTO t SELECT a FROM s;"
    two = table("s", "BIGINT") + table("t") + "INSERT INTO t SELECT a FROM s;"
    found, gateway = told(one, two)
    assert found == []
    assert len(gateway.sessions) == 2
    assert any("a BIGINT" in text for text in gateway.sessions[1])
    assert not any("a BIGINT" in text for text in gateway.sessions[0])


def test_a_script_gets_the_tables_of_the_others_that_it_needs_and_no_more() -> None:
    found, gateway = told(
        table("s") + table("unused") + "CREATE VIEW v AS SELECT a FROM s;",
        table("t") + "INSERT INTO t SELECT a FROM v;",
    )
    assert found == []
    assert not any("unused" in text for text in gateway.sessions[1])


def test_follow_on_errors_are_folded_into_their_root() -> None:
    found, _ = told(
        table("t")
        + "CREATE TABLE s (a NOPE) WITH ('connector' = 'print');\n"
        + "CREATE VIEW v AS SELECT a FROM s;\n"
        + "INSERT INTO t SELECT a FROM v;\nINSERT INTO t SELECT a FROM s;\n"
        + "INSERT INTO t SELECT a FROM elsewhere;"
    )
    assert found == [
        "0.sql:2 GS16 Unknown type NOPE; also caused by this: 3 statements",
        "0.sql:6 GS16 Object 'elsewhere' not found",
    ]


def test_a_root_in_another_script_is_told_once() -> None:
    found, _ = told(
        "CREATE TABLE s (a NOPE) WITH ('connector' = 'print');", table("t") + "INSERT INTO t SELECT a FROM s;"
    )
    assert found == ["0.sql:1 GS16 Unknown type NOPE; also caused by this: 1 statement"]


def test_what_a_misspelt_statement_should_have_made_is_folded_too() -> None:
    found, _ = told(table("t") + "CREATE TABEL s (a INT);\nINSERT INTO t SELECT a FROM s;")
    assert found == [
        "0.sql:2 GS17 `CREATE TABEL s ( a INT`: no rule knows this statement; also caused by this: 1 statement"
    ]


def test_where_the_planner_was_asked_its_answer_counts_and_not_the_texts() -> None:
    found, gateway = told(table("s") + "SELECT a b c FROM s;")
    assert found == []
    assert gateway.sessions[0][-1] == "EXPLAIN SELECT a b c FROM s"


def test_statements_run_in_their_order() -> None:
    found, gateway = told(
        "DROP TABLE IF EXISTS s;" + table("s") + table("t") + "INSERT INTO t SELECT a FROM s;"
        "DROP TABLE s;" + table("s", "BIGINT") + "EXECUTE INSERT INTO t SELECT a FROM s; DROP TABLE s;"
        "INSERT INTO t SELECT a FROM s;"
    )
    assert [one for one in found if "GS16" in one] == ["0.sql:4 GS16 Object 's' not found"]
    said = gateway.sessions[0]
    assert said.index("EXPLAIN INSERT INTO t SELECT a FROM s") < next(
        n for n, one in enumerate(said) if "BIGINT" in one
    )


def test_settings_hold_from_where_they_stand() -> None:
    _, gateway = told(
        table("s") + "SELECT a FROM s; SET 'table.exec.mini-batch.enabled' = 'true'; SELECT a FROM s;"
        "RESET 'table.exec.mini-batch.enabled'; SET 'sql-client.verbose' = 'true';"
    )
    assert gateway.sessions[0][1:] == [
        "EXPLAIN SELECT a FROM s",
        "SET 'table.exec.mini-batch.enabled' = 'true'",
        "EXPLAIN SELECT a FROM s",
        "RESET 'table.exec.mini-batch.enabled'",
    ]


def test_catalogs_are_left_out_and_options_of_hints_too() -> None:
    found, gateway = told(
        "CREATE TABLE lake.games.s (a INT) WITH ('connector' = 'kafka', 'properties.x' = 'hush');"
        "SELECT lake.games.s.a FROM `lake`.games.s /*+ OPTIONS('scan.startup.mode' = 'earliest-offset') */;"
    )
    assert found == []
    assert "hush" not in " ".join(gateway.sessions[0])
    assert gateway.sessions[0][-1].split() == ["EXPLAIN", "SELECT", "s.a", "FROM", "s"]


def test_a_table_made_by_a_query_can_be_read() -> None:
    found, _ = told(table("s") + table("t") + "CREATE TABLE made AS SELECT a FROM s; INSERT INTO t SELECT a FROM made;")
    assert found == []


def test_like_keeps_its_clause() -> None:
    found, gateway = told(
        "CREATE TABLE base (a INT) WITH ('connector' = 'kafka', 'topic' = 'x');"
        "CREATE TABLE s (b INT) WITH ('topic' = 'y') LIKE base (EXCLUDING ALL INCLUDING OPTIONS);"
    )
    assert found == []
    assert gateway.sessions[0][-1].endswith("LIKE base (EXCLUDING ALL INCLUDING OPTIONS)")


WORDS = [
    "CREATE",
    "OR",
    "REPLACE",
    "ALTER",
    "TEMPORARY",
    "TABLE",
    "VIEW",
    "MATERIALIZED",
    "IF",
    "EXISTS",
    "LIKE",
    "AS",
    "SELECT",
    "*",
    "FROM",
    "INSERT",
    "INTO",
    "OVERWRITE",
    "EXECUTE",
    "STATEMENT",
    "SET",
    "BEGIN",
    "END",
    ";",
    ";",
    ";",
    ",",
    ".",
    "(",
    ")",
    "=",
    "s",
    "t",
    "`q`",
    "'k'",
    "'v'",
    "${p}",
    "ADD",
    "DROP",
    "MODIFY",
    "RENAME",
    "TO",
    "RESET",
    "WITH",
    "JAR",
    "EXPLAIN",
    "PLAN",
    "FOR",
    "COMPILE",
    "AND",
    "/*+OPTIONS('a'='b')*/",
    "PRIMARY",
    "KEY",
    "GROUP",
    "BY",
    "ROW_NUMBER",
    "OVER",
    "PARTITION",
    "ORDER",
    "SUM",
    "CAST",
    "BETWEEN",
    "<",
    "PROCTIME",
    "VALUES",
    "FUNCTION",
    "USE",
    "--",
    "\n",
    "FILTER",
    "WATERMARK",
    "MATCH_RECOGNIZE",
    "INCLUDING",
    "EXCLUDING",
    "OPTIONS",
    "7",
]


@given(st.lists(st.sampled_from(WORDS), max_size=40))
@settings(max_examples=200, deadline=None)
def test_whatever_stands_there_is_linted_without_a_crash(words: list[str]) -> None:
    told(table("s") + " ".join(words))
