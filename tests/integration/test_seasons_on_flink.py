"""Seasons on the real stack: streamed, reconciled, closed once, certified; a tampered certificate is told."""

from __future__ import annotations

import json
import time

import pytest
from confluent_kafka import Producer
from sqlalchemy import text
from typer.testing import CliRunner

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.cli.main import build
from gamestream_dagster.clients.postgres import open_engine
from gamestream_dagster.events.feed import replay_into
from gamestream_dagster.flink_jobs.control.manager import apply_job
from gamestream_dagster.provisioning import manager
from gamestream_dagster.provisioning.model import ResourceKind
from gamestream_dagster.reconciliation.certificates.seasons import close_seasons, stored_certificate
from gamestream_dagster.reconciliation.model.values import Sink
from gamestream_dagster.reconciliation.observe.sinks import read_topic, visible
from gamestream_dagster.reconciliation.repair import RepairOutcome, apply_repair, plan_repair
from gamestream_dagster.reconciliation.run import reconcile
from gamestream_dagster.settings import Season, Settings
from tests.support.world import World

HOUR = 3_600_000
KINDS = [ResourceKind.MIGRATION, ResourceKind.TABLE, ResourceKind.TOPIC]


@pytest.fixture
def weekly(world: World) -> Settings:
    return world.hold("weekly seasons", deploy_seasons)


def deploy_seasons(stack: Settings) -> Settings:
    """The job of weekly seasons, on the NBA shots of several weeks of 2014 and on two hours until now."""
    settings = stack.model_copy(update={"season": Season.WEEKLY, "season_lateness_seconds": 0})
    manager.apply(settings, manager.plan(settings, KINDS))
    replay_into(settings, "nba")
    producer, now = Producer(settings.kafka.options()), int(time.time() * 1000)
    for number in range(600):
        at = now - 2 * HOUR + number * 2 * HOUR // 600
        value = {"user_id": f"season-{number % 40}", "team_id": f"t{number % 4}", "team_name": f"T{number % 4}"}
        value |= {"score": number % 13, "event_time_millis": at, "readable_time": "", "event_type": "normal"}
        producer.produce("user-score", json.dumps(value), key=value["user_id"])
    assert producer.flush(30) == 0
    apply_job(settings, "season_boards_v1")
    return settings


def test_seasons_are_streamed_reconciled_closed_and_certified(weekly: Settings, tmp_path, monkeypatch):
    boards = ["season_players", "season_teams", "season_mvps"]
    run = reconcile(weekly, "drained", boards)
    assert run.differences == ()
    assert run.rows_compared > 0
    edits_of_a_season_are_named_and_repaired(weekly)
    closed = close_seasons(weekly, boards)
    assert closed
    assert all(one.done for one in closed), [one.news for one in closed]
    assert {one.news for one in close_seasons(weekly, boards)} == {"closed before"}

    one = next(found for found in closed if found.board == "season_players")
    with open_engine(weekly) as engine:
        certificate = stored_certificate(engine, one.board, one.span)
    assert certificate is not None
    assert certificate["verdict"] == "MATCH"
    monkeypatch.setenv("GAMESTREAM_SEASON", "weekly")
    file = tmp_path / "certificate.json"
    file.write_text(json.dumps(certificate), encoding="utf-8")
    verify = ["certificate", "verify", str(file), "--home", str(weekly.home)]
    assert CliRunner().invoke(build(), verify).exit_code == 0
    certificate["rows"][0]["total_score"] += 1
    file.write_text(json.dumps(certificate), encoding="utf-8")
    told = CliRunner().invoke(build(), verify)
    assert told.exit_code == 1
    assert "the file was changed" in told.stdout


def edits_of_a_season_are_named_and_repaired(weekly: Settings) -> None:
    """The newest season: a value edited and a row deleted in Postgres, and a foreign record in the topic."""
    board = load_boards(season=Season.WEEKLY)["season_players"]
    with open_engine(weekly) as engine, engine.begin() as database:
        newest = "season_id = (SELECT max(season_id) FROM season_players)"
        database.execute(text(f"UPDATE season_players SET team_name = 'Edited' WHERE rnk = 2 AND {newest}"))
        database.execute(text(f"DELETE FROM season_players WHERE rnk = 3 AND {newest}"))
    [key] = [row.record.key for row in visible(board, read_topic(weekly.kafka, board)) if row["rnk"] == 4]
    producer = Producer(weekly.kafka.options())
    producer.produce(board.topic, b"garbage", key=key)
    assert producer.flush(30) == 0
    run = reconcile(weekly, "drained", [board.name])
    found = {(one.sink, one.rank): one.cause for one in run.differences}
    edited = "EDITED_BY_HAND"
    assert found == {(Sink.POSTGRES, 2): edited, (Sink.POSTGRES, 3): edited, (Sink.KAFKA, 4): edited}
    assert {outcome for _, outcome in apply_repair(weekly, run, plan_repair(run))} == {RepairOutcome.DONE}
    again = reconcile(weekly, "drained", [board.name])
    assert again.differences == ()
    assert not plan_repair(again).steps
