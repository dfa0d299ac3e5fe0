"""The embedded servers themselves: two side by side, kills, tampering, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from gamestream_dagster.platform import jars, layout, ports
from gamestream_dagster.platform.errors import JarError, PortTakenError
from gamestream_dagster.platform.service import ServiceState
from gamestream_dagster.platform.stack import Stack
from gamestream_dagster.platform.supervisor import MARK, Supervisor
from gamestream_dagster.port_block import STANDARD_PORTS
from gamestream_dagster.settings import TASK_SLOTS, Settings, load_settings
from tests.support.cli import gamestream


@pytest.fixture
def small(short_home, free_port_base):
    """A stack of its own, not started; gone afterwards with its processes."""
    settings = load_settings(home=short_home, port_base=free_port_base())
    yield settings
    Stack(settings).down(purge=short_home.exists())


def in_a_process(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """A command whose process ends before what it started is looked at."""
    command = [sys.executable, "-c", "from gamestream_dagster.cli.main import main; main()", *arguments]
    return subprocess.run(
        [*command, "--home", str(home)], capture_output=True, text=True, timeout=180, check=False, env=os.environ
    )


def pid_of(settings: Settings, service: str) -> int:
    return next(row.pid for row in Stack(settings).status() if row.name == service)


def marked_processes(home: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(home) or str(home) in " ".join(process.cmdline()):
                found.append(process.pid)
        except psutil.Error:  # ended meanwhile
            continue
    return [pid for pid in found if pid != os.getpid()]


def test_every_server_of_the_stack_answers_on_loopback_alone(stack):
    rows = {row.name: row for row in Stack(stack).status()}
    for name in ("kafka", "registry", "postgres", "flink-jobmanager", "flink-taskmanager", "flink-gateway"):
        assert rows[name].state == ServiceState.HEALTHY, rows[name]
        assert rows[name].resident_bytes > 2**20
    ours = {process.pid for process in Supervisor(stack).processes()}
    addresses = {each.address for each in ports.listeners() if each.pid in ours}
    assert addresses
    assert all(each.removeprefix("::ffff:").startswith("127.") for each in addresses), addresses
    assert httpx.get(f"{stack.flink_rest}/overview").json()["slots-total"] == TASK_SLOTS


def test_kafka_makes_no_topic_by_itself_and_the_registry_keeps_a_schema(stack):
    admin = AdminClient(stack.kafka.options())
    admin.create_topics([NewTopic("platform-test", 2, 1)])["platform-test"].result(20)
    try:
        listed = admin.list_topics("platform-absent", timeout=10).topics["platform-absent"]
        assert listed.error is not None
        assert "platform-absent" not in admin.list_topics(timeout=10).topics
    finally:
        admin.delete_topics(["platform-test"])["platform-test"].result(20)
    subject = f"{stack.registry.url}/subjects/platform-test-value"
    httpx.post(f"{subject}/versions", json={"schema": '{"type": "string"}'}).raise_for_status()
    assert httpx.get(f"{subject}/versions").json() == [1]
    httpx.delete(subject).raise_for_status()


def test_postgres_wants_the_password_and_has_no_open_superuser(stack):
    where = {"host": "127.0.0.1", "port": stack.postgres_port or stack.port("postgres"), "dbname": "postgres"}
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**where, user="gamestream", password="wrong")
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        psycopg.connect(**where, user="postgres", password="")
    for database in (stack.postgres_database, stack.dagster_database):
        with psycopg.connect(stack.postgres_dsn(database, driver="postgresql")) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("gamestream",)


def test_up_twice_and_two_stacks_side_by_side_then_purge_leaves_nothing(small, short_home, free_port_base):
    second = load_settings(home=short_home.parent / "second", port_base=free_port_base())
    base = small.port_base
    first_up = in_a_process("up", "--only", "postgres", "--port-base", str(base), home=small.home)
    assert first_up.returncode == 0, first_up.stderr
    again = gamestream(small, "up", "--only", "postgres")
    assert (again.returncode, "Already running" in again.words) == (0, True)
    try:
        Stack(second).up(["postgres"])
        for settings in (small, second):
            with psycopg.connect(settings.postgres_dsn(driver="postgresql")) as connection:
                connection.execute("CREATE TABLE mine AS SELECT %s AS home", [str(settings.home)])
        with psycopg.connect(second.postgres_dsn(driver="postgresql")) as connection:
            assert connection.execute("SELECT home FROM mine").fetchall() == [(str(second.home),)]
    finally:
        Stack(second).down(purge=True)
    assert Stack(small).status()[2].state == ServiceState.HEALTHY  # the other one's end did not touch it
    purged = gamestream(small, "down", "--purge", "--yes")
    assert purged.returncode == 0, purged.stderr
    assert not small.home.exists()
    assert marked_processes(small.home) == []
    assert all(ports.is_free(port) for port in range(base, base + len(STANDARD_PORTS)))


def test_data_outlives_down_and_a_killed_supervisor(small):
    stack = Stack(small)
    stack.up(["postgres"])
    with psycopg.connect(small.postgres_dsn(driver="postgresql")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    stack.down()
    stack.up(["postgres"])
    orphan = pid_of(small, "postgres")
    supervisor = int((layout.run_dir(small) / "supervisor.pid").read_text())
    os.kill(supervisor, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(supervisor)] if psutil.pid_exists(supervisor) else [], timeout=10)
    assert stack.up(["postgres"]) == ["postgres"]
    assert pid_of(small, "postgres") != orphan
    with psycopg.connect(small.postgres_dsn(driver="postgresql")) as connection:
        assert connection.execute("SELECT one FROM kept").fetchall() == [(1,)]


def test_a_taken_port_starts_nothing(small):
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", small.port("kafka")))
        thief.listen()
        with pytest.raises(PortTakenError, match=rf"{small.port('kafka')} is taken by .*{os.getpid()}"):
            Stack(small).up(["kafka", "postgres"])
    assert marked_processes(small.home) == []


def test_a_server_that_cannot_start_takes_the_others_down_with_it(small):
    layout.make_home(small)
    broken = layout.service_dir(small, "kafka")
    broken.mkdir()
    (broken / "data").write_text("a file where Kafka wants a folder")
    result = gamestream(small, "up", "--only", "kafka,postgres", "--port-base", str(small.port_base))
    assert result.returncode == 2
    assert "Kafka" in result.stderr or "kafka" in result.stderr
    assert "Traceback" not in result.stderr
    assert marked_processes(small.home) == []


def test_a_tampered_jar_is_refused_and_nothing_starts(small, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    for jar in jars.for_use(jars.JarUse.KAFKA):
        copy = cache / "gamestream" / jar.path.relative_to(layout.cache_dir())
        copy.parent.mkdir(parents=True)
        shutil.copyfile(jar.path, copy)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    victim = next(jar for jar in jars.for_use(jars.JarUse.KAFKA) if jar.artifact == "kafka-clients")
    with victim.path.open("ab") as file:
        file.write(b"one byte too many")
    with pytest.raises(JarError, match=r"kafka-clients.*is not the .* that jars\.lock names"):
        Stack(small).up(["kafka"])
    assert marked_processes(small.home) == []


def test_secrets_of_a_running_stack_are_in_private_files_alone(stack):
    password = stack.postgres_password_value.encode()
    for folder in ("run", "logs", "flink/conf", "kafka", "dagster"):
        for path in (stack.home / folder).rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o077:
                assert password not in path.read_bytes(), path
