"""Computing a day: what makes a query unusable, equal digests for equal rows, checks, and many chapters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from gamestream_dagster.archive.manifest import Chapter
from gamestream_dagster.archive.manifest_file import load_manifest, save_manifest
from gamestream_dagster.catalogue.metrics import HAS_ROWS, KEY_IS_UNIQUE, NO_NULLS, Metric
from gamestream_dagster.metrics.compute import Computed, MetricsDatabase
from gamestream_dagster.metrics.errors import MetricError, QueryUnusableError
from gamestream_dagster.metrics.source import ArchivedUpto
from tests.support.archive_maker import write_records
from tests.support.fakes.streams import GAME_EVENTS
from tests.support.metric_cases import DEVICES, METRICS, records_of

DAY = date(2026, 3, 1)
JOIN = {"user_id": "ann", "event_type": "player_join", "event_time": "2026-03-01T10:00:00Z"}


def metric(sql: str, **changes: object) -> Metric:
    columns = {
        "date": {"type": "date", "meaning": "The day."},
        "name": {"type": "string", "meaning": "A name."},
        "n": {"type": "bigint", "meaning": "A number."},
    }
    small = {
        "name": "small", "folder": Path("small"), "sql": sql, "title": "Small", "grain": "a name", "definition": "x",
        "source": "x", "partition": "date", "key": ("name", "date"), "columns": columns,
    }  # fmt: skip
    return Metric.model_validate(small | changes)


def opened(folder: Path) -> MetricsDatabase:
    return MetricsDatabase(folder / "archive", GAME_EVENTS, folder / "spill", DEVICES)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[MetricsDatabase]:
    with opened(tmp_path) as found:
        yield found


def compute(database: MetricsDatabase, described: Metric, folder: Path, name: str = "day") -> Computed:
    return database.compute(described, DAY, {}, folder / f"{name}.parquet")


def values(*rows: str) -> str:
    return f"SELECT $day AS date, name, n FROM (VALUES {', '.join(rows)}) AS rows(name, n)"


@pytest.mark.parametrize(
    ("sql", "wrong"),
    [
        ("SELECT $day AS date, 'x' AS name", "lacks the column 'n'"),
        ("SELECT $day AS date, 'x' AS name, 1 AS n, 2 AS m", "gives the column 'm' that is not described"),
        ("SELECT $day AS date, 'x' AS name, 'many' AS n", "fails for 2026-03-01"),
        ("SELECT $day AS date, 'x' AS name, n FROM game_events", "fails for 2026-03-01"),
        ("SELECT $day - 1 AS date, 'x' AS name, 1 AS n", "whose date is another day"),
    ],
)
def test_a_query_that_does_not_give_what_is_described_is_named(
    database: MetricsDatabase, tmp_path: Path, sql: str, wrong: str
) -> None:
    with pytest.raises(QueryUnusableError, match=wrong):
        compute(database, metric(sql), tmp_path)


def test_equal_rows_have_one_digest_whatever_their_order(database: MetricsDatabase, tmp_path: Path) -> None:
    one = compute(database, metric(values("('a', 1)", "('b', 2)")), tmp_path, "one")
    two = compute(database, metric(values("('b', 2)", "('a', 1)")), tmp_path, "two")
    three = compute(database, metric(values("('a', 2)", "('b', 1)")), tmp_path, "three")
    assert one.digest == two.digest != three.digest
    assert one.path.read_bytes() == two.path.read_bytes()


def broken(found: Computed) -> dict[str, int]:
    return {one.name: one.broken for one in found.checks if not one.passed}


def test_checks_count_the_rows_that_break_them(database: MetricsDatabase, tmp_path: Path) -> None:
    rule = {"small_n": {"severity": "warn", "holds": "n is at most 2.", "where": "n <= 2"}}
    described = metric(values("('a', 1)", "('a', 3)", "('b', NULL)", "('c', 2)", "(NULL, 2)"), checks=rule)
    assert broken(compute(database, described, tmp_path)) == {KEY_IS_UNIQUE: 1, NO_NULLS: 1, "small_n": 2}
    assert (described.blocks(KEY_IS_UNIQUE), described.blocks(NO_NULLS), described.blocks("small_n")) == (
        True,
        True,
        False,
    )


def test_a_day_without_rows_never_passes(database: MetricsDatabase, tmp_path: Path) -> None:
    described = metric(f"{values('(NULL, 1)')} WHERE false", empty="fail")
    assert broken(compute(database, described, tmp_path)) == {HAS_ROWS: 1}
    assert not described.blocks(HAS_ROWS)


def test_an_event_of_an_earlier_chapter_counts_and_its_copy_in_a_later_one_does_not(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    write_records(folder, GAME_EVENTS, records_of([JOIN, {**JOIN, "event_id": "only-before"}]))
    save_manifest(folder, load_manifest(folder).opened(Chapter(reason="the topic was created again")))
    write_records(folder, GAME_EVENTS, records_of([JOIN, {**JOIN, "event_id": "only-after"}]))
    with opened(tmp_path) as database:
        database.declare(METRICS)
        computed = database.compute(METRICS["events"], DAY, {}, tmp_path / "events.parquet")
        rows = database.rows(METRICS["events"], computed.path)
        assert [row["event_id"] for row in rows] == ["e1", "only-after", "only-before"]
        count, causes = database.causing_events(DAY, ArchivedUpto(1, {0: 2}), 10)
        assert (count, [one.event_id for one in causes]) == (1, ["only-after"])
        assert database.upto == ArchivedUpto(2, {0: 2})


def test_the_first_record_of_an_id_counts_wherever_its_copies_are(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    first = {**JOIN, "event_id": "x", "platform": "ios", "arrives": "2026-03-01T10:00:05Z"}
    other = {**JOIN, "event_id": "x", "platform": "web", "arrives": "2026-03-01T10:00:04Z"}
    write_records(folder, GAME_EVENTS, records_of([first]), partition=0)
    write_records(folder, GAME_EVENTS, records_of([other]), partition=1)
    with opened(tmp_path) as database:
        computed = database.compute(METRICS["events"], DAY, {}, tmp_path / "events.parquet")
        [row] = database.rows(METRICS["events"], computed.path)
    assert row["platform"] == "web", "Kafka took it first"


def test_an_archive_with_a_hole_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    for _ in range(3):
        manifest = write_records(folder, GAME_EVENTS, records_of([JOIN]))
    entries = manifest.current.entries
    chapter = manifest.current.model_copy(update={"entries": ()})
    holed = manifest.model_copy(update={"chapters": (chapter,)}).extended(entries[0], entries[2])
    save_manifest(folder, holed)
    with (
        opened(tmp_path) as database,
        pytest.raises(MetricError, match=r"lacks p0@1..1; mend it with `gamestream archive"),
    ):
        database.days_with_events()


def test_more_device_models_than_a_batch_are_all_known(tmp_path: Path) -> None:
    events = [{**JOIN, "event_id": f"e{n}", "device_model": f"iPhone17,{n}"} for n in range(25)]
    write_records(tmp_path / "archive", GAME_EVENTS, records_of(events))
    with pytest.MonkeyPatch.context() as patch, opened(tmp_path) as database:
        patch.setattr("gamestream_dagster.metrics.compute._BATCH", 10)
        computed = database.compute(METRICS["events"], DAY, {}, tmp_path / "events.parquet")
        rows = database.rows(METRICS["events"], computed.path)
    assert [row["device_category"] for row in rows] == ["phone"] * 25
