"""`gamestream metrics` with what cannot be done: one sentence, exit code 2, and what to do next."""

from __future__ import annotations

from pathlib import Path

import pytest

from gamestream_dagster.settings import load_settings
from tests.support.cli import gamestream


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("show", "nothing"), "There is no metric 'nothing'; the metrics are: events,"),
        (("show", "events", "--day", "yesterday"), "--day 'yesterday' is not a day; write it as 2026-11-25."),
        (("backfill", "--from", "2026-02-30", "--to", "2026-03-01"), "--from '2026-02-30' is not a day"),
        (("backfill", "--from", "2026-03-02", "--to", "2026-03-01"), "is before --from 2026-03-02; swap them."),
        (("backfill", "--from", "2026-03-01", "--to", "2026-03-01", "--metric", "x"), "There is no metric 'x'"),
        (("backfill", "--from", "2026-03-01", "--to", "2026-03-01"), "The archive has no game event; run `gamestream"),
        (("explain", "dau", "--player", "ann"), "write `gamestream metrics explain retention`."),
        (("explain", "retention", "--player", "ann", "--time-zone", "Mars/Base"), "'Mars/Base' is no time zone"),
        (("list",), "nothing listens at"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    ended = gamestream(load_settings(home=tmp_path), "metrics", *arguments, GAMESTREAM_POSTGRES_PORT="1")
    assert ended.returncode == 2
    assert told in ended.words
    assert "Traceback" not in ended.words
