"""`gamestream reconcile --metrics DATE`: what it prints, and how it ends."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from gamestream_dagster.reconciliation.live import run as live_run
from gamestream_dagster.reconciliation.live.model import DayCause, DayProof, LiveNumber
from gamestream_dagster.reconciliation.model.values import Verdict
from gamestream_dagster.settings import Settings
from tests.support.cli import Ended, gamestream

DAY = date(2026, 11, 25)
OUTPUT = ("event_counts", "events", "events_agg_1min")
LATE = LiveNumber(*OUTPUT, ("level_start",), 1_200, 1_203, {DayCause.LATE: -4, DayCause.DUPLICATE: 1})
EDITED = LiveNumber(*OUTPUT, ("player_join",), 12, 10, {DayCause.LIVE_ROWS: 2})
MONEY = LiveNumber(
    "revenue_daily",
    "refunds_usd",
    "refunds_1min",
    (),
    Decimal("10.500000"),
    Decimal(12),
    {DayCause.LATE: Decimal("-1.5")},
)
VERSIONS = {"event_counts": 2, "revenue_daily": 1}
WITHOUT = {"feature_engagement_daily and feature_adoption_1min": "no job; deploy it with `gamestream jobs apply a_v1`."}
EXPLAINED = DayProof(DAY, Verdict.EXPLAINED, "the differences add up: LATE", VERSIONS, (LATE, MONEY), WITHOUT)
DIFFERENT = DayProof(DAY, Verdict.DIFFERENT, "UNEXPLAINED differences of player_join", VERSIONS, (LATE, EDITED, MONEY))
AWAY = DayProof(DAY, Verdict.COULD_NOT_RUN, f"{DAY} is not settled; settle it")


def proving(home: Path, monkeypatch: pytest.MonkeyPatch, proof: DayProof, *arguments: str) -> Ended:
    monkeypatch.setattr(live_run, "reconcile_day", lambda _settings, day, say: proof if day == DAY else None)
    return gamestream(Settings(home=home), "reconcile", "--metrics", str(DAY), *arguments)


@pytest.mark.parametrize(
    ("proof", "code", "texts"),
    [
        (
            EXPLAINED,
            0,
            (
                "settle_version: event_counts 2, revenue_daily 1",
                "events of level_start",
                "1,200",
                "1,203",
                "LATE -4, DUPLICATE +1",
                "10.5",
                "LATE -1.5",
                "EXPLAINED",
                "Not compared: feature_engagement_daily and",
            ),
        ),
        (DIFFERENT, 1, ("UNEXPLAINED_LIVE_ROWS +2", "DIFFERENT", "--board events_agg_1min")),
        (AWAY, 2, (f"nothing is said about {DAY}", "is not settled")),
    ],
)
def test_a_day_is_printed_with_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proof: DayProof, code: int, texts: tuple[str, ...]
) -> None:
    ended = proving(tmp_path, monkeypatch, proof)
    assert ended.returncode == code
    assert all(text in ended.stdout + ended.stderr for text in texts)


def test_the_json_of_a_day_adds_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(proving(tmp_path, monkeypatch, DIFFERENT, "--json").stdout)
    assert (found["verdict"], found["day"], found["settle_versions"]) == ("DIFFERENT", "2026-11-25", VERSIONS)
    for one in found["numbers"]:
        live, settled, difference, *causes = map(
            Decimal, (one["live"], one["settled"], one["difference"], *one["causes"].values())
        )
        assert sum(causes) == difference == live - settled
    assert found["numbers"][-1]["causes"] == {"LATE": "-1.5"}


@pytest.mark.parametrize(
    "arguments",
    [("--board", "top_teams"), ("--sink", "kafka"), ("--mode", "drained"), ("--engine", "flink"), ("--intake",)],
)
def test_a_day_takes_no_other_options(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = gamestream(Settings(home=tmp_path), "reconcile", "--metrics", str(DAY), *arguments)
    assert ended.returncode == 2
    assert "--metrics" in ended.stderr


def test_a_text_that_is_no_date_is_refused(tmp_path: Path) -> None:
    ended = gamestream(Settings(home=tmp_path), "reconcile", "--metrics", "yesterday")
    assert ended.returncode == 2
    assert "yesterday" in ended.stderr
