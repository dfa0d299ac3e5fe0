"""The parts of the benchmark that need no server: turns, waits, parsing, the adapted scripts, peers, charts."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench import factorhouse, gate, proof, state, streaming
from bench.charts import Bar, Chart, charts_of, svg
from bench.dataset import Dataset, Draw
from bench.factorhouse import Place
from bench.figures import table
from bench.flink_runs import over_topic, steady_rate, topic_options, vertex_name
from bench.machine import cpu_seconds
from bench.peers import unlike
from bench.plain_consumer import Boards
from bench.produce import rate_printed
from bench.recompute import TOPIC, records_of, write_archive
from bench.results import BenchError, Result, Table, newest
from bench.rounds import alternate
from bench.sightings import Sightings, waits
from bench.summary import COLUMNS, ROWS, summary, write_summary
from gamestream_dagster.cli.main import build
from gamestream_dagster.events.acceptance import Decoded, outcomes
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.reconciliation.recompute.archive_database import ArchiveDatabase
from gamestream_dagster.reconciliation.recompute.boards import board_rows
from gamestream_dagster.reconciliation.recompute.events_at import ArchiveSource
from gamestream_dagster.reconciliation.recompute.facts import newest_event_times
from gamestream_dagster.settings import TopicFormat
from tests.support.fakes.streams import SCORES, scores_in


def test_contestants_take_turns_and_the_first_round_is_thrown_away() -> None:
    order: list[str] = []

    def run(name: str) -> int:
        order.append(name)
        return len(order)

    found = alternate({"a": lambda: run("a"), "b": lambda: run("b")}, 2)
    assert order == ["a", "b"] * 3
    assert found == {"a": [3, 5], "b": [4, 6]}


def test_a_marker_is_seen_with_the_first_value_that_tells_of_it() -> None:
    seen = Sightings()
    for value, at in ((1, 100.0), (1, 150.0), (4, 200.0), (5, 300.0)):
        seen.see(value, at)
    # markers 2 to 5, due at 90, 110, 130, 150: the batch at 200 tells of three of them
    assert waits([90, 110, 130, 150], 2, seen) == [110, 90, 70, 150]
    with pytest.raises(ValueError, match="marker 6 was never seen"):
        waits([0.0], 6, seen)


def test_cpu_time_is_read_past_a_name_with_blanks_and_parentheses() -> None:
    fields = ["S", *["0"] * 10, "250", "50", *["0"] * 30]
    assert cpu_seconds(f"42 (java (x) y) {' '.join(fields)}") == pytest.approx(3.0)


def test_the_rate_is_kafkas_last_word() -> None:
    text = "500 records sent, 99.5 records/sec (0.02 MB/sec)\n1000 records sent, 12345.678901 records/sec (2 MB/sec)\n"
    assert rate_printed(text, 1000) == pytest.approx(12345.678901)
    with pytest.raises(BenchError, match="2000 records"):
        rate_printed(text, 2000)


def test_the_same_seed_gives_the_same_accepted_events() -> None:
    def drawn(dataset: Dataset) -> list[tuple[bytes, bytes]]:
        with Draw(dataset) as source:
            return list(source.records())

    plain, skewed = Dataset(2000, 500), Dataset(2000, 500, zipf=1.1)
    records = drawn(plain)
    assert records == drawn(plain)
    assert records != drawn(Dataset(2000, 500, seed=2))
    for key, value in records:
        (outcome,) = outcomes(value, 1_800_000_000_000)
        assert isinstance(outcome, Decoded)
        assert json.loads(value)["user_id"].encode() == key
        assert json.loads(value)["score"] > 0  # at a team with a total of 0 the first demo divides by zero
    busiest = Counter(key for key, _ in drawn(skewed)).most_common(1)[0][1]
    assert busiest > 2000 * 0.1  # the busiest of 500 players by Zipf 1.1 has 18 % of all
    assert Dataset(2000, 500).topic != skewed.topic


@pytest.mark.parametrize(
    "spec", [spec for spec in load_jobs().values() if "user-score" in spec.reads], ids=lambda spec: spec.name
)
def test_a_job_is_moved_with_both_variants_of_its_source(spec) -> None:
    for encoding in TopicFormat:
        moved = over_topic(spec, scores_in("bench-x", encoding), {1: 20, 0: 10})
        text = "\n".join(file.text for file in moved.files())
        assert ("gamestream-avro" in text) == (encoding is TopicFormat.AVRO)
        assert "'topic' = 'user-score'" not in text
        assert "'scan.bounded.specific-offsets' = 'partition:0,offset:10;partition:1,offset:20'" in text
        assert moved.query == spec.query
    assert topic_options("t", None) == "'topic' = 't'"


TABLES = """-- // Source
USE CATALOG demo;
CREATE DATABASE IF NOT EXISTS games;
DROP TABLE IF EXISTS scores;
CREATE TABLE scores (a INT, WATERMARK FOR t AS t - INTERVAL '5' SECOND) WITH (
  'connector' = 'kafka', 'topic' = 'scores', 'properties.bootstrap.servers' = 'kafka-1:1',
  'format' = 'avro-confluent',
  'avro-confluent.schema-registry.url' = 'http://schema:1',
  'avro-confluent.basic-auth.user-info' = 'admin:admin',
  'scan.startup.mode' = 'latest-offset');
