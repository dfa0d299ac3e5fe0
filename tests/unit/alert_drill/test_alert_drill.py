"""The alert drill without servers: each rule has a plant, keeps its measure, and is judged."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gamestream_dagster.alert_drill.inbox import Inbox, open_inbox
from gamestream_dagster.alert_drill.model import AlertVerdict, Command, Tried
from gamestream_dagster.alert_drill.pace import QUIET, SET_ASIDE, SMALLER, own_rules_set_aside, paced, write_paced
from gamestream_dagster.alert_drill.plants import CATALOGUE
from gamestream_dagster.alert_drill.run import choose
from gamestream_dagster.alerts.errors import RuleError
from gamestream_dagster.alerts.expression import parse
from gamestream_dagster.alerts.rules import ALERTS_FILE, Book, load_book
from gamestream_dagster.cli.main import build
from gamestream_dagster.drill.errors import DrillError
from gamestream_dagster.settings import PROJECT_ROOT


@cache
def book() -> Book:
    return load_book()


def objectives() -> list[str]:
    return [one.name for one in book().objectives]


def test_each_rule_is_planted_once() -> None:
    planted = [name for plant in CATALOGUE for name in plant.rules]
    assert sorted(planted) == sorted(rule.name for rule in book().rules)


def test_a_paced_rule_measures_the_same_series() -> None:
    for rule in book().rules:
        if rule.condition:
            assert parse(paced(rule, objectives())).series == rule.parsed.series, rule.name


def test_every_burn_rate_has_short_windows() -> None:
    for rule in book().rules:
        if "_burns_" in rule.name:
            condition = paced(rule, objectives())
            assert "[60s]" in condition, rule.name
            assert "[15s]" in condition, rule.name
            assert not {"h]", "d]", "m]"} & {condition[at : at + 2] for at in range(len(condition))}, rule.name


@pytest.mark.parametrize("name", SMALLER)
def test_a_rule_that_changed_stops_the_drill(name: str) -> None:
    changed = book().rule(name).model_copy(update={"condition": "alert_source_up == 0"})
    with pytest.raises(DrillError, match=f"{name} has no .* in its condition; change"):
        paced(changed, objectives())


def test_a_stack_reads_the_paced_rules_and_the_others_are_quiet(tmp_path: Path) -> None:
    write_paced(tmp_path, book(), ("high_kafka_lag", "job_parked"))
    found = load_book(tmp_path)
    assert found.rule("high_kafka_lag").condition == "kafka_consumer_lag > 2000"
    assert found.rule("high_kafka_lag").lasts.total_seconds() == 2
    assert found.rule("job_parked") == book().rule("job_parked")
    others = [rule for rule in found.rules if rule.condition and rule.name != "high_kafka_lag"]
    assert {(rule.condition, rule.lasts.total_seconds()) for rule in others} == {(QUIET, 0)}
    assert len(found.rules) == len(book().rules)


def test_a_stacks_own_rules_come_back(tmp_path: Path) -> None:
    own = tmp_path / ALERTS_FILE
    own.write_text("alerts: []\n")
    with own_rules_set_aside(tmp_path):
        write_paced(tmp_path, book(), ())
    assert own.read_text() == "alerts: []\n"
    assert [path.name for path in tmp_path.iterdir()] == [ALERTS_FILE]


def test_a_stack_without_own_rules_has_none_afterwards(tmp_path: Path) -> None:
    with own_rules_set_aside(tmp_path):
        write_paced(tmp_path, book(), ())
    assert not list(tmp_path.iterdir())


def test_own_rules_come_back_after_a_drill_that_was_killed(tmp_path: Path) -> None:
    write_paced(tmp_path, book(), ())
    (tmp_path / SET_ASIDE).write_text("alerts: []\n")
    with own_rules_set_aside(tmp_path):
        write_paced(tmp_path, book(), ("high_kafka_lag",))
    assert (tmp_path / ALERTS_FILE).read_text() == "alerts: []\n"


def test_the_runbooks_of_planted_rules_can_be_read() -> None:
    assert all((PROJECT_ROOT / book().rule(name).runbook).is_file() for plant in CATALOGUE for name in plant.rules)


def post(inbox: Inbox, route: str, title: str, message: str = "") -> int:
    body = json.dumps({"title": title, "message": message}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{inbox.port}/{route}", body, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_the_webhook_counts_messages_of_one_alert_and_can_refuse() -> None:
    lag, other = 'high_kafka_lag{flink_job="a"}', 'high_kafka_lag{flink_job="ab"}'
    with open_inbox() as inbox:
        assert post(inbox, "oncall", f"FIRING critical: {lag}") == 200
        inbox.refuses = True
        assert post(inbox, "oncall", f"FIRING critical: {lag}") == 503
        inbox.refuses = False
        many = f"10:00:00 FIRING critical: {lag}: much\n10:00:01 RESOLVED critical: {other}: much"
        assert post(inbox, "team", "2 messages about alerts", many) == 200
        assert inbox.told("FIRING", lag, "oncall") == 1
        assert inbox.told("FIRING", lag, "team") == 1
        assert inbox.told("RESOLVED", lag, "team") == 0
        assert inbox.told("RESOLVED", other, "team") == 1
        assert set(inbox.addresses(book()).values()) == {
            f"json://127.0.0.1:{inbox.port}/{name}" for name in ("oncall", "team")
        }


GOOD = Tried("a", "p", "a{}", 1.0, 2.0, {"oncall": (1, 1)}, (Command("gamestream status", 1),))


@pytest.mark.parametrize(
    ("tried", "verdict", "said"),
    [
        (GOOD, AlertVerdict.HELD, ""),
        (replace(GOOD, fired_seconds=None), AlertVerdict.NOT_HELD, "did not fire"),
        (replace(GOOD, resolved_seconds=None), AlertVerdict.NOT_HELD, "did not resolve"),
        (replace(GOOD, told={"oncall": (2, 1)}), AlertVerdict.NOT_HELD, "got 2 FIRING"),
        (replace(GOOD, told={"oncall": (1, 0)}), AlertVerdict.NOT_HELD, "0 RESOLVED"),
        (replace(GOOD, commands=(Command("gamestream x", 2, "no"),)), AlertVerdict.NOT_HELD, "exits with 2: no"),
        (replace(GOOD, commands=(Command("gamestream x", 2, "no", excused=True),)), AlertVerdict.HELD, ""),
        (replace(GOOD, commands=(Command("gamestream x", -1, "E", excused=True),)), AlertVerdict.NOT_HELD, "with -1"),
        (replace(GOOD, could_not="no Kafka"), AlertVerdict.COULD_NOT_RUN, "no Kafka"),
    ],
)
def test_a_rule_is_judged_by_all_that_it_must_do(tried: Tried, verdict: AlertVerdict, said: str) -> None:
    assert tried.verdict is verdict
    assert said in tried.why
    assert tried.as_data()["verdict"] == verdict.value


def test_a_chosen_rule_comes_alone_or_with_the_one_that_carries_it() -> None:
    (plant,) = choose(("messages_wait",), book())
    assert plant.rules == ("data_freshness", "messages_wait")
    (plant,) = choose(("mau_drop",), book())
    assert plant.rules == ("mau_drop",)
    assert choose((), book()) == CATALOGUE
    with pytest.raises(RuleError, match="there is no such alert"):
        choose(("never",), book())


def test_the_command_lists_every_alert_with_its_condition() -> None:
    shown = CliRunner().invoke(build(), ["alerts", "drill", "--list"])
    assert shown.exit_code == 0
    assert all(rule.name in shown.stdout for rule in book().rules)


def test_an_unknown_name_starts_no_server() -> None:
    unknown = CliRunner().invoke(build(), ["alerts", "drill", "--only", "never"])
    assert "never: there is no such alert" in str(unknown.exception)


def test_a_home_that_no_drill_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    refused = CliRunner().invoke(build(), ["alerts", "drill", "--on", str(tmp_path), "--only", "dau_drop"])
    assert "was not made by a drill" in str(refused.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]
