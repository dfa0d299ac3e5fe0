"""Files of a home: private ones, the socket's length, the cache's place."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gamestream_dagster.platform import layout
from gamestream_dagster.settings import Settings


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_run_and_secrets_are_the_users_alone(tmp_path):
    settings = Settings(home=tmp_path / "home")
    layout.make_home(settings)
    assert mode(settings.home / "run") == mode(settings.home / "secrets") == 0o700


def test_a_private_file_is_never_readable_by_others(tmp_path):
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    layout.write_private(path, "new")
    assert (path.read_text(), mode(path)) == ("new", 0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["secret"]


def test_a_short_home_holds_its_socket():
    settings = Settings(home=Path("/srv/game"))
    assert layout.supervisor_socket(settings) == Path("/srv/game/run/supervisor.sock")


def test_a_long_home_gets_a_short_private_socket(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    one, two = (layout.supervisor_socket(Settings(home=Path("/" + letter * 120))) for letter in "ab")
    assert one.parent == tmp_path / "gamestream"
    assert mode(one.parent) == 0o700
    assert one != two


def test_the_cache_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert layout.cache_dir() == tmp_path / "gamestream"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert layout.cache_dir() == Path.home() / ".cache" / "gamestream"


def test_a_service_never_started_has_no_start_time(tmp_path):
    assert layout.started_at(Settings(home=tmp_path), "kafka") == 0.0


def test_two_writers_of_one_private_file_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "config"
    texts = {str(number) * 20000 for number in range(8)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: layout.write_private(path, text), list(texts) * 5))
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]
