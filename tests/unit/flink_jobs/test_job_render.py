from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gamestream_dagster.flink_jobs.errors import RenderError
from gamestream_dagster.flink_jobs.spec.job_spec import SqlFile
from gamestream_dagster.flink_jobs.spec.sql_text import TokenKind, tokens
from gamestream_dagster.flink_jobs.target.render import Bindings, bindings_for, preview, render
from gamestream_dagster.settings import TopicFormat, load_settings
from tests.support.fakes.job_specs import job_spec

TABLE = "CREATE TEMPORARY TABLE t (a STRING) WITH ('connector' = 'jdbc', {options});"


def rendered(options: str, **values: Any) -> str:
    source = SqlFile(path="_sources/t.sql", text=TABLE.format(options=options))
    bindings = Bindings({"kafka_bootstrap": "k:1", "postgres_password": "pw", **values})
    return render(job_spec(sources=(source,)), bindings).definitions[0]


def test_a_placeholder_outside_quotes_becomes_a_literal() -> None:
    assert "'url' = 'it''s'" in rendered("'url' = ${u}", u="it's")


def test_a_placeholder_inside_quotes_is_escaped() -> None:
    assert "'url' = 'x/it''s/y'" in rendered("'url' = 'x/${u}/y'", u="it's")


def test_a_group_of_options() -> None:
    text = rendered("${o}", o={"format": "json", "it's": "a'b"})
    assert "'format' = 'json', 'it''s' = 'a''b'" in text


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("'url' = ${nobody}", "nobody"),
        ("'url' = '${nobody}'", "nobody"),
        ("'url' = '${o}'", "group of options"),
        ("`${u}` = 'x'", "only values"),
        ("'url' = ${broken}", "NUL or a line break"),
    ],
)
def test_what_cannot_be_filled_is_refused_with_file_and_name(options: str, named: str) -> None:
    with pytest.raises(RenderError, match=named) as raised:
        rendered(options, u="x", o={"a": "b"}, broken="a\nb")
    assert "_sources/t.sql" in str(raised.value)


def test_comments_get_no_values() -> None:
    text = rendered("'a' = 'b' -- ${postgres_password}\n, 'c' = /* ${postgres_password} */ 'd'")
    assert "pw" not in text


@given(st.text(alphabet=st.characters(blacklist_characters="\0\n\r", blacklist_categories=("Cs",)), max_size=40))
def test_no_value_changes_the_number_of_tokens(value: str) -> None:
    plain, filled = rendered("'url' = ${u}, 'v' = '${u}'", u="x"), rendered("'url' = ${u}, 'v' = '${u}'", u=value)
    kinds = [[token.kind for token in tokens(text)] for text in (plain, filled)]
    assert kinds[0] == kinds[1]
    assert TokenKind.COMMENT not in kinds[1]


def test_the_preview_shows_no_password(tmp_path: Any) -> None:
    settings = load_settings(home=tmp_path, postgres_password="canary'42")
    source = SqlFile(path="_sources/t.sql", text=TABLE.format(options="'password' = ${postgres_password}"))
    shown = "\n".join(preview(job_spec(sources=(source,)), bindings_for(settings, "totals_v1")))
    assert "canary" not in shown
    assert "***" in shown
    assert "canary" not in repr(bindings_for(settings, "totals_v1"))
    assert "canary" not in repr(render(job_spec(sources=(source,)), bindings_for(settings, "totals_v1")))


def test_the_statement_set_is_kept_apart() -> None:
    made = render(job_spec(), Bindings({"kafka_bootstrap": "k:1"}))
    assert made.statement_set.startswith("EXECUTE STATEMENT SET")
    assert made.statement_set_body.startswith("STATEMENT SET BEGIN")
    assert len(made.definitions) == 2


def test_the_avro_variant_of_a_source_is_used_for_avro() -> None:
    source = SqlFile(path="_sources/t.sql", text="CREATE TABLE t (a INT) WITH ('topic' = 'clicks', 'format' = 'json');")
    avro = source.model_copy(update={"path": "_sources/t.avro.sql", "text": source.text.replace("json", "avro")})
    spec = job_spec(sources=(source,), avro_sources={source.path: avro})
    bindings = Bindings({})
    assert "'json'" in render(spec, bindings).definitions[0]
    assert "'json'" in render(spec, bindings, {"clicks": TopicFormat.JSON}).definitions[0]
    assert "'json'" in render(spec, bindings, {"purchases": TopicFormat.AVRO}).definitions[0]
    assert "'avro'" in render(spec, bindings, {"clicks": TopicFormat.AVRO}).definitions[0]


def test_the_format_of_a_stream_is_the_one_of_its_topic(tmp_path: Path) -> None:
    avro = load_settings(home=tmp_path, topic_formats={"user-score": "avro"})
    json, moved = bindings_for(load_settings(home=tmp_path), "j").values, bindings_for(avro, "j").values
    assert json["format_user_score"] == {"format": "json", "json.ignore-parse-errors": "true"}
    assert moved["format_user_score"] == {"format": "gamestream-avro", "gamestream-avro.url": avro.registry.url}
