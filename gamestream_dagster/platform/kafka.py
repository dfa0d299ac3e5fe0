"""The Kafka broker: one node, KRaft, broker and controller in one process."""

from __future__ import annotations

import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from gamestream_dagster.platform import class_archives, jars, layout
from gamestream_dagster.platform.errors import ServiceFailedError
from gamestream_dagster.platform.java import java
from gamestream_dagster.platform.service import Program, Service
from gamestream_dagster.settings import Settings

HEAP_MIB = 512
FORMAT_SECONDS = 60
LOG_CONFIG = Path(__file__).with_name("conf") / "log4j2.properties"

SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={data}
# Topics are made by provisioning alone, with the partitions and settings of the catalogue.
auto.create.topics.enable=false
delete.topic.enable=true
# One node: every internal topic has one replica; few partitions, because each costs time at every start.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=5
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
# A single consumer joins at once instead of waiting for others.
group.initial.rebalance.delay.ms=0
# Flink's transactions may stay open over a long recovery.
transaction.max.timeout.ms=3600000
log.retention.hours=168
log.retention.check.interval.ms=300000
log.segment.bytes=134217728
# Compaction soon enough to see it on a laptop.
log.cleaner.backoff.ms=15000
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=2
"""


def prepare(settings: Settings) -> None:
    """Link the jars, write the configuration, format the data folder on first use."""
    folder = layout.service_dir(settings, "kafka")
    folder.mkdir(exist_ok=True)
    jars.link(jars.for_use(jars.JarUse.KAFKA), folder / "lib")
    data = folder / "data"
    (folder / "server.properties").write_text(
        SERVER_PROPERTIES.format(port=settings.port("kafka"), controller=settings.port("kafka_controller"), data=data),
        encoding="utf-8",
    )
    if not (data / "meta.properties").exists():
        _format(folder)


def program(settings: Settings) -> Program:
    """The broker's command."""
    folder = layout.service_dir(settings, "kafka")
    options = (f"-Xmx{HEAP_MIB}m", f"-Xms{HEAP_MIB // 2}m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20")
    return Program(
        command=_java_command(
            folder, *options, *class_archives.options(), "kafka.Kafka", str(folder / "server.properties")
        )
    )


def tool(settings: Settings, main_class: str, *arguments: str) -> tuple[str, ...]:
    """The command of one of Kafka's own tools, from the same archives as the broker."""
    return _java_command(layout.service_dir(settings, "kafka"), "-Xmx512m", main_class, *arguments)


def probe(settings: Settings) -> str | None:
    """Ask for the cluster's metadata."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    client = AdminClient(
        settings.kafka.options(
            {"socket.connection.setup.timeout.ms": 2000, "log_level": 0, "reconnect.backoff.max.ms": 200}
        ),
        logger=None,
    )
    try:
        brokers = client.list_topics(timeout=2).brokers
    except KafkaException as error:
        return f"no answer from {settings.kafka} ({error.args[0].name()})"
    return None if brokers else f"{settings.kafka} knows no broker yet"


def cluster_id() -> str:
    """A new one, as Kafka makes them: none begins with a dash, which its own tool would take for an option."""
    while (made := urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        continue
    return made


def _format(folder: Path) -> None:
    cluster = cluster_id()
    tool = _java_command(folder, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "kafka.tools.StorageTool")
    command = [*tool, "format", "-t", cluster, "-c", str(folder / "server.properties")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FORMAT_SECONDS, check=False)
    if done.returncode:
        raise ServiceFailedError(
            f"Kafka's data folder could not be formatted: {(done.stderr or done.stdout).strip()[-400:]}; "
            f"run `gamestream down --purge` to begin with an empty home."
        )


def _java_command(folder: Path, *arguments: str) -> tuple[str, ...]:
    logging = f"-Dlog4j2.configurationFile={LOG_CONFIG}"
    class_path = ":".join(str(path) for path in _class_path(folder))
    return (str(java()), "-cp", class_path, logging, "-Djava.awt.headless=true", *arguments)


def _class_path(folder: Path) -> list[Path]:
    return sorted(path.resolve() for path in (folder / "lib").glob("*.jar"))


SERVICES = (
    Service(
        name="kafka",
        group="kafka",
        needs=(),
        ports=("kafka", "kafka_controller"),
        memory_mib=550,
        prepare=prepare,
        program=program,
        probe=probe,
        link=lambda settings: str(settings.kafka),
        external="kafka",
    ),
)
