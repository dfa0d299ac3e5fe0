"""`gamestream logs`: of one of our servers, and of other machines; `gamestream simulate logs`."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from gamestream_dagster.cli.main import build


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build(), list(arguments))


def test_the_rules_are_listed_beside_the_logs_of_our_servers(tmp_path: Path) -> None:
    assert "ssh_brute_force" in run("logs", "rules").stdout
    assert "choose from kafka" in str(run("logs", "nobody", "--home", str(tmp_path)).exception)


def test_options_of_a_file_do_not_fit_stdin(tmp_path: Path) -> None:
    assert "leave them out" in str(run("logs", "ship", "-", "--follow", "--home", str(tmp_path)).exception)


def test_a_simulated_log_has_a_label_for_each_line(tmp_path: Path) -> None:
    log = tmp_path / "sample.log"
    assert run("simulate", "logs", str(log), "--lines", "200", "--start", "2026-01-01T00:00:00").exit_code == 0
    labels = [json.loads(line) for line in (tmp_path / "sample.log.labels.jsonl").read_text().splitlines()]
    assert len(log.read_text().splitlines()) == len(labels) == 200
    assert {"source", "failed", "succeeded", "rules"} <= set(labels[0])
    first = log.read_text()
    run("simulate", "logs", str(log), "--lines", "200", "--start", "2026-01-01T00:00:00")
    assert log.read_text() == first
