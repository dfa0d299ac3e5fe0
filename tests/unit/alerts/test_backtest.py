"""Rules over the past: what would have fired, and how well that matches the incidents."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gamestream_dagster.alerts.backtest import Episode, Incident, backtest, incidents_of, score, untried
from gamestream_dagster.alerts.errors import RuleError
from gamestream_dagster.alerts.rules import Book, load_book
from gamestream_dagster.alerts.samples import Sample
from gamestream_dagster.catalogue.topics import RAW_TOPIC
from gamestream_dagster.monitoring.history import PAST_SERIES, Minute, proven, rates, silence
from gamestream_dagster.reconciliation.results.proofs import FinishedRun
from gamestream_dagster.settings import Settings

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 30


def only(*names: str) -> Book:
    book = load_book()
    return book.model_copy(update={"rules": tuple(book.rule(name) for name in names)})


def at(hours: float) -> float:
    return (START + timedelta(hours=hours)).timestamp()


def incident(name: str, rule: str, begin: float, hours: float) -> Incident:
    times: dict[str, Any] = {"from": START + timedelta(hours=begin), "to": START + timedelta(hours=begin + hours)}
    return Incident.model_validate({"name": name, "rules": [rule], **times})


OUTAGES = [(50.5, 3.0), (130.25, 1.6), (411.0, 6.0), (650.75, 1.3)]
FLOODS = [(20.2, 0.4), (80.0, 2.0), (111.5, 0.25), (169.9, 1.0), (300.4, 0.5), (470.0, 3.0), (555.5, 0.3), (700.1, 1.0)]
UNPROVEN = [(350.0, 2.5), (610.0, 4.0)]
PROOF_HOURS = 0.25


def during(hour: float, spans: list[tuple[float, float]]) -> bool:
    return any(begin <= hour < begin + lasts for begin, lasts in spans)


def month() -> list[Minute]:
    """Minutes of a month: the rhythm of days, noise, quiet nights, outages, and floods of refused events."""
    dice = random.Random(7)
    found = []
    for number in range(DAYS * 24 * 60):
        hour = number / 60
        if during(hour, OUTAGES):
            continue
        busy = 1.2 - abs((hour % 24) - 14) / 12
        records = max(0, round(dice.gauss(60 * max(busy, 0.02), 8)))
        dead = sum(dice.random() < (0.2 if during(hour, FLOODS) else 0.002) for _ in range(records))
        if records:
            found.append(Minute(at(hour), records, dead))
    return found


def proofs() -> list[FinishedRun]:
    """A proof each quarter of an hour, and hours without one."""
    hours = [number * PROOF_HOURS for number in range(int(DAYS * 24 / PROOF_HOURS))]
    times = [START + timedelta(hours=hour) for hour in hours if not during(hour, UNPROVEN)]
    return [FinishedRun(f"{time}", time, "MATCH", "", 1, None, None) for time in times]


def test_planted_incidents_of_a_month_are_found_with_precision_and_recall() -> None:
    minutes, end = month(), at(DAYS * 24)
    samples = [*silence(RAW_TOPIC, minutes, at(0), end), *rates(minutes, at(0), end)]
    samples += proven("top_teams", proofs(), Settings(), at(0), end)
    book = only("high_dlq_rate", "data_freshness", "proof_is_old")
    episodes = backtest(book, samples, at(0), end)
    planted = [incident(f"outage {begin}", "data_freshness", begin, lasts) for begin, lasts in OUTAGES]
    planted += [incident(f"flood {begin}", "high_dlq_rate", begin, lasts) for begin, lasts in FLOODS]
    planted += [incident(f"no proof {begin}", "proof_is_old", begin, lasts) for begin, lasts in UNPROVEN]
    found = score(episodes, planted)
    assert (found.recall or 0) >= 0.9, found.missed
    assert (found.precision or 0) >= 0.9, found.false
    assert len(episodes) >= len(planted)


def test_an_episode_lasts_from_its_raise_to_its_end_and_one_may_still_stand() -> None:
    minutes = [Minute(at(hour / 60), 60, 0) for hour in range(60)]
    samples = list(silence(RAW_TOPIC, minutes, at(0), at(4)))
    (episode,) = backtest(only("data_freshness"), samples, at(0), at(4))
    assert (episode.began_at, episode.ended_at) == (at(2) + 60, None)
    assert episode.alert_id == f'data_freshness{{topic="{RAW_TOPIC}"}}'


def test_budgets_burn_over_the_past_as_they_do_now() -> None:
    runs = [
        FinishedRun(str(number), START + timedelta(minutes=15 * number), "DIFFERENT" if 20 <= number < 24 else "MATCH",
                    "", 1, None, None)
        for number in range(60)
    ]  # fmt: skip
    samples = list(proven("top_teams", runs, Settings(), at(0), at(12)))
    episodes = backtest(only("correctness_burns_14_4x"), samples, at(2), at(12))
    assert [(one.rule, one.began_at >= at(5)) for one in episodes] == [("correctness_burns_14_4x", True)]
    assert episodes[0].ended_at is not None


def test_a_score_counts_each_incident_and_each_false_alarm_once() -> None:
    planted = [incident("a", "data_freshness", 1, 1), incident("b", "data_freshness", 10, 1)]
    episodes = [
        Episode("data_freshness", "x", at(1.5), at(2), "m"),
        Episode("data_freshness", "y", at(2.2), at(3), "m"),  # within the grace after the end
        Episode("data_freshness", "z", at(5), at(6), "m"),
        Episode("high_dlq_rate", "w", at(10.5), at(11), "m"),  # another rule's
    ]
    found = score(episodes, planted)
    assert [one.name for one in found.missed] == ["b"]
    assert [one.alert_id for one in found.false] == ["z", "w"]
    assert (found.precision, found.recall) == (0.5, 0.5)
    assert (score([], []).precision, score([], []).recall) == (None, None)


def test_rules_without_a_past_are_named() -> None:
    missing = untried(load_book(), PAST_SERIES)
    assert missing["data_freshness"] == ()
    assert missing["high_kafka_lag"] == ("kafka_consumer_lag",)


GOOD = {"name": "a", "rules": ["data_freshness"], "from": "2026-01-01T00:00Z", "to": "2026-01-01T01:00Z"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a": 1}, "no list"),
        ([{**GOOD, "rules": ["never"]}], "there is no such alert"),
        ([{**GOOD, "to": "2025-01-01T00:00Z"}], "`to` is not after `from`"),
        ([{**GOOD, "from": "2026-01-01T00:00"}], "from:"),
        ([{**GOOD, "since": 1}], "since: Extra inputs"),
        ([{}], "name: Field required"),
    ],
)
def test_a_wrong_incident_is_named(content: Any, said: str) -> None:
    assert len(incidents_of([GOOD], "f.yaml", load_book())) == 1
    with pytest.raises(RuleError, match=said):
        incidents_of(content, "f.yaml", load_book())


def test_a_stretch_has_a_limit() -> None:
    with pytest.raises(RuleError, match="choose --from and --to closer together"):
        backtest(only("data_freshness"), [], 0, 100 * 86_400)


def test_a_sample_is_what_was_collected_in_its_minute() -> None:
    early = [Sample("hours_since_last_event", (), at(0), 5.0)]
    assert backtest(only("data_freshness"), early, at(0), at(0))
    assert not backtest(only("data_freshness"), early, at(1), at(2))
