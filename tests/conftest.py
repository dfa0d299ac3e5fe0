"""Fixtures of all tests, and the order in which the tests on servers run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest

from gamestream_dagster.cli import hints
from gamestream_dagster.settings import Settings, load_settings
from tests.support.world import World

HERE = Path(__file__).parent
ON_SERVERS = {HERE / "integration": "integration", HERE / "browser": "browser"}
SERVERS = ("kafka", "registry", "postgres", "flink")
# Of the groups that the workers take, those that last longest: what is begun last should be short.
LONGEST_FIRST = (
    "boards",
    "test_proofs_cut_short",
    "test_planted_faults",
    "test_topic_recreated",
    "test_sql_cases",
    "test_jobs",
    "test_avro",
    "test_jobs_under_fire",
    "test_batch_recompute",
)
# Each worker looks for free ports in a range of its own.
FIRST_PORT, PORTS_OF_A_WORKER, WORKERS = 28000, 1700, 2

# A shell lets what it starts in the background ignore Ctrl-C; tests of it need the usual way.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.pop("COLUMNS", None)  # xdist sets it; a table in a pipe is as wide as its content

# A limit for an example fails on a machine that has other things to do; nor may CI fail by chance.
hypothesis.settings.register_profile(
    "gamestream", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("ci", hypothesis.settings.get_profile("gamestream"), derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "gamestream")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Mark the tests on servers before xdist reads the groups, and sort them after they were shuffled.

    Tests that use the deployed boards and leave them as they were are one group, at the end of which come those that
    take them in any state; every other file is a group.
    """
    on_servers = [item for item in items if _folder(item)]
    traces = {item.path for item in on_servers if item.get_closest_marker("leaves_traces")}
    anyhow = {item.path for item in on_servers if item.get_closest_marker("any_boards")}
    shared = {item.path for item in on_servers if "boards" in getattr(item, "fixturenames", ())} - traces | anyhow
    for item in on_servers:
        item.add_marker(ON_SERVERS[_folder(item)])
        item.add_marker(pytest.mark.xdist_group(_group(item, shared)))
    yield
    if getattr(config.option, "loadgroup", False) and not all("@" in item.nodeid for item in on_servers):
        raise pytest.UsageError("xdist does not see the groups of the tests on servers: run `make install`")
    items.sort(key=lambda item: _place(item, shared))


def _folder(item: pytest.Item) -> Path | None:
    return next((folder for folder in ON_SERVERS if folder in item.path.parents), None)


def _group(item: pytest.Item, shared: set[Path]) -> str:
    return "boards" if item.path in shared else item.path.stem


def _place(item: pytest.Item, shared: set[Path]) -> tuple[int, int]:
    """Tests without a server first, then the longest groups; in a group, what leaves traces comes last."""
    if _folder(item) is None:
        return -1, 0
    group = _group(item, shared)
    place = LONGEST_FIRST.index(group) if group in LONGEST_FIRST else len(LONGEST_FIRST)
    return place, item.get_closest_marker("leaves_traces") is not None


@pytest.fixture(autouse=True)
def _no_command_ran_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process runs one command: what it was given is kept for the commands that it prints."""
    monkeypatch.setattr(hints, "_given", hints._Stack())


@pytest.fixture(scope="session")
def free_port_base() -> Callable[[], int]:
    """Finds free blocks of ports."""
    return _free_port_base


def _free_port_base() -> int:
    """A free block in the worker's range, from a random place on: another session may look for one at this moment."""
    from gamestream_dagster.platform import ports

    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    first = FIRST_PORT + number * PORTS_OF_A_WORKER
    # pytest-randomly seeds the module's own generator alike in every worker
    return ports.free_base(random.SystemRandom().randrange(first, first + PORTS_OF_A_WORKER // 2, 24))


@pytest.fixture
def short_home() -> Iterator[Path]:
    """A folder that is gone afterwards. Not pytest's own: Postgres under root must be able to pass through to it."""
    folder = Path(tempfile.mkdtemp(prefix="gamestream-"))
    yield folder / "home"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """Kafka, registry, Postgres and Flink on free ports with an empty home; stopped and deleted at the end.

    With `GAMESTREAM_TEST_HOME` the stack of that home is used instead and left running. What it holds is deleted.
    """
    from gamestream_dagster.platform.stack import Stack

    given = os.environ.get("GAMESTREAM_TEST_HOME")
    if given:
        settings = load_settings(home=given)
        Stack(settings).up(SERVERS)
        yield World(settings)
        return
    folder = Path(tempfile.mkdtemp(prefix="gamestream-"))
    settings = _quick_stack(folder / "home", _free_port_base())
    previous = signal.signal(signal.SIGTERM, _as_interrupt)  # else a CI that gives up leaves the servers behind
    try:
        with _quick_jvms():
            Stack(settings).up(SERVERS)
        yield World(settings, empty=True)
    finally:
        Stack(settings).down(purge=True)
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGTERM, previous)


@pytest.fixture(scope="session")
def stack(world: World) -> Settings:
    """The settings of the session's servers."""
    return world.settings


def _quick_stack(home: Path, port_base: int) -> Settings:
    """A stack whose jobs make a checkpoint soon; commands that tests run read that from its profile.

    Tests that wait for one ask for it: one each second would cost a quarter of a core. Two stacks of this heap fit into
    16 GiB, and no test fills it.
    """
    home.mkdir(parents=True)
    profile = "checkpoint_interval_seconds: 2\ntaskmanager_heap_mib: 1024\n"
    (home / "profile.yaml").write_text(profile, encoding="utf-8")
    return load_settings(home=home, port_base=port_base)


@contextmanager
def _quick_jvms() -> Iterator[None]:
    """Servers that are started inside compile once and fast: a job of a test ends before better code pays off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")
        yield


def _as_interrupt(*_: object) -> None:
    raise KeyboardInterrupt
