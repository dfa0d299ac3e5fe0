from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gamestream_dagster.flink_jobs.errors import JobSpecError
from gamestream_dagster.flink_jobs.spec.sql_text import TokenKind, canonical, split, tokens


def texts(sql: str) -> list[str]:
    return [statement.text for statement in split(sql)]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("", []),
        (" ; ;; -- nothing\n", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1; SELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';'; SELECT 2", ["SELECT ';'", "SELECT 2"]),
        ("SELECT 'it''s; fine'; SELECT 2", ["SELECT 'it''s; fine'", "SELECT 2"]),
        ("SELECT `a;b` FROM t; SELECT 2", ["SELECT `a;b` FROM t", "SELECT 2"]),
        ("SELECT 1 -- one; two\n; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT /* ; ' */ 1; SELECT 2", ["SELECT   1", "SELECT 2"]),
        ("SELECT /*+ OPTIONS('a'='b;c') */ 1;", ["SELECT /*+ OPTIONS('a'='b;c') */ 1"]),
        ("SELECT '--' ; SELECT 2", ["SELECT '--'", "SELECT 2"]),
    ],
)
def test_split(sql: str, expected: list[str]) -> None:
    assert texts(sql) == expected


def test_the_semicolons_of_a_statement_set_do_not_split_it() -> None:
    body = "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT CASE WHEN x THEN 1 END FROM t; INSERT INTO b SELECT 1; END"
    assert texts(f"CREATE TEMPORARY VIEW v AS SELECT 1; {body};") == ["CREATE TEMPORARY VIEW v AS SELECT 1", body]


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("SELECT 1;\nSELECT 'open", "line 2: a quote"),
        ("SELECT `open", "backtick"),
        ("SELECT /* open", "comment"),
        ("SELECT ${open", "placeholder"),
        ("EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1;", "never ended"),
    ],
)
def test_what_is_not_closed_is_named(sql: str, named: str) -> None:
    with pytest.raises(JobSpecError, match=named):
        split(sql)


PIECES = st.sampled_from(
    ["'a;b'", "'it''s'", "`c;d`", "-- e;f\n", "/* g;h */", "word", " ", "\n", ",", "(", "${p}", "é"]
)


@given(st.lists(st.lists(PIECES, max_size=8), max_size=6))
def test_statements_come_back_whatever_is_in_quotes_and_comments(statements: list[list[str]]) -> None:
    sql = ";".join("x " + "".join(pieces) for pieces in statements)
    assert len(split(sql)) == len(statements)


@given(st.text(alphabet="ab'`-/*;${}\n +", max_size=60))
def test_tokens_are_the_text_or_the_text_is_not_closed(sql: str) -> None:
    read: list[str] = []
    with contextlib.suppress(JobSpecError):
        read.extend(token.text for token in tokens(sql))
        assert "".join(read) == sql
    assert sql.startswith("".join(read))


def test_canonical_ignores_comments_and_white_space_and_nothing_else() -> None:
    assert canonical("SELECT  a -- why\n FROM t ;") == canonical("SELECT a /* x */ FROM\n\tt")
    assert canonical("SELECT 'a  b'") != canonical("SELECT 'a b'")
    assert canonical("SELECT a FROM t") != canonical("SELECT b FROM t")


def test_words_leave_out_quoted_names() -> None:
    (statement,) = split("CREATE TEMPORARY TABLE `INSERT` (a STRING)")
    assert "INSERT" not in statement.words
    assert any(token.kind is TokenKind.QUOTED for token in statement.tokens)
