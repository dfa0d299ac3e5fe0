"""`gamestream demo`: the crowd plays over HTTP, and what was refused or late is shown with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from gamestream_dagster.cli import demo
from gamestream_dagster.cli.options import CouldNotRun
from gamestream_dagster.clients.ingest_api import BatchReply, EventVerdict
from gamestream_dagster.events import feed
from gamestream_dagster.events.game_judge import GameEventJudge
from gamestream_dagster.events.game_outcome import GameRefused
from gamestream_dagster.settings import load_settings


class Door:
    """Judges as the HTTP API does."""

    sent = 0

    def __init__(self, url: str, key: str) -> None:
        self.url, self.judge, self.seen = url, GameEventJudge(), set[bytes]()
        assert key == "key of demo"

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, events: Sequence[bytes]) -> BatchReply:
        import time

        now = int(time.time() * 1000)
        return BatchReply(tuple(self.verdict(event, now) for event in events))

    def verdict(self, event: bytes, now: int) -> EventVerdict:
        Door.sent += 1
        outcome = self.judge.judge(event, now)
        if isinstance(outcome, GameRefused):
            return EventVerdict("refused", outcome.reason.value, outcome.detail)
        if event in self.seen:
            return EventVerdict("duplicate", None, None, 0, 1)
        self.seen.add(event)
        return EventVerdict("accepted", "LATE" if outcome.late else None, None, 0, len(self.seen))


def test_the_crowd_plays_over_http_and_each_reason_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(feed, "IngestApi", Door)
    monkeypatch.setattr("gamestream_dagster.cli.keys.key_for_now", lambda settings, app: nullcontext(f"key of {app}"))
    monkeypatch.setattr(demo, "CROWD_SECONDS", 20)
    demo._play(load_settings(home=tmp_path / "home"))
    said = capsys.readouterr().err
    assert f"{Door.sent:,} sent" in said
    assert (tmp_path / "home" / "truth" / "demo.parquet").is_file()
    for word in ("ACCEPTED=", "DUPLICATE=", "REFUSED=", "MISSING_FIELD=", "TOO_OLD=", "for game-events-late"):
        assert word in said


def test_a_job_that_does_not_catch_up_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Behind:
        def __init__(self, *_: object) -> None:
            pass

        def left(self) -> list[tuple[str, str]]:
            return [("event_intake_v1", "game-events-raw")]

    monkeypatch.setattr("gamestream_dagster.flink_jobs.observe.caught_up.CatchingUp", Behind)
    with pytest.raises(CouldNotRun, match="event_intake_v1 has not read game-events-raw to its end"):
        demo.wait_until_read(load_settings(home=tmp_path / "home"), limit_seconds=0)
