"""Servers that the settings make part of the stack, or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gamestream_dagster.errors import SettingsError
from gamestream_dagster.platform import catalogue, valkey
from gamestream_dagster.platform.errors import PlatformError
from gamestream_dagster.platform.service import ProgressState
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.platform.supervisor import Supervisor
from gamestream_dagster.settings import load_settings

OPTIONAL = {"valkey", "ranks"}


def names(home: Path) -> set[str]:
    return {one.name for one in Stack(load_settings(home=home, port_base=20000)).status()}


def test_the_servers_of_the_ranks_are_there_where_they_are_wanted(tmp_path: Path) -> None:
    assert set(catalogue.services()) - names(tmp_path / "home") == OPTIONAL
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "profile.yaml").write_text("ranks: all\n", encoding="utf-8")
    assert names(tmp_path / "home") == set(catalogue.services())


@pytest.mark.parametrize(("statename", "listed"), [("STOPPED", False), ("RUNNING", True)])
def test_a_server_that_is_not_wanted_is_listed_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statename: str, listed: bool
) -> None:
    """The supervisor knows every server, wanted or not."""
    states = {name: {"statename": "STOPPED", "pid": 0} for name in catalogue.services()}
    states["ranks"] = {"statename": statename, "pid": 0}
    monkeypatch.setattr(Supervisor, "running", lambda _: True)
    monkeypatch.setattr(Supervisor, "states", lambda _: states)
    found = names(tmp_path / "home")
    assert ("ranks" in found) is listed
    assert "valkey" not in found


def test_a_server_that_is_asked_for_and_not_wanted_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    stack = Stack(
        load_settings(home=tmp_path / "home", port_base=20000), lambda name, state, _: told.append((name, state))
    )
    assert stack.up(("valkey",)) == []
    assert told == [("valkey", ProgressState.SKIPPED)]


def test_valkey_is_configured_for_this_machine_with_a_password(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "a home", port_base=20000, valkey_password='a"b\\c d')
    settings.home.mkdir()
    valkey.prepare(settings)
    path = settings.home / "valkey" / "valkey.conf"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert "bind 127.0.0.1" in lines
    assert r'requirepass "a\"b\\c d"' in lines
    assert f"port {settings.port('valkey')}" in lines
    assert path.stat().st_mode & 0o077 == 0
    assert "a home" in path.read_text(encoding="utf-8")
    assert not any('a"b' in part for part in valkey.program(settings).command)
    with pytest.raises(PlatformError, match="one line"):
        valkey.prepare(load_settings(home=settings.home, valkey_password="a\nb"))


def test_an_address_replaces_the_embedded_valkey_and_holds_no_password(tmp_path: Path) -> None:
    own = load_settings(home=tmp_path, port_base=20000)
    assert (own.valkey, own.is_external("valkey")) == (f"valkey://127.0.0.1:{own.port('valkey')}", False)
    assert own.valkey_password_value == load_settings(home=tmp_path).valkey_password_value != ""
    given = load_settings(home=tmp_path / "other", valkey_url="valkeys://ranks.example.org:6379/0")
    assert (given.valkey, given.valkey_password_value) == ("valkeys://ranks.example.org:6379/0", "")
    for wrong in ("ranks.example.org", "http://ranks.example.org", "valkey://user:canary@ranks.example.org"):
        with pytest.raises(SettingsError, match="valkey_url") as refused:
            load_settings(home=tmp_path, valkey_url=wrong)
        assert "canary" not in str(refused.value)


def test_the_status_of_servers_that_are_not_wanted_is_empty(tmp_path: Path) -> None:
    assert Stack(load_settings(home=tmp_path / "home", port_base=20000)).status(("valkey", "ranks")) == []
