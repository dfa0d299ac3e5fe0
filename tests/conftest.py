"""Fixtures of all tests: the real servers, started once a session."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from gamestream_dagster.settings import Settings, load_settings

SERVERS = ("kafka", "registry", "postgres", "flink")

# A limit for an example fails on a machine that has other things to do; nor may CI fail by chance.
hypothesis.settings.register_profile(
    "gamestream", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("ci", hypothesis.settings.get_profile("gamestream"), derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "gamestream")


@pytest.fixture(scope="session")
def free_port_base() -> Callable[[], int]:
    """Finds free blocks of ports."""
    return _free_port_base


def _free_port_base() -> int:
    """A free block, from a random place on, so that two test sessions rarely look at the same block."""
    from gamestream_dagster.platform import ports

    return ports.free_base(random.randrange(29000, 31500, 24))


@pytest.fixture
def short_home() -> Iterator[Path]:
    """A folder that is gone afterwards. Not pytest's own: Postgres under root must be able to pass through to it."""
    folder = Path(tempfile.mkdtemp(prefix="gamestream-"))
    yield folder / "home"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def stack() -> Iterator[Settings]:
    """Kafka, registry, Postgres and Flink on free ports with an empty home; stopped and deleted at the end.

    With `GAMESTREAM_TEST_HOME` the stack of that home is used instead, and left as it is.
    """
    from gamestream_dagster.platform.stack import Stack

    given = os.environ.get("GAMESTREAM_TEST_HOME")
    if given:
        settings = load_settings(home=given)
        Stack(settings).up(SERVERS)
        yield settings
        return
    folder = Path(tempfile.mkdtemp(prefix="gamestream-"))
    settings = _quick_stack(folder / "home", _free_port_base())
    previous = signal.signal(signal.SIGTERM, _as_interrupt)  # else a CI that gives up leaves the servers behind
    try:
        Stack(settings).up(SERVERS)
        yield settings
    finally:
        Stack(settings).down(purge=True)
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGTERM, previous)


def _quick_stack(home: Path, port_base: int) -> Settings:
    """A stack whose jobs complete a checkpoint each second; commands that tests run read that from its profile."""
    home.mkdir(parents=True)
    (home / "profile.yaml").write_text("checkpoint_interval_seconds: 1\n", encoding="utf-8")
    return load_settings(home=home, port_base=port_base)


def _as_interrupt(*_: object) -> None:
    raise KeyboardInterrupt
