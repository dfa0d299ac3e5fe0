"""`alerts.yaml`, `series.yaml`, `objectives.yaml`, `cases.yaml` and the runbooks, and what is refused in them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from gamestream_dagster.alerts.cases import Case, load_cases, run_case, values_of
from gamestream_dagster.alerts.errors import RuleError
from gamestream_dagster.alerts.rules import Book, humanized, load_book
from gamestream_dagster.alerts.runbooks import is_safe, read_runbook, words_of
from gamestream_dagster.alerts.store import Change
from gamestream_dagster.cli.main import build
from gamestream_dagster.monitoring.collect import SOURCES
from gamestream_dagster.settings import PROJECT_ROOT

RUNBOOKS = PROJECT_ROOT / "docs" / "runbooks"


@cache
def book() -> Book:
    return load_book()


@pytest.mark.parametrize("case", load_cases(), ids=lambda case: f"{case.rule}: {case.says}")
def test_each_case_leads_to_its_states(case: Case) -> None:
    assert run_case(case, book()).wrong == ()


def test_each_rule_has_a_case_in_which_it_fires_once_and_resolves_once() -> None:
    turns = {(case.rule, tuple(change for _, change in run_case(case, book()).changes)) for case in load_cases()}
    for rule in book().rules:
        if rule.condition:
            assert (rule.name, (Change.RAISED, Change.CLEARED)) in turns, rule.name


@pytest.mark.parametrize("rule", [rule.name for rule in load_book().rules if rule.condition])
def test_no_rule_fires_without_data(rule: str) -> None:
    silent = Case.model_validate(
        {"rule": rule, "says": "nothing is collected", "series": {"other": "0x5"}, "states": {"5m": "no data"}}
    )
    assert run_case(silent, book()).wrong == ()


def test_a_wrong_expectation_is_told() -> None:
    case = Case.model_validate(
        {
            "rule": "data_freshness",
            "says": "is wrong",
            "series": {"hours_since_last_event": "2x2"},
            "states": {"1m": "ok"},
        }
    )
    (wrong,) = run_case(case, book()).wrong
    assert "after 60 s data_freshness should be ok, and there is data_freshness firing" in wrong


def test_every_source_of_a_series_exists() -> None:
    assert {series.source for series in book().series.values()} - {"self"} == set(SOURCES)


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    wanted = {Path(rule.runbook).name for rule in book().rules}
    assert {path.name for path in RUNBOOKS.glob("*.md")} == wanted


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_a_runbook_answers_four_questions_with_commands_that_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == ["What it means", "How to see it", "What to do", "How to know that it is over"]
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (path.parent / link).exists(), link
    root, runbook = typer.main.get_command(build()), read_runbook(path)
    assert runbook.blocks
    for command in (*runbook.blocks, *runbook.mentioned):
        assert parses(root, words_of(command)), command
    assert runbook.safe == runbook.blocks


@pytest.mark.parametrize(
    ("command", "safe"),
    [
        ("gamestream status", True),
        ("gamestream jobs plan leaderboards_v1", True),
        ("gamestream jobs apply leaderboards_v1", False),
        ("gamestream repair --yes", False),
        ("gamestream reconcile --mode savepoint", False),
        ("gamestream archive --mend", False),
        ("gamestream down", False),
        ("gamestream psql -c 'SELECT 1'", True),
        ("gamestream psql -c 'DELETE FROM alerts'", False),
        ("gamestream psql", False),
        ("rm -rf gamestream status", False),
    ],
)
def test_a_command_that_changes_something_is_not_safe(command: str, safe: bool) -> None:
    assert is_safe(command) is safe


def parses(command: object, words: list[str]) -> bool:
    """Whether a command line is one of ours, options and arguments included."""
    try:
        current, rest = command, list(words)
        while rest and rest[0] in (getattr(current, "commands", None) or {}):
            current, rest = current.commands[rest[0]], rest[1:]
        if getattr(current, "commands", None):
            return False
        current.make_context("test", rest, resilient_parsing=False)
    except Exception as error:  # Typer has a copy of Click of its own
        if "ClickException" not in {kind.__name__ for kind in type(error).__mro__}:
            raise
        return False
    return True


def test_a_command_that_does_not_exist_does_not_parse() -> None:
    root = typer.main.get_command(build())
    assert parses(root, ["jobs", "list"])
    assert not parses(root, ["jobs", "list", "--never"])
    assert not parses(root, ["jobs", "never"])


def own(folder: Path, text: str) -> Book:
    (folder / "alerts.yaml").write_text(text, encoding="utf-8")
    return load_book(folder)


ENTRY = """
alerts:
  - {name: high_kafka_lag, condition: kafka_consumer_lag > 5, severity: warning, message: our own limit,
     runbook: docs/runbooks/high_kafka_lag.md}
  - {name: ours, condition: hours_since_last_event > 9, for: 2h, severity: high, message: nothing comes,
     runbook: docs/runbooks/data_freshness.md}
