"""An erase over stores of memory: its request, its certificate, what verify finds, and runs that are killed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gamestream_dagster.events.suppression import hash_of, load_suppression, stack_key
from gamestream_dagster.privacy import erase as module
from gamestream_dagster.privacy import requests as requests_module
from gamestream_dagster.privacy.certificate import EraseCertificate, Part, Verdict, is_erase, verify
from gamestream_dagster.privacy.erase import erase, request_erase
from gamestream_dagster.privacy.errors import ErasureError
from gamestream_dagster.privacy.export import MANIFEST, export
from gamestream_dagster.privacy.player import Player
from gamestream_dagster.privacy.requests import State, ask_erase
from gamestream_dagster.privacy.stores.model import Found, Rows, Say
from gamestream_dagster.settings import Settings
from tests.support.fakes.erase_requests import MemoryRequests

ANN, BEN = "ann", "ben"
HOUR = 3_600_000


@dataclass
class MemoryStore:
    """Values by player. `keeps` says why an erase leaves them, `clean_at` when retention removes them."""

    name: str
    held: dict[str, list[str]]
    clean_at: int | None = None
    keeps: str = ""
    fails: int = 0
    """How many calls of `erase` are killed half way."""

    def scan(self, player: Player) -> list[Found]:
        count = sum(len(values) for user, values in self.held.items() if player(user))
        return [Found(f"place of {self.name}", count, self.clean_at, self.keeps)] if count else []

    def export(self, player: Player) -> Iterator[tuple[str, Rows]]:
        yield self.name, ({"value": one} for user, values in self.held.items() if player(user) for one in values)

    def erase(self, player: Player, request: int, say: Say) -> int:
        if self.clean_at is not None or self.keeps:
            return 0
        if self.fails:
            self.fails -= 1
            for user in [user for user in self.held if player(user)]:
                self.held[user] = self.held[user][1:]
            raise KeyboardInterrupt
        return sum(len(self.held.pop(user)) for user in [user for user in self.held if player(user)])


@dataclass
class World:
    settings: Settings
    stores: list[MemoryStore]
    requests: MemoryRequests

    def of(self, _since: datetime | None) -> list[MemoryStore]:
        return self.stores

    def erase(self, player: str = ANN) -> EraseCertificate:
        number = request_erase(self.settings, player, self.of).number
        return erase(self.settings, number, stores=self.of)


@pytest.fixture
def world(tmp_path: Path, monkeypatch) -> World:
    table = MemoryRequests()

    @contextmanager
    def opened(_settings: Settings) -> Iterator[MemoryRequests]:
        yield table

    monkeypatch.setattr(module, "open_requests", opened)
    monkeypatch.setattr(requests_module, "open_requests", opened)
    stores = [MemoryStore(name, {ANN: ["a", "b"], BEN: ["c"]}) for name in ("archives", "postgres", "files")]
    return World(Settings(home=tmp_path), stores, table)


def test_an_erase_removes_the_player_everywhere_and_nobody_else(world: World) -> None:
    made = world.erase()
    assert made.verdict is Verdict.ERASED
    assert [(one.store, one.found, one.removed, one.left) for one in made.places] == [
        ("archives", 2, 2, 0), ("files", 2, 2, 0), ("postgres", 2, 2, 0),
    ]  # fmt: skip
    assert [store.held for store in world.stores] == [{BEN: ["c"]}] * 3
    assert verify(world.settings, made, world.of) == []


def test_afterwards_nothing_holds_the_id(world: World) -> None:
    made = world.erase()
    [request] = world.requests.all()
    assert (request.state, request.player) == (State.FINISHED, None)
    assert ANN not in json.dumps(made.model_dump(mode="json"))
    assert ANN not in repr(request)
    assert load_suppression(world.settings)(ANN)
    assert made.subject == hash_of(stack_key(world.settings), ANN)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_run_that_is_killed_is_completed_and_ends_the_same(world: World, place: int) -> None:
    world.stores[place].fails = 1
    with pytest.raises(KeyboardInterrupt):
        world.erase()
    assert world.requests.rows[1].state is State.OPEN
    made = world.erase()  # the same request: its plan is the frozen one
    assert made.request == 1
    assert [(one.found, one.removed, one.left) for one in made.places] == [(2, 2, 0)] * 3


def asked(world: World) -> int:
    """The number of a request that came over HTTP."""
    requests: Any = world.requests
    return ask_erase(world.settings, requests, ANN, "api:support").number


def test_a_request_without_a_plan_is_scanned_before_anything_is_changed(world: World) -> None:
    number = asked(world)
    assert world.requests.rows[number].plan is None
    world.stores[0].fails = 1
    with pytest.raises(KeyboardInterrupt):
        erase(world.settings, number, stores=world.of)
    frozen = world.requests.rows[number].plan
    assert [(one["store"], one["found"]) for one in frozen or ()] == [("archives", 2), ("postgres", 2), ("files", 2)]
    made = erase(world.settings, number, stores=world.of)
    assert world.requests.rows[number].plan == frozen
    assert [(one.found, one.removed, one.left) for one in made.places] == [(2, 2, 0)] * 3


def test_a_plan_that_is_there_is_kept(world: World) -> None:
    number = request_erase(world.settings, ANN, world.of).number
    for store in world.stores:
        store.held[ANN] = ["since"]
    made = erase(world.settings, number, stores=world.of)
    assert [one.found for one in made.places] == [2, 2, 2]


def test_a_plan_that_is_empty_is_kept(world: World) -> None:
    number = request_erase(world.settings, "nobody", world.of).number
    assert world.requests.rows[number].plan == ()
    erase(world.settings, number, stores=world.of)
    assert world.requests.rows[number].plan == ()


def test_a_scan_that_fails_changes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    number = asked(world)

    def away(*_: Any) -> Any:
        raise ErasureError("away", "come again")

    monkeypatch.setattr(world.stores[2], "scan", away)
    with pytest.raises(ErasureError, match="away"):
        erase(world.settings, number, stores=world.of)
    assert (world.requests.rows[number].plan, world.requests.rows[number].suppressed_at) == (None, None)
    assert not load_suppression(world.settings)(ANN)
    assert all(store.held[ANN] for store in world.stores)


def test_the_command_line_goes_on_with_a_request_of_the_api(world: World) -> None:
    number = asked(world)
    assert world.erase().request == number
    assert asked(world) == number + 1, "finished ones are left alone"


def test_a_request_of_another_key_is_refused(world: World) -> None:
    number = asked(world)
    (world.settings.home / "secrets" / "privacy_key").unlink()
    with pytest.raises(ErasureError, match="another key"):
        erase(world.settings, number, stores=world.of)
    assert all(store.held[ANN] for store in world.stores)


def test_many_who_make_the_key_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda _: stack_key(Settings(home=tmp_path)), range(32)))
    assert len(keys) == 1
    assert {len(key) for key in keys} == {64}
    assert [one.name for one in (tmp_path / "secrets").iterdir()] == ["privacy_key"]


def test_a_second_erase_finds_nothing(world: World) -> None:
    world.erase()
    again = world.erase()
    assert (again.request, again.verdict, again.places) == (2, Verdict.ERASED, ())


def test_a_copy_that_is_planted_afterwards_is_found(world: World) -> None:
    made = world.erase()
    world.stores[1].held[ANN] = ["planted"]
    [one] = verify(world.settings, made, world.of)
    assert one.part is Part.FOUND
    assert one.sentence.startswith("postgres: place of postgres holds 1 of the player's values")


def test_what_retention_removes_waits_and_is_late_afterwards(world: World) -> None:
    now = datetime.now(UTC)
    world.stores[1].clean_at = int(now.timestamp() * 1000) + HOUR
    made = world.erase()
    assert made.verdict is Verdict.WAITS
    assert verify(world.settings, made, world.of) == []
    [late] = verify(world.settings, made, world.of, now + timedelta(hours=2))
    assert late.part is Part.LATE
    world.stores[1].clean_at += HOUR  # a record that came since
    [found] = verify(world.settings, made, world.of)
    assert found.part is Part.FOUND


def test_a_store_that_cannot_forget_makes_the_erase_incomplete(world: World) -> None:
    world.stores[2].keeps = "replay the job"
    made = world.erase()
    assert made.verdict is Verdict.INCOMPLETE
    [found] = verify(world.settings, made, world.of)
    assert "replay the job" in found.sentence


def test_a_changed_certificate_and_a_lost_list_are_found(world: World) -> None:
    made = world.erase()
    [one] = verify(world.settings, made.model_copy(update={"request": 9}), world.of)
    assert one.part is Part.FILE
    (world.settings.home / "privacy" / "suppressed.json").unlink()
    [one] = verify(world.settings, made, world.of)
    assert one.part is Part.SUPPRESSED


def test_a_finished_request_gives_its_certificate_again(world: World) -> None:
    made = world.erase()
    assert erase(world.settings, 1, stores=world.of) == made
    world.requests.write("x", ANN, (), State.EXPORT)
    with pytest.raises(ErasureError, match="asks for an export"):
        erase(world.settings, 2, stores=world.of)


def test_an_export_holds_every_value_of_the_player_and_nobody_elses(world: World, tmp_path: Path) -> None:
    made = export(world.settings, ANN, tmp_path / "x.zip", world.of)
    assert (made.values, made.places) == (6, 3)
    with zipfile.ZipFile(made.file) as archive:
        manifest = json.loads(archive.read(MANIFEST))
        assert [one["rows"] for one in manifest["files"]] == [2, 2, 2]
        assert archive.read("archives.jsonl") == b'{"value":"a"}\n{"value":"b"}\n'
        assert not any(b"c" in archive.read(one["file"]).replace(b"value", b"") for one in manifest["files"])
    assert made.file.stat().st_mode & 0o077 == 0
    assert export(world.settings, "nobody", tmp_path / "y.zip", world.of).values == 0


def test_only_an_erase_certificate_is_taken_for_one(world: World, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text(world.erase().model_dump_json())
    assert is_erase(file)
    file.write_text('{"kind": "experiment"}')
    assert not is_erase(file)
