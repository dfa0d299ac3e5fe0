"""Stream outputs of a job's folder: what is read, what is refused with its mend, and the SQL that is rendered."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.catalogue.game_event import load_game_events
from gamestream_dagster.events.game_outcome import GameReason
from gamestream_dagster.flink_jobs.errors import JobSpecError
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.flink_jobs.spec.stream_outputs import streams_of

TEXT = {"type": "string", "description": "A text."}
COLUMNS = {"user_id": TEXT, "variant": {"type": "bytes", "description": "A reserved word."}}
RIGHT = {"topic": "user-score", "description": "Scores.", "key": "user_id", "columns": COLUMNS}


def folder(root: Path, **changes: object) -> Path:
    job = root / "intake_v1"
    (job / "streams").mkdir(parents=True)
    described = {name: value for name, value in {**RIGHT, **changes}.items() if value is not None}
    (job / "streams" / "scores.yaml").write_text(yaml.safe_dump(described), encoding="utf-8")
    return job


def test_a_stream_output_is_read(tmp_path: Path) -> None:
    (stream,) = streams_of(folder(tmp_path), ["other", "scores"])
    assert (stream.name, stream.topic, stream.key, stream.delivery) == (
        "scores",
        "user-score",
        "user_id",
        "exactly-once",
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"topic": "Not A Topic"}, "topic: .*not a topic name"),
        ({"topic": None}, "topic: Field required"),
        ({"key": "nobody"}, "`key` 'nobody' must be a string of `columns`"),
        ({"key": "variant"}, "`key` 'variant' must be a string of `columns`"),
        ({"columns": {}}, "columns"),
        ({"columns": {"a b": {"type": "string", "description": "x"}}}, "is not an identifier"),
        ({"delivery": "at-most-once"}, "delivery"),
        ({"partitions": 4}, "partitions: Extra inputs"),
        ({"value": "nobody"}, "`value` 'nobody' must be a column of bytes"),
        ({"value": "user_id"}, "`value` 'user_id' must be a column of bytes"),
        ({"value": "variant", "columns": {**COLUMNS, "team": TEXT}}, "leaves no place for team"),
        ({"time": "nobody"}, "`time` 'nobody' must be the one timestamp"),
        ({"columns": {**COLUMNS, "at": {"type": "timestamp", "description": "x"}}}, "must be the one timestamp"),
    ],
)
def test_a_broken_file_is_refused_with_its_field(tmp_path: Path, changes: dict[str, object], named: str) -> None:
    with pytest.raises(JobSpecError, match=f"intake_v1/streams/scores.yaml cannot be used: .*{named}"):
        streams_of(folder(tmp_path, **changes), ["scores"])


@pytest.mark.parametrize("text", ["- a list", "topic: [", "7", ""])
def test_a_file_that_describes_nothing_is_refused(tmp_path: Path, text: str) -> None:
    job = folder(tmp_path)
    (job / "streams" / "scores.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(JobSpecError, match=r"scores\.yaml cannot be used"):
        streams_of(job, ["scores"])


def test_a_stream_output_without_its_view_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobSpecError, match=r"has no view 'scores': .* or remove streams/scores\.yaml"):
        streams_of(folder(tmp_path), ["other"])


def test_the_intake_job_writes_its_four_topics_and_quotes_reserved_words() -> None:
    spec = load_jobs()["event_intake_v1"]
    assert set(spec.topics_written) == {"game-events-enriched", "game-events-late", "game-events-dlq", "user-score"}
    assert spec.tables_written == ("job_ledger",)
    assert spec.id_horizon_ms == 720_000
    sql = spec.sinks.text
    assert "`variant` STRING" in sql
    assert "'key.fields' = 'user_id'" in sql
    assert "INSERT INTO scores_stream SELECT `user_id`, `team_id`" in sql
    assert sql.count("'sink.transactional-id-prefix' = 'gamestream-event_intake_v1-") == 4


def test_what_sql_decides_about_times_is_what_the_catalogue_says() -> None:
    """The format knows no Kafka timestamp: limits and the order of the reasons stand in the SQL, too."""
    sql = " ".join((FLINK_SQL_DIR / "_sources" / "checked_game_events.sql").read_text(encoding="utf-8").split())
    times = load_game_events().times
    assert f"event_at > kafka_time + INTERVAL '{times.max_ahead // 3_600_000}' HOUR THEN 'FUTURE_TIMESTAMP'" in sql
    assert f"event_at < kafka_time - INTERVAL '{times.max_age // 86_400_000}' DAY THEN 'TOO_OLD'" in sql
    assert f"event_at < kafka_time - INTERVAL '{times.late_after // 60_000}' MINUTE AS late" in sql
    assert (times.max_ahead % 3_600_000, times.max_age % 86_400_000, times.late_after % 60_000) == (0, 0, 0)
    reasons = list(GameReason)
    before = ", ".join(f"'{reason}'" for reason in reasons[: reasons.index(GameReason.FUTURE_TIMESTAMP)])
    assert f"reason IN ({before}) THEN reason" in sql
    query = (FLINK_SQL_DIR / "event_intake_v1" / "query.sql").read_text(encoding="utf-8")
    assert [reason for reason in reasons if f"WHEN '{reason}' THEN" not in query] == [GameReason.DUP_CONFLICT]


def test_a_stream_of_bytes_keeps_them_and_their_kafka_time() -> None:
    spec = load_jobs()["transactions_v1"]
    table = next(part for part in spec.sinks.text.split(";") if "TABLE transactions_keyed_stream" in part)
    assert "`kafka_time` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'" in table
    assert "'value.format' = 'raw'" in table
    assert "'value.fields-include' = 'EXCEPT_KEY'" in table
    assert "'key.fields' = 'transaction_id'" in table
