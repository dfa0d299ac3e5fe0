"""What counts as a success, what the pages show of hostile names, and that the archive's counts find faults."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gamestream_dagster.archive.manifest import ArchivedFile
from gamestream_dagster.archive.manifest_file import load_manifest, save_manifest
from quality.data_docs import _index, _make_local
from quality.results import ExpectationResult, QualityError, QualityResult, Severity, SuiteResult, SuiteState
from quality.suites.archive import holds_nothing, read_partitions
from tests.support.fakes.streams import SCORES

HELD = ExpectationResult("s", "rnk is never empty", "kind", "rnk", True, 10, 0, Severity.CRITICAL)
FAILED = dataclasses.replace(HELD, success=False, unexpected=1, detail="<script>alert(1)</script>")
SUITE = SuiteResult("s", "S", "s", 10, 1, (HELD,))


def test_a_suite_that_evaluated_nothing_fails() -> None:
    assert SUITE.success
    assert dataclasses.replace(SUITE, evaluated=0).state is SuiteState.FAILS
    assert not dataclasses.replace(SUITE, reason="Table s does not exist").success
    assert not QualityResult((), Path("index.html"), 0.0).success


def test_a_suite_without_rows_holds_where_none_are_right_and_waits_where_nothing_is_to_compare() -> None:
    empty = dataclasses.replace(SUITE, evaluated=0, expectations=(), empty="top_teams has no row, nor its recompute.")
    assert empty.success
    assert empty.sentence() == "top_teams has no row, nor its recompute."
    waiting = dataclasses.replace(empty, empty="", waiting="run `gamestream reconcile`.")
    assert waiting.state is SuiteState.NOT_RUN
    assert waiting.sentence() == "Not run yet: run `gamestream reconcile`."
    broken = dataclasses.replace(SUITE, expectations=(FAILED,))
    for suites, state in {
        (SUITE, empty): SuiteState.HOLDS,
        (SUITE, waiting): SuiteState.NOT_RUN,
        (broken, waiting): SuiteState.FAILS,
        (): SuiteState.NOT_RUN,
    }.items():
        result = QualityResult(suites, Path("index.html"), 0.0)
        assert (result.state, result.success) == (state, state is SuiteState.HOLDS)


def test_the_index_tells_what_has_not_run_from_what_fails() -> None:
    page = _index((dataclasses.replace(SUITE, evaluated=0, expectations=(), waiting="no run"),), {})
    assert "not run yet" in page
    assert "not all have run" in page
    assert "pill bad" not in page


def test_a_warning_is_shown_but_does_not_fail() -> None:
    warning = dataclasses.replace(FAILED, severity=Severity.WARNING)
    suite = dataclasses.replace(SUITE, expectations=(HELD, warning))
    assert suite.success
    assert suite.failed() == (warning,)
    assert not dataclasses.replace(SUITE, expectations=(HELD, FAILED)).success


def test_the_sentence_says_what_broke() -> None:
    assert SUITE.sentence() == "1 expectation holds over 10 rows."
    assert "rnk is never empty" in dataclasses.replace(SUITE, expectations=(FAILED,)).sentence()


def test_a_result_is_json() -> None:
    plain = json.loads(json.dumps(QualityResult((SUITE,), Path("a/index.html"), 1.5).as_dict()))
    assert plain["success"] is True
    assert plain["suites"][0]["success"] is True
    assert plain["suites"][0]["expectations"][0]["severity"] == "critical"


def test_the_index_escapes_what_was_seen_and_says_what_fails() -> None:
    page = _index((dataclasses.replace(SUITE, expectations=(FAILED,)),), {"s": "validations/s/x.html"})
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "does not hold" in page
    assert 'href="validations/s/x.html"' in page


def test_pages_lose_everything_that_comes_from_outside(tmp_path: Path) -> None:
    page = tmp_path / "validations" / "s" / "r" / "p.html"
    page.parent.mkdir(parents=True)
    page.write_text(
        '<html><head><link rel="stylesheet" href="https://cdn.example/x.css"/><script src="https://cdn.example/x.js">'
        '</script></head><body><script>\nboom()</script><img class="a"\n src="https://cdn.example/x.png"/>kept</body></html>',
        encoding="utf-8",
    )
    assert _make_local(tmp_path) == {"s": "validations/s/r/p.html"}
    text = page.read_text(encoding="utf-8")
    assert "https://" not in text
    assert "boom" not in text
    assert "kept" in text
    assert '<link rel="stylesheet" href="../../../data_docs.css">' in text
    assert "default-src 'none'" in text


def test_great_expectations_is_told_not_to_call_home() -> None:
    code = "import os, quality; print(os.environ['GX_ANALYTICS_ENABLED'])"
    given = {**os.environ, "GX_ANALYTICS_ENABLED": "true"}
    said = subprocess.run(
        [sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.strip() == "false"


def _archived(archive: Path, first: int, last: int, says: dict[str, Any] | None = None, **changed: str) -> None:
    """Write a file of partition 0 and name it in the manifest; `says` goes into the manifest in place of the truth."""
    folder = archive / "user-score"
    folder.mkdir(parents=True, exist_ok=True)
    manifest = load_manifest(folder)
    columns = {
        "topic": "'user-score'",
        '"partition"': "0::INT",
        '"offset"': "range::BIGINT",
        "kafka_timestamp": "1::BIGINT",
        "user_id": "'u'",
        "team_id": "'t'",
        "team_name": "'T'",
        "score": "1::BIGINT",
        "event_time_millis": "1::BIGINT",
        "reason": "NULL::VARCHAR",
    } | changed
    select = ", ".join(f"{value} AS {name}" for name, value in columns.items())
    path = folder / f"0-{first}-{last}.parquet"
    with duckdb.connect() as link:
        link.execute(f"COPY (SELECT {select} FROM range({first}, {last + 1})) TO '{path}' (FORMAT parquet)")
    count = last - first + 1
    named = {"path": path.name, "partition": 0, "from_offset": first, "first_offset": first, "last_offset": last}
    named |= {
        "next_offset": last + 1,
        "records": count,
        "rows": count,
        "gaps": (),
        "columns": ("team_id", "team_name", "score"),
        **(says or {}),
    }
    named["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    save_manifest(folder, manifest.extended(ArchivedFile(**named)))


def test_the_archives_counts(tmp_path: Path) -> None:
    _archived(tmp_path, 0, 99)
    _archived(tmp_path, 100, 149, reason="CASE WHEN range < 110 THEN 'NOT_JSON' END", score="NULL::BIGINT")
    (row,) = read_partitions(tmp_path / "user-score", SCORES).to_dict("records")
    assert (row["topic"], row["files"], row["records"], row["accepted"]) == ("user-score", 2, 150, 140)
    assert (row["holes_and_overlaps"], row["rows_astray"], row["offsets_astray"]) == (0, 0, 0)
    assert row["accepted_incomplete"] == 40


def test_the_archives_counts_find_holes_lost_rows_and_strange_offsets(tmp_path: Path) -> None:
    _archived(tmp_path, 0, 99)
    _archived(tmp_path, 110, 149, says={"rows": 45, "records": 45})
    _archived(tmp_path, 150, 159, **{'"offset"': "range + 1000"})
    (row,) = read_partitions(tmp_path / "user-score", SCORES).to_dict("records")
    assert row["holes_and_overlaps"] == 1
    assert row["rows_astray"] == 5
    assert row["offsets_astray"] == 1


def test_an_archived_file_that_is_gone_is_told(tmp_path: Path) -> None:
    _archived(tmp_path, 0, 99)
    (tmp_path / "user-score" / "0-0-99.parquet").unlink()
    with pytest.raises(QualityError, match="gone"):
        read_partitions(tmp_path / "user-score", SCORES)


def test_an_archive_without_files_is_empty(tmp_path: Path) -> None:
    assert holds_nothing(tmp_path / "user-score")
    (tmp_path / "user-score").mkdir()
    save_manifest(tmp_path / "user-score", load_manifest(tmp_path / "user-score"))
    assert holds_nothing(tmp_path / "user-score")
    _archived(tmp_path, 0, 9)
    assert not holds_nothing(tmp_path / "user-score")
