"""The same fault in every clothing that Flink's SQL has: it is found, or the statement is named as not understood."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gamestream_dagster.flink_jobs.errors import JobSpecError
from gamestream_dagster.flink_jobs.linter.lint import text_findings
from gamestream_dagster.flink_jobs.linter.source import Unit, session_of, units_of

KAFKA = "'connector' = 'kafka', 'topic' = 's', 'properties.bootstrap.servers' = 'b:1', 'format' = 'json'"
EARLIEST = f"{KAFKA}, 'scan.startup.mode' = 'earliest-offset'"
LATEST = f"{KAFKA}, 'scan.startup.mode' = 'latest-offset'"
COLUMNS = "user_id STRING, n INT, score BIGINT, share DOUBLE, team_name STRING"
SOURCE = f"CREATE TABLE scores ({COLUMNS}) WITH ({EARLIEST});\n"
TOP = "CREATE TABLE top (user_id STRING, total BIGINT) WITH ('connector' = 'print');\n"
USE = "INSERT INTO top SELECT user_id, score FROM scores;\n"
CLEAN = "SELECT user_id, score FROM scores WHERE score >= 0"


def codes(*texts: str) -> list[str]:
    sessions = tuple(session_of(text, f"{number}.sql") for number, text in enumerate(texts))
    return sorted(one.code for one in text_findings(Unit("s", sessions)))


FORMS = [
    "INSERT INTO top {q};",
    "insert into top {q}",
    "INSERT INTO `top` {q};",
    "INSERT INTO lake.games.top {q};",
    "INSERT INTO top (user_id, total) {q};",
    "INSERT INTO top PARTITION (day = 'd') {q};",
    "INSERT OVERWRITE top {q};",
    "INSERT INTO top WITH c AS ({q}) SELECT * FROM c;",
    "EXECUTE INSERT INTO top {q};",
    "EXECUTE {q};",
    "EXECUTE STATEMENT SET BEGIN INSERT INTO top {q}; END;",
    "EXECUTE STATEMENT SET\nBEGIN\nINSERT INTO top {q};\nINSERT INTO top {q};\nEND;",
    "BEGIN STATEMENT SET; INSERT INTO top {q}; END;",
    "COMPILE PLAN 'file:///p.json' FOR INSERT INTO top {q};",
    "COMPILE PLAN 'file:///p.json' IF NOT EXISTS FOR INSERT INTO top {q};",
    "COMPILE PLAN 'file:///p.json' FOR STATEMENT SET BEGIN INSERT INTO top {q}; END;",
    "COMPILE AND EXECUTE PLAN 'file:///p.json' FOR INSERT INTO top {q};",
    "COMPILE AND EXECUTE PLAN 'file:///p.json' FOR STATEMENT SET BEGIN INSERT INTO top {q}; END;",
    "EXPLAIN INSERT INTO top {q};",
    "EXPLAIN PLAN FOR {q};",
    "EXPLAIN ESTIMATED_COST, CHANGELOG_MODE INSERT INTO top {q};",
    "EXPLAIN STATEMENT SET BEGIN INSERT INTO top {q}; END;",
    "CREATE TABLE made WITH ('connector' = 'print') AS {q};",
    "CREATE TABLE IF NOT EXISTS made AS {q};",
    "CREATE TABLE made (user_id STRING) COMMENT 'x' WITH ('connector' = 'print') AS {q};",
    "CREATE VIEW v AS {q};",
    "CREATE TEMPORARY VIEW IF NOT EXISTS v (a, b) COMMENT 'x' AS {q};",
    "ALTER VIEW v AS {q};",
    "CREATE MATERIALIZED TABLE made FRESHNESS = INTERVAL '1' MINUTE AS {q};",
    "CREATE MATERIALIZED TABLE made PARTITIONED BY (d) WITH ('connector' = 'print') AS {q};",
    "{q};",
    "({q});",
    "WITH c AS ({q}) SELECT * FROM c;",
    "{q} UNION ALL {q};",
]
CLOTHES = {
    "as it is": lambda sql: sql,
    "windows line ends": lambda sql: sql.replace("\n", "\r\n"),
    "comments": lambda sql: (
        "-- a; b\n/* INSERT; */" + sql.replace(" ", " /* c; '*/ ", 1).replace("SELECT", "SELECT--x;'\n", 1)
    ),
    "tabs": lambda sql: sql.replace(" ", "\t"),
}
FAULTS = [
    ("SELECT user_id, SUM(n) FROM scores GROUP BY user_id", "GS02"),
    ("SELECT /*+ STATE_TTL('scores' = '1d') */ user_id, COUNT(*) FROM scores GROUP BY user_id", "GS03"),
    ("SELECT * FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY score DESC) AS r FROM scores) WHERE r <= 10", "GS04"),
    ("SELECT user_id, score FROM scores WHERE share > 0.5", "GS06"),
    ("SELECT user_id, score FROM scores AS s WHERE 0.5 <= s.share", "GS06"),
    ("SELECT user_id, score FROM scores WHERE share BETWEEN 0.1 AND 0.5", "GS06"),
    ("SELECT user_id, score FROM scores WHERE CAST(score AS DOUBLE) < 1", "GS06"),
    ("SELECT user_id, UNIX_TIMESTAMP() FROM scores", "GS07"),
    ("SELECT user_id, COUNT(*) FROM TUMBLE(TABLE scores, DESCRIPTOR(t), INTERVAL '1' DAY) GROUP BY user_id", "GS08"),
    ("SELECT user_id, score FROM scores /*+ OPTIONS('x.password' = 'hush') */", "GS09"),
    (
        "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY team_name ORDER BY user_id) AS r FROM scores)"
        " WHERE r = 1",
        "GS15",
    ),
    ("SELECT user_id, score FROM scores /*+ OPTIONS('scan.startup.mode' = 'latest-offset') */", "GS01"),
    ("SELECT s.user_id, s.score FROM scores /*+OPTIONS('scan.startup.mode'='latest-offset')*/ AS s", "GS01"),
    ("SELECT * FORM scores", "GS17"),
    ("SELECT user_id, score FRMO scores", "GS17"),
    ("SELECT user_id, score FROM scores WHRE score > 1", "GS17"),
    ("SELECT user_id, COUNT(*) FROM scores GRUOP BY user_id", "GS17"),
    ("SELECT user_id, (score FROM scores", "GS17"),
    ("SELECT user_id, score FROM scores WHERE", "GS17"),
]


@pytest.mark.parametrize("clothes", CLOTHES)
@pytest.mark.parametrize("form", FORMS)
def test_a_fault_is_found_in_every_form(form: str, clothes: str) -> None:
    missed = []
    for query, code in FAULTS:
        sql = SOURCE + TOP + CLOTHES[clothes](form.format(q=query))
        if code not in codes(sql):
            missed.append((code, query))
    assert missed == []


@pytest.mark.parametrize("clothes", CLOTHES)
@pytest.mark.parametrize("form", FORMS)
def test_a_clean_query_is_clean_in_every_form(form: str, clothes: str) -> None:
    assert codes(SOURCE + TOP + CLOTHES[clothes](form.format(q=CLEAN))) == []


STARTS = [
    # what the table itself says
    (f"CREATE TABLE scores ({COLUMNS}) WITH ({LATEST});", ["GS01"]),
    (f"CREATE TEMPORARY TABLE IF NOT EXISTS a.b.scores ({COLUMNS}) WITH ({LATEST});", ["GS01"]),
    (f"CREATE OR ALTER TABLE scores ({COLUMNS}) WITH ({LATEST});", ["GS01"]),
    (f"CREATE TABLE scores ({COLUMNS}) COMMENT 'x' PARTITIONED BY (n) WITH ({LATEST});", ["GS01"]),
    (f"CREATE TABLE scores ({COLUMNS}) WITH ({KAFKA}, 'scan.startup.mode' = ' Latest-Offset ');", ["GS01"]),
    (f"CREATE TABLE scores ({COLUMNS}) WITH ({KAFKA}, 'scan.startup.mode' = '${{mode}}');", ["GS17"]),
    (f"CREATE TABLE scores ({COLUMNS}) WITH ({KAFKA}, 'scan.startup.mode' = ${{mode}});", ["GS17"]),
    (f"CREATE TABLE scores ({COLUMNS}) WITH ({KAFKA}, 'scan.startup.mode' = 'lates-offset');", ["GS17"]),
    (f"CREATE TABLE scores ({COLUMNS}) WITH ({EARLIEST}, ${{more_options}});", ["GS17"]),
    (f"CREATE TABLE scores ({COLUMNS}) WIHT ({EARLIEST});", ["GS17"]),
    ("CREATE TABLE scores;", ["GS17"]),
    # the group's offsets, a time
    (
        f"CREATE TABLE scores ({COLUMNS}) WITH ({KAFKA}, 'scan.startup.mode' = 'group-offsets',"
        " 'properties.auto.offset.reset' = 'latest');",
        ["GS01"],
    ),
    (f"CREATE TABLE scores ({COLUMNS}) WITH ({KAFKA}, 'properties.auto.offset.reset' = 'latest');", ["GS01"]),
    (
        f"CREATE TABLE scores ({COLUMNS}) WITH ({KAFKA}, 'scan.startup.mode' = 'group-offsets',"
        " 'properties.auto.offset.reset' = 'earliest');",
        [],
    ),
    (
        f"CREATE TABLE scores ({COLUMNS}) WITH ({KAFKA}, 'scan.startup.mode' = 'timestamp',"
        " 'scan.startup.timestamp-millis' = '99999999999999');",
        ["GS01"],
    ),
    (
        f"CREATE TABLE scores ({COLUMNS}) WITH ({KAFKA}, 'scan.startup.mode' = 'timestamp',"
        " 'scan.startup.timestamp-millis' = '1500000000000');",
        [],
    ),
    (
        f"CREATE TABLE scores ({COLUMNS}) WITH ({KAFKA}, 'scan.startup.mode' = 'timestamp',"
        " 'scan.startup.timestamp-millis' = 'tomorrow');",
        ["GS17"],
    ),
    # other connectors
    (f"CREATE TABLE s ({COLUMNS}) WITH ('connector' = 'pulsar', 'scan.startup.mode' = 'latest');", ["GS01"]),
    (f"CREATE TABLE s ({COLUMNS}) WITH ('connector' = 'kinesis', 'source.init.position' = 'LATEST');", ["GS01"]),
    (f"CREATE TABLE s ({COLUMNS}) WITH ('connector' = 'kinesis', 'scan.stream.initpos' = 'LATEST');", ["GS01"]),
    (f"CREATE TABLE s ({COLUMNS}) WITH ('connector' = 'mysql-cdc', 'scan.startup.mode' = 'latest-offset');", ["GS01"]),
    (f"CREATE TABLE s ({COLUMNS}) WITH ('connector' = 'paimon', 'scan.mode' = 'latest');", ["GS01"]),
    # ALTER TABLE
    (SOURCE + "ALTER TABLE scores SET ('scan.startup.mode' = 'latest-offset');" + USE, ["GS01"]),
    (SOURCE + USE + "ALTER TABLE scores SET ('scan.startup.mode' = 'latest-offset');", ["GS01"]),
    (
        SOURCE
        + "ALTER TABLE scores SET ('scan.startup.mode' = 'latest-offset');"
        + USE
        + "ALTER TABLE scores SET ('scan.startup.mode' = 'earliest-offset');",
        ["GS01"],
    ),
    (
        f"CREATE TABLE scores ({COLUMNS}) WITH ({LATEST});"
        "ALTER TABLE scores SET ('scan.startup.mode' = 'earliest-offset');" + USE,
        [],
    ),
    (
        f"CREATE TABLE scores ({COLUMNS}) WITH ({KAFKA}, 'properties.auto.offset.reset' = 'latest',"
        " 'scan.startup.mode' = 'earliest-offset'); ALTER TABLE scores RESET ('scan.startup.mode');" + USE,
        ["GS01"],
    ),
    ("ALTER TABLE of_a_catalog SET ('scan.startup.mode' = 'latest-offset');", ["GS01"]),
    (
        SOURCE + "ALTER TABLE IF EXISTS scores RENAME TO s; ALTER TABLE s SET ('scan.startup.mode'='latest-offset');",
        ["GS01"],
    ),
    (SOURCE + "ALTER TABLE scores MODFY (n BIGINT);", ["GS17"]),
    # LIKE
    (f"CREATE TABLE base ({COLUMNS}) WITH ({LATEST}); CREATE TABLE scores LIKE base;" + USE, ["GS01"]),
    (
        f"CREATE TABLE base ({COLUMNS}) WITH ({EARLIEST});"
        "CREATE TABLE scores WITH ('scan.startup.mode' = 'latest-offset') LIKE base;" + USE,
        ["GS01"],
    ),
    (
        f"CREATE TABLE base ({COLUMNS}) WITH ({LATEST});"
        "ALTER TABLE base SET ('scan.startup.mode' = 'earliest-offset');"
        "CREATE TABLE scores (more INT) LIKE base (INCLUDING ALL);" + USE,
        [],
    ),
    (
        f"CREATE TABLE base ({COLUMNS}) WITH ('connector' = 'datagen');"
        f"CREATE TABLE scores WITH ({EARLIEST}) LIKE base (EXCLUDING OPTIONS);" + USE,
        [],
    ),
    (f"CREATE TABLE scores WITH ({EARLIEST}) LIKE of_a_catalog;" + USE, ["GS17"]),
    # dropped and made anew
    (SOURCE + "DROP TABLE scores;" + f"CREATE TABLE scores ({COLUMNS}) WITH ({LATEST});" + USE, ["GS01", "GS11"]),
]


@pytest.mark.parametrize(("sql", "expected"), STARTS)
def test_where_a_source_starts(sql: str, expected: list[str]) -> None:
    assert codes(sql) == expected


HOLDS = [
    ("SET 'table.exec.state.ttl' = '1 h';" + "{g}" + "SET 'table.exec.state.ttl' = '0';", ["GS03"]),
    ("SET 'table.exec.state.ttl' = '1 h'; RESET 'table.exec.state.ttl'; {g}", []),
    ("SET 'table.exec.state.ttl' = '1 h'; RESET; {g}", []),
    ("{g} SET 'table.exec.state.ttl' = '1 h';", []),
    ("SET 'table.exec.state.ttl' = '1 h'; SET 'table.exec.state.ttl' = '0 ms'; {g}", []),
    ("CREATE VIEW v AS SELECT user_id, COUNT(*) c FROM scores GROUP BY user_id; SET table.exec.state.ttl = 1 h;"
     " INSERT INTO top SELECT * FROM v;", ["GS03"]),
    ("SET 'pipeline.jars' = 'file:///a.jar';", ["GS10"]),
    ("CREATE TEMPORARY FUNCTION f AS 'a.B' USING JAR 'file:///a.jar';", ["GS10", "GS17"]),
    ("CREATE FUNCTION f AS 'a.B';", ["GS17"]),
    ("ADD JAR '/a.jar';", ["GS10"]),
    ("SET sasl.password = hush;", ["GS09"]),
    ("SET 'sasl.password' = 'hush';", ["GS09"]),
    ("CREATE CATALOG c WITH ('type' = 'jdbc', 'password' = 'hush');", ["GS09"]),
    ("ALTER TABLE scores SET ('properties.sasl.jaas.config' = 'x y');", ["GS09"]),
    ("CREATE TABLE made WITH ('connector' = 'jdbc', 'password' = 'hush') AS SELECT * FROM scores;", ["GS09"]),
    ("CREATE MODEL m WITH ('provider' = 'openai', 'openai.api_key' = 'hush');", ["GS09"]),
    ("EXECUTE INSERT INTO top /*+ OPTIONS('password' = 'hush') */ SELECT user_id, score FROM scores;", ["GS09"]),
    ("DROP DATABASE games CASCADE;", ["GS11"]),
    ("DROP MATERIALIZED TABLE made;", ["GS11"]),
    ("CREATE OR REPLACE TABLE made WITH ('connector' = 'print') AS SELECT * FROM scores;", ["GS11"]),
    ("REPLACE TABLE made WITH ('connector' = 'print') AS SELECT * FROM scores;", ["GS11"]),
    ("DROP VIEW v; DROP FUNCTION f; USE CATALOG c; SHOW TABLES; DESCRIBE scores; SHOW CREATE TABLE scores;", []),
    ("ALTER TABLE scores MODIFY (n BIGINT); INSERT INTO top SELECT user_id, SUM(n) FROM scores GROUP BY user_id;", []),
    ("ALTER TABLE scores ADD (m INT); INSERT INTO top SELECT user_id, SUM(m) FROM scores GROUP BY user_id;", ["GS02"]),
    ("CREATE TABLE board (rnk BIGINT, PRIMARY KEY (rnk) NOT ENFORCED) WITH ('connector' = 'print');"
     "ALTER TABLE board SET ('sink.parallelism' = '3');", ["GS14"]),
    ("CREATE TABLE board (rnk BIGINT, PRIMARY KEY (rnk) NOT ENFORCED) WITH ('connector' = 'print');"
     "INSERT INTO board /*+ OPTIONS('sink.parallelism' = '3') */ SELECT score FROM scores;", ["GS14"]),
    ("CREATE TABLE base (rnk BIGINT PRIMARY KEY NOT ENFORCED) WITH ('connector' = 'print', 'sink.parallelism' = '2');"
     "CREATE TABLE board LIKE base;", ["GS14", "GS14"]),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "expected"), HOLDS)
def test_what_holds_where_a_statement_stands(sql: str, expected: list[str]) -> None:
    grouped = "INSERT INTO top SELECT user_id, COUNT(*) FROM scores GROUP BY user_id;"
    assert codes(SOURCE + TOP + sql.replace("{g}", grouped)) == expected


NOT_UNDERSTOOD = [
    "CREATE TABEL src (a INT);",
    "CRATE TABLE src (a INT);",
    "SELCT * FROM scores;",
    "INSERT INTO top SELCT * FROM scores;",
    "INSERT top SELECT * FROM scores;",
    "UPSERT INTO top SELECT * FROM scores;",
    "CREATE VIEW v SELECT 1;",
    "CREATE STREAM s (a INT);",
    "CALL sys.compact('x');",
    "EXECUTE PLAN 'file:///p.json';",
    "DELETE FROM top;",
    "UPDATE top SET total = 1;",
    "TRUNCATE TABLE top;",
    "MERGE INTO top USING scores ON 1 = 1;",
    "GRANT SELECT ON top TO x;",
    "SET 'a' 'b';",
    "SHOW TABELS;",
    "END;",
    "EXPLAIN;",
    "EXECUTE STATEMENT SET BEGIN INSERT INTO top SELECT user_id, score FROM scores;",
    "BEGIN STATEMENT SET; INSERT INTO top SELECT user_id, score FROM scores;",
    "EXECUTE STATEMENT SET BEGIN SELECT * FROM scores; END;",
    "user_id,team_id,score\na,t1,5\nb,t2,7\n",
    '{"user_id": "a"}',
    "# a heading\n\nSome words about it.\n",
    "\u200bCREATE TABLE made (a INT) WITH ('connector' = 'print');",
]


@pytest.mark.parametrize("sql", NOT_UNDERSTOOD)
def test_what_is_not_understood_is_named(sql: str) -> None:
    assert codes(SOURCE + TOP + sql) == ["GS17"]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT CAST(n AS DOUBLE PRECISION), TIMESTAMP '2020-01-01 00:00:00' t,"
        " DATE '2020-01-01', INTERVAL '1' DAY FROM scores",
        "SELECT user_id u, score s FROM scores AS a (x, y) CROSS JOIN UNNEST(ARRAY[1, 2]) WITH ORDINALITY AS o (v, i)",
        "SELECT a.*, b.score FROM scores a LEFT OUTER JOIN scores FOR SYSTEM_TIME AS OF a.t AS b"
        " ON a.user_id = b.user_id",
        "SELECT JSON_VALUE(user_id, '$.a' RETURNING STRING DEFAULT 'x' ON EMPTY NULL ON ERROR) FROM scores",
        "SELECT TRIM(BOTH ' ' FROM user_id), EXTRACT(DAY FROM t), POSITION(U&'\\0000' IN user_id) FROM scores",
        "SELECT CASE WHEN score > 1 THEN 'a' ELSE 'b' END AS c, score * 2, 2 * score FROM scores",
        "SELECT COUNT(*) FILTER (WHERE score > 1) c, COUNT(DISTINCT user_id) FROM scores"
        " GROUP BY GROUPING SETS ((n), ())",
        "SELECT * FROM scores MATCH_RECOGNIZE (PARTITION BY user_id ORDER BY t MEASURES A.n AS an ONE ROW PER MATCH"
        " AFTER MATCH SKIP PAST LAST ROW PATTERN (A B+ C) DEFINE B AS B.n > A.n) AS m",
        "SELECT SUM(score) OVER w FROM scores WINDOW w AS (PARTITION BY user_id ORDER BY t"
        " ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)",
        "SELECT user_id FROM scores WHERE user_id LIKE '%x' ESCAPE '!' AND user_id NOT IN ('a', 'b') LIMIT 3",
        "SELECT user_id FROM scores FETCH FIRST 10 ROWS ONLY",
        "SELECT window_start, user_id FROM HOP(DATA => TABLE scores, TIMECOL => DESCRIPTOR(t),"
        " SLIDE => INTERVAL '5' MINUTES, SIZE => INTERVAL '10' MINUTES)",
        "SELECT `a b`, `from` FROM `my table` t, LATERAL TABLE(split(user_id)) AS s (w)",
        "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v (id, name)",
        "SELECT 'it''s', -1.5e3, x'0f', user_id || '-' || user_id FROM scores WHERE n IS NOT NULL AND n <> 2",
    ],
)
def test_sql_of_every_sort_is_not_called_odd(query: str) -> None:
    assert "GS17" not in codes(f"CREATE VIEW v AS {query};")


# -- files and folders ------------------------------------------------------------------------------------------------


def test_a_byte_order_mark_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_bytes(b"\xef\xbb\xbf" + f"CREATE TABLE s (a INT) WITH ({LATEST});".encode())
    (unit,) = units_of([tmp_path])
    assert [one.code for one in text_findings(unit)] == ["GS01"]


def test_tables_of_another_script_are_known_and_of_one_name_each_script_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(f"CREATE TABLE s (x INT) WITH ({EARLIEST}); INSERT INTO t SELECT SUM(x) FROM s;")
    (tmp_path / "b.sql").write_text(f"CREATE TABLE s (x BIGINT) WITH ({EARLIEST}); INSERT INTO t SELECT SUM(x) FROM s;")
    (tmp_path / "c.sql").write_text("INSERT INTO t SELECT SUM(x) FROM s;")
    (unit,) = units_of([tmp_path])
    assert [(Path(one.file).name, one.code) for one in text_findings(unit)] == [("a.sql", "GS02")], "c reads b's table"


def test_every_script_below_a_folder_is_linted_whatever_its_case(tmp_path: Path) -> None:
    for name in ("one/A.SQL", "two/deep/b.Sql", "c.sql"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("CREATE TABEL x (a INT);")
    (tmp_path / "two" / "loop").symlink_to(tmp_path, target_is_directory=True)
    found = [finding for unit in units_of([tmp_path]) for finding in text_findings(unit)]
    assert sorted(Path(one.file).name for one in found) == ["A.SQL", "b.Sql", "c.sql"]


@pytest.mark.parametrize("content", ["", "  \n", "-- nothing\n/* here */", ";;"])
def test_a_script_without_a_statement_is_not_called_clean(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.sql").write_text(content)
    for path in (tmp_path, tmp_path / "a.sql"):
        with pytest.raises(JobSpecError, match="holds no SQL statement"):
            units_of([path])


def test_folders_and_files_that_cannot_be_linted_say_why(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("SELECT 1")
    with pytest.raises(JobSpecError, match=r"no \.sql file"):
        units_of([tmp_path / "empty"])
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(JobSpecError, match="no such file or folder"):
        units_of([tmp_path / "loop"])
    (tmp_path / "binary.sql").write_bytes(b"\xff\xfe\x00S")
    with pytest.raises(JobSpecError, match="cannot be read as text"):
        units_of([tmp_path / "binary.sql"])


def test_an_unreadable_file_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1;")

    def denied(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(JobSpecError, match="Permission denied"):
        units_of([tmp_path])


@pytest.mark.parametrize("named", [True, False])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, named: bool):
    pipe = tmp_path / "q.sql"
    os.mkfifo(pipe)
    with pytest.raises(JobSpecError, match=r"q\.sql: is a pipe, a device or a folder, not a file"):
        units_of([pipe if named else tmp_path])


def test_a_device_is_refused_and_not_read(tmp_path: Path):
    (tmp_path / "q.sql").symlink_to("/dev/zero")
    with pytest.raises(JobSpecError, match="not a file; write the SQL to a file"):
        units_of([tmp_path])


def test_utf16_without_a_mark_is_named(tmp_path: Path):
    (tmp_path / "q.sql").write_bytes("SELECT 1;".encode("utf-16-le"))
    with pytest.raises(JobSpecError, match="save the file as UTF-8"):
        units_of([tmp_path])