CREATE TABLE top_teams (rnk BIGINT, PRIMARY KEY (rnk) NOT ENFORCED) WITH (
  'connector' = 'upsert-kafka', 'topic' = 'top-teams', 'properties.bootstrap.servers' = 'kafka-1:1',
  'value.format' = 'avro-confluent',
  'value.avro-confluent.schema-registry.subject' = 'x',
  'sink.parallelism' = '3');
"""
JOB = """SET 'pipeline.name' = 'x';
SET 'table.exec.state.ttl' = '60 min';
ADD JAR 'file:///k.jar';
INSERT INTO t SELECT 1;
"""


def scripts(folder: Path) -> Path:
    for name in (factorhouse.TABLES, *factorhouse.JOBS):
        (folder / f"scripts_{name}").write_text(TABLES if name == factorhouse.TABLES else JOB)
    return folder


@pytest.mark.parametrize("score_format", TopicFormat)
def test_only_addresses_format_and_start_of_the_first_demo_change(tmp_path: Path, score_format: TopicFormat) -> None:
    place = Place("127.0.0.1:9", "http://127.0.0.1:8/r", "bench-t", {0: 5}, score_format)
    jobs = factorhouse.jobs_of(scripts(tmp_path), place)
    assert len(jobs) == 4
    assert dict(jobs[0].options) == {"table.exec.state.ttl": "60 min"}
    source, sink = jobs[0].rendered.definitions
    assert jobs[0].rendered.statement_set == "INSERT INTO t SELECT 1"
    assert "INTERVAL '5' SECOND" in source
    assert "'topic' = 'bench-t'" in source
    assert "'scan.startup.mode' = 'earliest-offset'" in source
    assert "kafka-1" not in source + sink
    assert "admin" not in source + sink
    assert ("'avro-confluent.url' = 'http://127.0.0.1:8/r'" in source) == (score_format is TopicFormat.AVRO)
    assert "'value.format' = 'json'" in sink
    assert "'topic' = 'bench-seed-top-teams'" in sink
    assert factorhouse.board_topics(tmp_path, place) == ["bench-seed-top-teams"]


def test_a_script_that_is_not_the_known_one_is_refused(tmp_path: Path) -> None:
    place = Place("b", "r", "t", None, TopicFormat.JSON)
    with pytest.raises(BenchError, match="holds 0 files"):
        factorhouse.jobs_of(tmp_path, place)
    (scripts(tmp_path) / f"scripts_{factorhouse.JOBS[1]}").write_text("SELECT 1;\nINSERT INTO t SELECT 1;")
    with pytest.raises(BenchError, match="not a SET"):
        factorhouse.jobs_of(tmp_path, place)


def test_the_plain_consumer_has_the_boards_of_the_recompute(tmp_path: Path) -> None:
    dataset = Dataset(3000, 120, rate=60)
    ends = write_archive(tmp_path / TOPIC, records_of(dataset))
    boards = Boards()
    with Draw(dataset) as source:
        for number, (_, value) in enumerate(source.records()):
            boards.take(json.loads(value), number % 4)
            boards.take(json.loads(value), number % 4)  # a copy counts once
            boards.advance(4)
    boards.finish()
    found = boards.rows()
    with ArchiveDatabase(ArchiveSource(tmp_path / TOPIC, late_ms=SCORES.lateness_ms), tmp_path) as archive:
        at = archive.at(ends)
        newest_event = max(newest_event_times(archive, at).values())
        for name, board in gate.boards().items():
            as_of = None if board.window is None else gate.last_tick(board, newest_event)
            expected = board_rows(archive, at, board, as_of=as_of)
            assert not unlike(found[name], expected), name
            assert not gate.difference(board, expected, expected)
            wrong = [{**row, board.entity[0]: "nobody"} if row is expected[3] else row for row in expected]
            assert "rank 4 has" in gate.difference(board, wrong, expected)
            assert "9 rows in place of 10" in gate.difference(board, expected[:-1], expected)


def test_charts_are_xml_and_name_their_run() -> None:
    bars = [Bar("a <b>", 100, 90, 120), Bar("c", 10_000, 9_000, 11_000)]
    for logarithmic in (False, True):
        text = svg(Chart("x", "A & B", "events per second", "streaming 2026", bars, logarithmic))
        widths = [float(one.get("width", 0)) for one in ET.fromstring(text).iter() if one.get("fill") == "#3d7ea6"]
        assert widths[0] < widths[1]
        assert "run streaming 2026" in text
        assert "10,000" in text
    with pytest.raises(ValueError, match="not above 0"):
        svg(Chart("x", "t", "u", "s", [Bar("zero", 0, 0, 1)], logarithmic=True))


def test_results_are_stored_as_json_and_table_and_found_again(tmp_path: Path) -> None:
    result = Result("produce", {"rounds": 5})
    rates = {"median": 3.0, "min": 1.0, "max": 4.0, "rounds": 5}
    result.figures["contestants"] = {"simulator": {"per_second": rates}}
    result.tables.append(Table("Rates", ["what", "rate"], [["simulator", 3.0]]))
    result.notes.append("a note")
    path = result.store(tmp_path)
    found = newest(tmp_path, "produce")
    assert found is not None
    assert found["figures"]["contestants"]["simulator"]["per_second"] == rates
    assert found["machine"]["cores"] >= 1
    assert [chart.name for chart in charts_of(found, "s")] == ["produce"]
    assert "| simulator | 3.00 |" in path.with_suffix(".md").read_text()
    assert newest(tmp_path, "latency") is None


def test_an_unknown_measure_is_refused_before_anything_starts() -> None:
    done = CliRunner().invoke(build(), ["bench", "warp"])
    assert done.exit_code != 0
    assert "there is no measure 'warp'" in str(done.exception)


def produced(hour: int, simulator: float) -> Result:
    spread = {"min": simulator - 1, "median": simulator, "max": simulator + 1, "rounds": 5}
    baseline = {"min": 90.0, "median": 100.0, "max": 110.0, "rounds": 5}
    names = {"simulator": spread, "replay of a file": spread, "kafka-producer-perf-test": baseline}
    figures = {"contestants": {name: {"per_second": found} for name, found in names.items()}}
    return Result("produce", {"events": 5}, figures=figures, began=datetime(2026, 1, 1, hour, tzinfo=UTC))


def test_the_page_gets_one_row_per_goal_from_the_newest_run(tmp_path: Path) -> None:
    produced(1, 90.0).store(tmp_path)
    produced(2, 40.0).store(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("Story.\n<!-- bench:summary -->\nold\n<!-- /bench -->\nMore.\n")
    assert write_summary(page, tmp_path) == ["produce_20260101T020000Z"]
    text = page.read_text()
    assert "old" not in text
    assert text.startswith("Story.\n")
    assert text.endswith("<!-- /bench -->\nMore.\n")
    link = "[produce_20260101T020000Z](../bench/results/produce_20260101T020000Z.md)"
    row = "| simulator over kafka-producer-perf-test | 0.5 times | 40.0 (39.0 to 41.0) events/s | 0.400 | **no** |"
    assert f"{row} {link} |" in text
    assert "| both jobs, 20,000 players | 60,000 events/s | not measured: `gamestream bench streaming` |" in text
    assert text.count("\n| ") == len(ROWS) + 2
    write_summary(page, tmp_path)
    assert page.read_text() == text


def test_a_page_without_a_place_for_the_table_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Story.\n")
    with pytest.raises(BenchError, match="has no place for the table"):
        write_summary(page, tmp_path)
    assert page.read_text() == "Story.\n"


def test_the_page_names_exactly_the_stored_results() -> None:
    root = Path(__file__).parents[3]
    text = "".join(page.read_text(encoding="utf-8") for page in sorted((root / "docs").glob("performance*.md")))
    runs = {path.stem for path in (root / "bench" / "results").iterdir()}
    assert {run for run in runs if run not in text} == set()
    assert {run for run in re.findall(r"[a-z]+_2026\d+T\d+Z", text) if run not in runs} == set()
    cells, _ = summary(root / "bench" / "results")
    assert table(COLUMNS, cells) in text, "run `gamestream bench charts`"


def test_state_is_told_by_the_median_of_rounds_and_a_player_by_the_difference() -> None:
    def rounds(players: int) -> list[state.Filled]:
        return [
            state.Filled(
                {"j": state.Held(100 * players + extra, {"1: Sum": 100 * players, "2: Rank": 7}, [5, 9])}, heap
            )
            for extra, heap in ((0, 1000 * players), (4, 1004 * players), (9, 999 * players))
        ]

    cases = [state._case(players, False, rounds(players)) for players in (10, 110)]
    assert cases[0]["jobs"]["j"]["state_bytes"] == {"min": 1000, "median": 1004, "max": 1009, "rounds": 3}
    assert cases[0]["jobs"]["j"]["duration_ms"] == {"min": 5, "median": 7, "max": 9, "rounds": 6}
    assert state._slopes(cases) == {"j": {"all": 100, "1: Sum": 100}, "both jobs": {"live heap": 1000}}
    assert state._slopes(cases[:1]) == {}


def test_what_an_event_takes_in_each_task_is_told_by_number_of_players() -> None:
    def case(players: int, events: int, busy_ms: dict[str, float], **marks: bool) -> dict[str, Any]:
        found = {"events": events, "busy_ms": busy_ms}
        return {"players": players, "main": False, "swept": True, "contestants": {streaming.OURS: found}} | marks

    cases = [
        case(20, 1000, {"scan": 50, "rank": 49, "rare": 0.5}, main=True),
        case(1, 1000, {"scan": 50, "rank": 1, "rare": 0}),
        case(300, 2000, {"scan": 100, "rank": 300, "rare": 1}),
        case(20, 1000, {"scan": 900, "rank": 900, "rare": 900}, swept=False),
    ]
    table = streaming._profile(cases)
    assert table.columns == ["job and vertex", "1 players", "20 players", "300 players"]
    assert table.rows == [["scan", 50, 50, 50], ["rank", 1, 49, 150], ["all tasks", 51, 99.5, 200.5]]


def test_a_vertex_has_one_name_in_every_submission() -> None:
    assert vertex_name(3, "Rank[12] -> Calc[13]") == vertex_name(3, "Rank[99] -> Calc[100]") == "3: Rank -> Calc"


def test_the_steady_rate_leaves_out_the_start_the_end_and_the_pauses_of_the_ledger() -> None:
    # the ledger is written each second, 100 events a second; looked at twice a second; a slow start
    written = [0, 0, 0, 50, 150, 250, 350, 450, 550, 650, 750, 850, 950, 1000]
    samples = [(at / 2, written[at // 2]) for at in range(2 * len(written))]
    assert steady_rate(samples, 1000) == pytest.approx(100)
    assert steady_rate(samples[:10], 1000) is None
    assert steady_rate([], 1000) is None


def test_a_proof_of_a_small_archive_matches(tmp_path: Path) -> None:
    write_archive(tmp_path / TOPIC, proof.records(3000))
    proof.prepare(tmp_path)
    found = proof.one_round(tmp_path)
    assert found["verdict"] == "MATCH"
    assert set(found["seconds"]) >= {proof.PROOF, proof.SCAN, "boards", "one board"}
