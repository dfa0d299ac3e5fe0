"""The ports of a stack: names, the usual numbers, and their positions in a block of consecutive ones."""

from __future__ import annotations

from typing import Final

PORTS_PER_STACK: Final = 24
"""Size of a stack's port block; ports without a name yet are spare."""

# The port of each server without a port base. A port base numbers them in this order: append only,
# so that the servers of a home keep their ports.
STANDARD_PORTS: Final[dict[str, int]] = {
    "kafka": 9092,
    "kafka_controller": 9093,
    "registry": 8085,
    "flink": 8081,
    "gateway": 8083,
    "postgres": 5432,
    "dagster": 3000,
    "dashboard": 8501,
    "ingest": 8000,
    "flink_rpc": 6123,
    "taskmanager_rpc": 6122,
    "flink_blob": 6124,
    "taskmanager_data": 6121,
    "registry_management": 8086,
    "dagster_code": 3001,
    "metrics": 9249,
    "api": 8001,
    "valkey": 6379,
    "flink_metrics": 9250,
    "taskmanager_metrics": 9251,
}


def port_of(server: str, base: int | None) -> int:
    """Port of an embedded server, by its key in `STANDARD_PORTS`.

    Args:
        server: the key.
        base: first port of the stack's block; None: the usual port.
    """
    return STANDARD_PORTS[server] if base is None else base + list(STANDARD_PORTS).index(server)
