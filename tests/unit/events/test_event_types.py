"""The catalogue of event types: what is made from it is right, and nothing has drifted from it."""

from __future__ import annotations

import io
import json
import re

import fastavro
import jsonschema
import pytest

from gamestream_dagster.catalogue.errors import CatalogueError
from gamestream_dagster.catalogue.event_type import (
    avro_schema,
    flink_columns,
    json_schema,
    load_event_types,
    score_event,
)
from gamestream_dagster.events.acceptance import Decoded
from gamestream_dagster.events.docs_page import docs_page
from gamestream_dagster.settings import PROJECT_ROOT
from tests.support.acceptance_cases import load_cases
from tests.support.fakes.streams import SCORES

EVENT = score_event()
# The schema that the generator of the mobile-game example registers for `user-score-value`.
SEED_SCHEMA = {
    "namespace": "io.factorhouse.avro",
    "type": "record",
    "name": "UserScore",
    "fields": [
        {"name": "user_id", "type": "string"},
        {"name": "team_id", "type": "string"},
        {"name": "team_name", "type": "string"},
        {"name": "score", "type": "int"},
        {"name": "event_time_millis", "type": "long", "logicalType": "timestamp-millis"},
        {"name": "readable_time", "type": "string"},
        {"name": "event_type", "type": "string"},
    ],
}


def _avro(record: dict, writer: dict, reader: dict) -> object:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, writer, record)
    buffer.seek(0)
    return fastavro.schemaless_reader(buffer, writer, reader)


def test_avro_reads_the_seeds_records_and_the_seed_reads_ours():
    record = {
        "user_id": "u",
        "team_id": "t",
        "team_name": "n",
        "score": 5,
        "event_time_millis": 1,
        "readable_time": "r",
        "event_type": "normal",
    }
    ours = avro_schema(EVENT)
    assert _avro(record, SEED_SCHEMA, ours) == {**record, "event_id": None}
    assert _avro({**record, "event_id": "e"}, ours, SEED_SCHEMA) == record
    # A registry compares full names, and promotes `int` to `long` only one way: both must be the seed's.
    assert (ours["namespace"], ours["name"]) == ("io.factorhouse.avro", "UserScore")
    assert ours["fields"][:7] == SEED_SCHEMA["fields"]
    assert ours["fields"][7] == {"name": "event_id", "type": ["null", "string"], "default": None}


def test_json_schema_agrees_with_the_acceptance_rule_where_it_can():
    validator = jsonschema.Draft202012Validator(json_schema(EVENT))
    agreed = 0
    for case in load_cases():
        try:
            document = json.loads(case.value or b"", parse_constant=_refuse)
        except (ValueError, RecursionError):
            continue
        if validator.is_valid(document):
            agreed += 1
            # A schema knows neither the Kafka timestamp nor how a whole number was written (7.0, 7e0).
            assert case.reason in (None, "FUTURE_TIMESTAMP", "WRONG_TYPE", "NOT_JSON"), case.name
    assert agreed > 20


def _refuse(word: str) -> None:
    raise ValueError(word)


def test_fields_are_those_of_the_decoded_record():
    assert (*EVENT.fields, "remark") == Decoded._fields
    assert SCORES.event_types == (EVENT,)
    assert SCORES.subjects == {"user-score-value": EVENT}
    assert EVENT.fields.keys() >= {SCORES.key}


def test_docs_page_is_the_one_made_from_the_catalogue():
    assert (PROJECT_ROOT / "docs" / "events.md").read_text(encoding="utf-8") == docs_page(SCORES)


def test_flink_source_has_the_catalogues_columns():
    """The physical columns of the JSON source, read out of the DDL, are the catalogue's, in order and type."""
    ddl = (PROJECT_ROOT / "flink_sql" / "_sources" / "user_score.sql").read_text(encoding="utf-8")
    body = re.sub(r"--[^\n]*", "", ddl).partition("(")[2]
    found = {}
    for line in body.splitlines():
        column = re.match(r"\s*`?([a-z_]+)`?\s+(STRING|BIGINT|INT)\s*,?\s*$", line)
        if column:
            found[column[1]] = column[2]
    assert found == flink_columns(EVENT)
    assert re.search(r"json-parser\.enabled'\s*=\s*'false'", ddl), (
        "the default JSON reader stops early and unpacks nested fields: set json.decode.json-parser.enabled to false"
    )


def test_a_mistake_names_the_file(tmp_path):
    (tmp_path / "score.yaml").write_text("{key: x}", encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"score\.yaml cannot be used[\s\S]*key"):
        load_event_types(tmp_path)
