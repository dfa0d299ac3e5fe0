"""The Flink format leaves out erased players as the archive does. No server: the format's own classes run in a JVM."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest

from gamestream_dagster.archive.decode import decode, decoding
from gamestream_dagster.archive.erasing import suppressed_rows
from gamestream_dagster.catalogue.game_rules import rules_document
from gamestream_dagster.clients.kafka_records import Raw
from gamestream_dagster.events.suppression import Suppression, suppress
from gamestream_dagster.flink_jobs.target.render import GAME_EVENTS, bindings_for
from gamestream_dagster.settings import Settings
from tests.support.fakes.streams import GAME_EVENTS as SOURCE
from tests.support.java_probe import compiled

NOW = 1_790_000_000_000
NAME = 'an"n é'
COLUMNS = ("reason", "user_id", "event_id", "properties", "digest", "field")


def event(user: str | None, kind: str = "feature_used", **properties: Any) -> bytes:
    told = {"event_id": "e", "event_type": kind, "event_time": NOW, "properties": properties or {"feature": "map"}}
    return orjson.dumps(told if user is None else told | {"user_id": user})


RECORDS = [
    event("ann"),
    event("annabel"),
    event(NAME),
    event("ben", "friend_added", friend_id="ann"),
    event("ben", "friend_added", friend_id=NAME),
    event("ben", "friend_added", friend_id="cleo"),
    event("ben", feature="ann"),
    event(None, feature="ann"),
    orjson.dumps({"user_id": "ann", "event_type": "no such type", "event_id": "e", "event_time": NOW}),
    orjson.dumps({"player_id": "ann"}),
    orjson.dumps({"nested": [{"user_id": "ann"}]}),
    orjson.dumps({"feature": "ann"}),
    b'{"user_id": "ann", broken',
    b'{"user_id": "annabel", broken',
    b"\xff ann \xff",
    b"ann",
    b"no player at all",
    b"\0\0\0\0\x09\x06ann\x04t1",
    b"\0\0\0\0\x09\x0eannabel\x04t1",
    b"\0\0\0\0\x09\x02x" + b"\x90\x03" + b"y" * 200 + b"\x06ann",
]


@pytest.fixture(scope="module")
def suppression(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Suppression]:
    stack = Settings(home=tmp_path_factory.mktemp("home"))
    suppress(stack, NAME, 12)
    return stack, suppress(stack, "ann", 7)


@pytest.fixture(scope="module")
def rows(suppression: tuple[Settings, Suppression], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the format makes of the records."""
    options = bindings_for(suppression[0], "event_intake_v1").values[GAME_EVENTS]
    assert isinstance(options, dict)
    command = compiled(tmp_path_factory.mktemp("probe"), "RowsProbe")["RowsProbe"]
    erased = options["gamestream-game-events.erased"]
    given = "\n".join([rules_document(), *(record.hex() for record in RECORDS), ""])
    java = [command[0], f"-Derased={erased}", *command[1:], *COLUMNS]
    done = subprocess.run(java, input=given, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_nothing_of_an_erased_player_is_in_a_row(rows: list[dict[str, Any]]) -> None:
    assert len(rows) == len(RECORDS)
    nothing = dict.fromkeys(COLUMNS) | {"reason": "ERASED"}
    erased = {at for at, row in enumerate(rows) if row["reason"] == "ERASED"}
    assert all(rows[at] == nothing for at in erased)
    assert erased == {0, 2, 8, 9, 10, 12, 14, 15, 17, 19}


def test_records_of_others_name_a_number(rows: list[dict[str, Any]]) -> None:
    friends = [json.loads(rows[at]["properties"])["friend_id"] for at in (3, 4, 5)]
    assert friends == ["erased-7", "erased-12", "cleo"]
    assert json.loads(rows[6]["properties"]) == {"feature": "ann"}, "a word that happens to be the name of the player"


def test_the_archive_agrees(rows: list[dict[str, Any]], suppression: tuple[Settings, Suppression]) -> None:
    raw = Raw(list(range(len(RECORDS))), [NOW] * len(RECORDS), [b"k"] * len(RECORDS), list(RECORDS))
    table = suppressed_rows(decode(decoding(SOURCE), 0, raw), suppression[1])
    emptied = {at for at, row in enumerate(table.to_pylist()) if row["value"] is None and row["properties"] is None}
    assert emptied == {at for at, row in enumerate(rows) if row["reason"] == "ERASED"}
    named = {at: json.loads(row["properties"]) for at, row in enumerate(table.to_pylist()) if row["properties"]}
    assert named == {at: json.loads(rows[at]["properties"]) for at in named}


def test_a_stack_without_erased_players_gives_no_option(tmp_path: Path) -> None:
    options = bindings_for(Settings(home=tmp_path), "event_intake_v1").values[GAME_EVENTS]
    assert "gamestream-game-events.erased" not in options
