"""Alerts on a real Postgres: states, messages, silences and sending survive a crash at any point."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from gamestream_dagster.alerts.delivery import Letter
from gamestream_dagster.alerts.errors import AlertsError
from gamestream_dagster.alerts.samples import Sample, labels_of
from gamestream_dagster.alerts.silences import end_silence
from gamestream_dagster.alerts.store import Alert, PostgresAlerts, Severity
from gamestream_dagster.cli.main import build
from gamestream_dagster.clients.errors import TransientServiceError
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.monitoring.collect import SOURCES, Source
from gamestream_dagster.monitoring.watch import Round, watch
from gamestream_dagster.settings import Settings
from gamestream_dagster.warehouse.tables import alert_messages, alert_samples, alert_states, alerts
from tests.support.fakes.board_rows import own_database

pytestmark = pytest.mark.integration

ADDRESSES = {"GAMESTREAM_ALERTS_ONCALL": "json://oncall", "GAMESTREAM_ALERTS_TEAM": "json://team"}
OLD, NEW = 'data_freshness{topic="a"}', 'proof_is_old{board="b"}'


@dataclass
class Office:
    """Takes the letters; `down`: addresses that refuse."""

    letters: list[tuple[str, str]] = field(default_factory=list)
    down: frozenset[str] = frozenset()

    def __call__(self, address: str) -> Sender:
        return Sender(self, address)

    def take(self) -> list[str]:
        taken, self.letters = self.letters, []
        return [f"{address}: {title}" for address, title in taken]


@dataclass
class Sender:
    office: Office
    address: str

    def send(self, letter: Letter) -> str | None:
        if self.address in self.office.down:
            return "the service did not take the message"
        self.office.letters.append((self.address.removeprefix("json://"), letter.title))
        return None


@dataclass
class OnCall:
    settings: Settings
    office: Office

    def round(self, hours: float | None, environment: Mapping[str, str] = ADDRESSES, **more: float) -> Round:
        """One round, with a topic whose newest event is so old; None: Kafka does not answer."""

        def kafka(_: Settings, now: float) -> list[Sample]:
            if hours is None:
                raise TransientServiceError("Kafka", "no answer", "try again")
            return [Sample("hours_since_last_event", labels_of({"topic": "a"}), now, hours, {"newest": "p0@17"})]

        def verdicts(_: Settings, now: float) -> list[Sample]:
            labels = labels_of({"board": "b"})
            return [Sample(name, labels, now, value) for name, value in more.items()]

        sources: dict[str, Source] = {**dict.fromkeys(SOURCES, lambda *_: []), "kafka": kafka, "verdicts": verdicts}
        return watch(self.settings, sources=sources, environment=environment, open_sender=self.office)

    def execute(self, statement: sa.Executable) -> list[sa.Row]:
        with open_engine(self.settings) as engine, engine.begin() as link:
            done = link.execute(statement)
            return list(done) if done.returns_rows else []

    def command(self, *words: str) -> tuple[int, str]:
        own = {"GAMESTREAM_POSTGRES_DATABASE": self.settings.postgres_database}
        done = CliRunner().invoke(build(), ["alerts", *words, "--home", str(self.settings.home)], env=own)
        return done.exit_code, done.stdout


@pytest.fixture
def on_call(stack: Settings) -> Iterator[OnCall]:
    with own_database(stack) as settings:
        yield OnCall(settings, Office())


def test_people_are_told_once_of_each_transition_over_restarts(on_call: OnCall) -> None:
    told = []
    for hours in (0.1, 2, 2.5, 0.1, 0.1):
        on_call.round(hours)  # each round opens everything anew, as after a restart
        told.append(on_call.office.take())
    assert told == [
        [],
        [f"oncall: FIRING critical: {OLD}", f"team: FIRING critical: {OLD}"],
        [],
        [f"oncall: RESOLVED critical: {OLD}", f"team: RESOLVED critical: {OLD}"],
        [],
    ]
    (row,) = on_call.execute(sa.select(alerts))
    assert row.details["evidence"]['hours_since_last_event{topic="a"}'] == {"value": 2.5, "newest": "p0@17"}
    assert row.cleared_at is not None


def test_a_source_that_does_not_answer_neither_resolves_nor_fires(on_call: OnCall) -> None:
    on_call.round(2)
    on_call.office.take()
    blind = on_call.round(None)
    assert "Could not collect kafka: Kafka: no answer" in blind.sentence
    assert on_call.office.take() == [f"oncall: NO DATA critical: {OLD}", f"team: NO DATA critical: {OLD}"]
    on_call.round(None)
    on_call.round(2)
    assert on_call.office.take() == []
    on_call.round(0)
    assert len(on_call.office.take()) == 2


def test_a_crash_between_writing_and_sending_loses_no_message(on_call: OnCall) -> None:
    on_call.round(2, environment={})  # nobody can be told
    assert on_call.office.take() == []
    on_call.round(2)
    assert len(on_call.office.take()) == 2


def test_a_refused_message_waits_and_the_end_does_not_overtake_it(on_call: OnCall) -> None:
    on_call.office.down = frozenset({"json://team"})
    first = on_call.round(2)
    assert first.delivered.failed == ("route team: the service did not take the message",)
    on_call.round(0)
    assert on_call.office.take() == [f"oncall: FIRING critical: {OLD}", f"oncall: RESOLVED critical: {OLD}"]
    on_call.office.down = frozenset()
    on_call.round(0)
    assert on_call.office.take() == []  # not due yet
    on_call.execute(alert_messages.update().values(next_attempt_at=sa.func.now()))
    on_call.round(0)
    assert on_call.office.take() == [f"team: FIRING critical: {OLD}", f"team: RESOLVED critical: {OLD}"]
    (attempts,) = on_call.execute(sa.select(sa.func.max(alert_messages.c.attempts)))
    assert attempts[0] == 2


def test_many_waiting_messages_become_one_and_a_day_old_one_is_given_up(on_call: OnCall) -> None:
    with open_engine(on_call.settings) as engine:
        for number in range(12):
            PostgresAlerts(engine).raise_alert(Alert(f"job/a{number}", "job", Severity.HIGH, "parked"))
    assert on_call.round(0).delivered.sent == 24
    assert on_call.office.take() == ["oncall: 12 messages about alerts", "team: 12 messages about alerts"]
    on_call.round(2, environment={})
    on_call.execute(alert_messages.update().values(created_at=sa.func.now() - sa.text("interval '25 hours'")))
    assert on_call.round(2).delivered.expired == 2
    assert on_call.office.take() == []


def test_a_silenced_alert_is_raised_and_told_when_the_silence_ends(on_call: OnCall) -> None:
    code, shown = on_call.command("silence", "data_freshness", "--for", "1h", "--reason", "night", "--json")
    assert code == 0
    (silence,) = json.loads(shown)
    on_call.round(2)
    assert on_call.office.take() == []
    code, shown = on_call.command("list", "--json")
    lines = {one["alert_id"]: one for one in json.loads(shown)["alerts"]}
    assert (code, lines[OLD]["state"]) == (0, "silenced")
    assert "night" in lines[OLD]["why"]
    assert on_call.command("silence", "--end", silence["silence_id"])[0] == 0
    on_call.round(2)
    assert on_call.office.take() == [f"oncall: FIRING critical: {OLD}", f"team: FIRING critical: {OLD}"]
    assert on_call.command("list")[0] == 1
    with open_engine(on_call.settings) as engine, engine.begin() as link, pytest.raises(AlertsError, match="in force"):
        end_silence(link, silence["silence_id"])


def test_an_alert_that_comes_and_goes_under_a_silence_is_never_told(on_call: OnCall) -> None:
    assert on_call.command("silence", "data_freshness", "--label", "topic=a", "--reason", "night")[0] == 0
    for hours in (2, 0, 2, 0):
        on_call.round(hours)
    assert on_call.office.take() == []


def test_an_alert_of_a_sensor_is_told_like_one_of_a_rule(on_call: OnCall) -> None:
    with open_engine(on_call.settings) as engine:
        store = PostgresAlerts(engine)
        parked = Alert("job/a_v1", "job/a_v1", Severity.HIGH, "parked")
        store.raise_alert(parked)
        store.raise_alert(parked)
        on_call.round(0)
        assert on_call.office.take() == ["oncall: FIRING high: job/a_v1", "team: FIRING high: job/a_v1"]
        lines = {one["alert_id"]: one for one in json.loads(on_call.command("list", "--json")[1])["alerts"]}
        assert (lines["job/a_v1"]["state"], lines["job/a_v1"]["name"]) == ("firing", "job_parked")
        store.clear_alert("job/a_v1")
        store.raise_alert(parked)  # it ended and began between two rounds
    on_call.round(0)
    assert [one for one in on_call.office.take() if one.startswith("team")] == [
        "team: RESOLVED high: job/a_v1",
        "team: FIRING high: job/a_v1",
    ]


def test_only_series_that_a_condition_looks_back_at_are_kept_and_a_rule_that_is_gone_ends(on_call: OnCall) -> None:
    on_call.round(2, board_is_correct=0, reconciliation_age_seconds=5)
    assert {row.series for row in on_call.execute(sa.select(alert_samples))} == {"board_is_correct"}
    stale = {"rule": "gone", "labels": {}, "state": "firing", "since": 1, "evaluated_at": 1, "told_blind": False}
    on_call.execute(alert_states.insert().values(alert_id="gone", message="m", why="", **stale))
    on_call.round(2)
    assert "gone" not in {row.rule for row in on_call.execute(sa.select(alert_states))}
    assert NEW not in {row.alert_id for row in on_call.execute(sa.select(alerts).where(alerts.c.cleared_at.is_(None)))}


def test_the_list_before_the_first_round_says_so(on_call: OnCall) -> None:
    code, shown = on_call.command("list", "--json")
    found = json.loads(shown)
    assert (code, found["evaluated_at"]) == (0, None)
    assert {one["why"] for one in found["alerts"]} == {"never evaluated"}
