"""Where a drill may run: never on a stack that people use."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import pytest

from gamestream_dagster.drill import sandbox
from gamestream_dagster.drill.errors import DrillError
from gamestream_dagster.drill.scenarios import CATALOGUE, choose, strike_of
from gamestream_dagster.settings import Settings


class Stacks:
    """What was started and stopped."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Path]] = []

    def __call__(self, settings: Settings) -> Stacks:
        self.home = settings.home
        return self

    def up(self, only: object) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.log.append(("up", self.home))

    def down(self, purge: bool) -> None:
        self.log.append(("purge" if purge else "down", self.home))


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> Stacks:
    made = Stacks()
    monkeypatch.setattr(sandbox, "Stack", made)
    return made


def silent(_: str) -> None: ...


def test_a_home_that_no_drill_made_is_refused_and_left_as_it_is(tmp_path: Path, stacks: Stacks) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(DrillError, match="was not made by a drill"), sandbox.kept_sandbox(tmp_path, 21000, silent):
        pass
    assert stacks.log == []
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_empty_home_becomes_a_drill_s_and_is_used_again(tmp_path: Path, stacks: Stacks) -> None:
    home = tmp_path / "home"
    for _ in range(2):
        with sandbox.kept_sandbox(home, 21000, silent) as settings:
            assert settings.home == home
    assert stacks.log == [("up", home)] * 2


def test_a_new_stack_is_gone_afterwards_even_when_the_drill_fails(stacks: Stacks) -> None:
    with pytest.raises(KeyboardInterrupt), sandbox.new_sandbox(21000, silent):
        raise KeyboardInterrupt
    (up, home), (purged, same) = stacks.log
    assert (up, purged, same) == ("up", "purge", home)
    assert not home.parent.exists()


@pytest.mark.parametrize("name", ["KAFKA_BOOTSTRAP", "FLINK_REST_URL", "POSTGRES_PORT", "REGISTRY_URL"])
def test_a_server_given_by_its_address_is_never_drilled_on(
    monkeypatch: pytest.MonkeyPatch, stacks: Stacks, name: str
) -> None:
    monkeypatch.setenv(f"GAMESTREAM_{name}", "9092")
    with pytest.raises(DrillError, match="its own servers only"), sandbox.new_sandbox(21000, silent):
        pass
    assert stacks.log == []


def test_scenarios_are_chosen_by_name_in_the_order_of_the_catalogue() -> None:
    assert [one.name for one in choose(("corrupt", "taskmanager"))] == ["taskmanager", "corrupt"]
    assert {one.name for one in CATALOGUE} - {one.name for one in choose(())} == {"kills"}
    with pytest.raises(DrillError, match="no scenario 'nothing'; choose from taskmanager"):
        choose(("nothing",))


def test_the_kills_by_turns_begin_with_the_task_manager() -> None:
    (kills,) = choose(("kills",))
    killed: list[str] = []

    class Site:
        def kill(self, service: str) -> None:
            killed.append(service)

    for number in (1, 2, 3):
        with strike_of(kills, number)(Site(), {}):  # type: ignore[arg-type]
            pass
    assert killed == ["flink-taskmanager", "flink-jobmanager", "flink-taskmanager"]


def test_a_wrong_clock_is_right_again_afterwards() -> None:
    (clock,) = choose(("clock",))
    shifts: list[float] = []

    class Watcher:
        @contextmanager
        def behind(self, seconds: float):
            shifts.append(seconds)
            yield
            shifts.append(0.0)

    class Site:
        watcher = Watcher()

        def kill(self, service: str) -> None:
            shifts.append(-1.0)

    with clock.strike(Site(), {}):  # type: ignore[arg-type]
        assert shifts == [600.0, -1.0]
    assert shifts[-1] == 0.0