routes:
  - {name: night, severities: [critical], address_in: GAMESTREAM_ALERTS_NIGHT}
"""


def test_a_stack_replaces_and_adds_entries(tmp_path: Path) -> None:
    found = own(tmp_path, ENTRY)
    assert found.rule("high_kafka_lag").condition == "kafka_consumer_lag > 5"
    assert found.rule("ours").lasts.total_seconds() == 7200
    assert len(found.rules) == len(book().rules) + 1
    assert [route.name for route in found.routes] == ["oncall", "team", "night"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kafka_consumer_lag > 5", "kafka_consumer_leg > 5", "nothing collects the series 'kafka_consumer_leg'"),
        ("kafka_consumer_lag > 5", "kafka_consumer_lag >", "no PromQL"),
        ("kafka_consumer_lag > 5", "'rate(kafka_consumer_lag[5m]) > 5'", "the function rate is not supported"),
        ("for: 2h", "for: soon", "write a duration such as 30s"),
        ("for: 2h", "during: 2h", "during: Extra inputs"),
        ("severity: high", "severity: bad", "severity: Input should be"),
        ("our own limit", "'{{ $external.url }}'", "write {{ $labels.NAME }}"),
        ("name: ours", "name: high_kafka_lag", "the name is used twice"),
        ("name: ours", "name: 'no spaces'", "name: String should match"),
        ("docs/runbooks/data_freshness.md", "../../etc/passwd", "runbook: String should match"),
        ("GAMESTREAM_ALERTS_NIGHT", "https://hooks.example/secret", "address_in: String should match"),
        ("routes:", "rutes:", "'rutes' is unknown"),
        ("alerts:", "alerts: [", "no valid YAML"),
        (ENTRY, "- a", "no mapping"),
        ("condition: kafka_consumer_lag > 5", "raised_as: job/, condition: kafka_consumer_lag > 5", "and not both"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(RuleError, match=re.escape(said)) as raised:
        own(tmp_path, ENTRY.replace(old, new))
    assert "hooks.example" not in str(raised.value)


def test_messages_are_filled_in_as_prometheus_does() -> None:
    told = book().rule("high_kafka_lag").told({"flink_job": "a"}, 123_456.0)
    assert told == "123.5k records of Kafka wait for the job a, more than 100k"
    assert [humanized(value) for value in (0, 999, 1000, 1.5e9, -2500, 0.25, 0.001)] == [
        *("0", "999", "1k", "1.5G", "-2.5k", "250m", "1m")
    ]


def test_values_are_read_as_promtool_does() -> None:
    assert values_of("5 0+10x2 100-50x2 _ 1x1 _x2") == [5, 0, 10, 20, 100, 50, 0, None, 1, 1, None, None]
    for wrong in ("a", "1y3", "0x99999"):
        with pytest.raises(ValueError, match="value"):
            values_of(wrong)


def test_the_command_tests_the_rules_and_exits_with_1_when_one_is_wrong(tmp_path: Path) -> None:
    fine = CliRunner().invoke(build(), ["alerts", "test", "high_kafka_lag", "--home", str(tmp_path)])
    assert fine.exit_code == 0
    (tmp_path / "alerts.yaml").write_text(ENTRY, encoding="utf-8")
    wrong = CliRunner().invoke(build(), ["alerts", "test", "--home", str(tmp_path)])
    assert wrong.exit_code == 1
