"""The doctor's findings, each from a made-up machine."""

from __future__ import annotations

import os
import shutil
import sys
from collections import namedtuple

import pytest

from gamestream_dagster.platform import doctor, jars, ports
from gamestream_dagster.platform.doctor import CheckState
from gamestream_dagster.platform.errors import JarError
from gamestream_dagster.platform.ports import Listener
from gamestream_dagster.platform.service import ServiceState, ServiceStatus
from gamestream_dagster.settings import load_settings


def row(name, state, detail=""):
    return ServiceStatus(name, state, None, 1, None, None, "link", detail)


@pytest.fixture
def settings(tmp_path):
    return load_settings(home=tmp_path / "home", port_base=ports.free_base(31000))


@pytest.fixture
def ours(monkeypatch):
    """Let this test's process count as one of the stack."""
    import psutil

    monkeypatch.setattr(doctor.Supervisor, "processes", lambda _: [psutil.Process(os.getpid())])


def test_another_python_fails(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 13, 1))
    check = doctor._python()
    assert check.state == CheckState.FAIL
    assert "install Python 3.11" in check.detail


def test_little_memory_fails(monkeypatch):
    monkeypatch.setattr(doctor.memory, "available_mib", lambda: 100)
    assert doctor._memory([row("kafka", ServiceState.STOPPED)]).state == CheckState.FAIL
    assert doctor._memory([row("kafka", ServiceState.HEALTHY)]).state == CheckState.OK


def test_little_disk_warns(monkeypatch, tmp_path):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 2**30))
    assert doctor._disk(tmp_path / "not" / "yet").state == CheckState.WARN


def test_no_browser_warns(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert doctor._chromium().state == CheckState.WARN


def test_a_broken_jar_fails(monkeypatch):
    def broken(*_):
        raise JarError("not the one")

    monkeypatch.setattr(jars, "ensure", broken)
    (check,) = doctor._jars()
    assert (check.state, check.detail) == (CheckState.FAIL, "not the one")


def test_an_open_address_fails(monkeypatch, settings, ours):
    monkeypatch.setattr(ports, "listeners", lambda: [Listener("0.0.0.0", 9, os.getpid(), "java")])
    (check,) = doctor._open_addresses(settings)
    assert check.state == CheckState.FAIL
    assert "listens on 0.0.0.0" in check.detail


def test_other_peoples_open_addresses_and_loopback_pass(monkeypatch, settings, ours):
    mine, other = os.getpid(), 1
    found = [Listener("::ffff:127.0.0.1", 8, mine, "java"), Listener("0.0.0.0", 9, other, "sshd")]
    monkeypatch.setattr(ports, "listeners", lambda: found)
    (check,) = doctor._open_addresses(settings)
    assert check.state == CheckState.OK


def test_a_taken_port_fails_with_its_owner(monkeypatch, settings):
    monkeypatch.setattr(ports, "is_free", lambda port: port != settings.port("registry"))
    monkeypatch.setattr(ports, "listeners", lambda _: [Listener("127.0.0.1", 1, 7, "nginx")])
    monkeypatch.setattr(ports, "free_base", lambda: 20000)
    status = [row("registry", ServiceState.STOPPED), row("kafka", ServiceState.HEALTHY)]
    (check,) = doctor._ports(settings, status)
    assert check.state == CheckState.FAIL
    assert "nginx (pid 7) has it" in check.detail


def test_a_service_that_is_not_well_fails():
    found = {check.name: check.state for check in doctor._services([
        row("kafka", ServiceState.FAILED), row("registry", ServiceState.UNREACHABLE),
        row("postgres", ServiceState.EXTERNAL), row("dashboard", ServiceState.STOPPED),
    ])}  # fmt: skip
    assert found == {"kafka": CheckState.FAIL, "registry": CheckState.FAIL, "postgres": CheckState.OK}


def test_settings_show_their_origin_and_hide_the_password(tmp_path, monkeypatch):
    monkeypatch.setenv("GAMESTREAM_POSTGRES_PASSWORD", "canary-4711")
    rows = {each.name: each for each in doctor.setting_rows(load_settings(home=tmp_path, port_base=20000))}
    assert (rows["port_base"].value, rows["port_base"].origin) == ("20000", "argument")
    assert (rows["postgres_password"].value, rows["postgres_password"].origin) == ("given", "environment")
    assert rows["kafka_bootstrap"].origin == "default"
    assert "canary-4711" not in str(rows)
