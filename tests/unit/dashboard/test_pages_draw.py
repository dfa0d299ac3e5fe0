"""Every page is drawn by Streamlit itself while no server answers: it says so, and raises nothing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from gamestream_dagster.dashboard import pages
from gamestream_dagster.dashboard.navigation import load_pages

NAMES = [one.name for one in load_pages()]
SAYS_NOTHING_OF_SERVERS = {"experiments", "manual", "player"}


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port_base: Callable[[], int]) -> Iterator[None]:
    """A home without a stack; what pages keep between sessions is forgotten."""
    monkeypatch.setenv("GAMESTREAM_HOME", str(tmp_path))
    monkeypatch.setenv("GAMESTREAM_PORT_BASE", str(free_port_base()))
    st.cache_resource.clear()
    st.cache_data.clear()
    yield
    st.cache_resource.clear()
    st.cache_data.clear()


def drawn(name: str) -> AppTest:
    module = f"{pages.__name__}.{name}.page"
    importlib.import_module(module)
    script = f"import importlib\nimportlib.import_module({module!r}).render()\n"
    return AppTest.from_string(script, default_timeout=60).run()


def text_of(app: AppTest) -> str:
    return " ".join(str(one.proto) for one in app.main)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("name", NAMES)
def test_without_servers_a_page_says_so(name: str) -> None:
    app = drawn(name)
    assert not app.exception
    if name not in SAYS_NOTHING_OF_SERVERS:
        assert "does not answer" in text_of(app)


@pytest.mark.usefixtures("alone")
def test_a_player_is_asked_for_in_the_session_alone() -> None:
    app = drawn("player")
    app.text_input(key="player_id").set_value("ada")
    app.button[0].click().run()
    assert not app.exception
    assert "does not answer" in text_of(app)
    assert not app.query_params
