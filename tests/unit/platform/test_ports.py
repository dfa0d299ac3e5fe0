"""Ports: who has one, and a free block."""

from __future__ import annotations

import os
import socket

import pytest

from gamestream_dagster.platform import ports
from gamestream_dagster.platform.errors import PortTakenError
from gamestream_dagster.port_block import STANDARD_PORTS
from gamestream_dagster.settings import Settings


@pytest.fixture
def taken():
    """A port of this process, the sixth of a block (Postgres')."""
    base = ports.free_base(31600)
    with socket.socket() as server:
        server.bind(("127.0.0.1", base + list(STANDARD_PORTS).index("postgres")))
        server.listen()
        yield base


def test_a_taken_port_is_named_with_its_process_and_a_way_out(taken):
    settings = Settings(port_base=taken)
    with pytest.raises(PortTakenError) as caught:
        ports.require_free(settings, ["kafka", "postgres"])
    sentence = str(caught.value)
    assert f"Port {settings.port('postgres')} (postgres) is taken by" in sentence
    assert f"(pid {os.getpid()})" in sentence
    assert "--port-base" in sentence


def test_free_ports_pass(taken):
    ports.require_free(Settings(port_base=taken), ["kafka", "registry"])


def test_a_free_block_avoids_taken_ports(taken):
    assert ports.free_base(taken) != taken


def test_the_listener_is_found(taken):
    port = taken + list(STANDARD_PORTS).index("postgres")
    (found,) = ports.listeners([port])
    assert (found.address, found.pid) == ("127.0.0.1", os.getpid())


def test_a_new_block_is_free_as_a_whole(taken):
    """A spare port that is taken is told at once, not by the server that comes to it later."""
    with pytest.raises(PortTakenError, match=f"takes the ports {taken} to {taken + 23}, and {taken + 5} is taken by"):
        ports.require_free_block(taken)
    ports.require_free_block(ports.free_base())


def test_servers_keep_the_places_of_a_home_that_was_given_16_ports():
    """Kafka's clients, Flink's restore points and bookmarks hold on to them."""
    old = "kafka kafka_controller registry flink gateway postgres dagster dashboard ingest flink_rpc taskmanager_rpc"
    old += " flink_blob taskmanager_data registry_management dagster_code"
    assert list(STANDARD_PORTS)[: len(old.split())] == old.split()
    assert {Settings(port_base=20000).port(name) for name in STANDARD_PORTS} <= set(range(20000, 20024))
