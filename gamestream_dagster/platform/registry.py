"""The Apicurio schema registry, with its Confluent-compatible API; schemas are kept in a file database in the home."""

from __future__ import annotations

from gamestream_dagster.platform import class_archives, health, jars, layout
from gamestream_dagster.platform.java import java
from gamestream_dagster.platform.service import Program, Service
from gamestream_dagster.settings import Settings

HEAP_MIB = 192


def prepare(settings: Settings) -> None:
    """Unpack the distribution once into the cache and make the data folder."""
    layout.service_dir(settings, "registry").mkdir(exist_ok=True)
    jars.unpacked(_archive())


def program(settings: Settings) -> Program:
    """The registry's command. Its management interface listens on all addresses unless told otherwise."""
    runner = jars.unpacked(_archive()) / "quarkus-run.jar"
    database = layout.service_dir(settings, "registry") / "schemas"
    properties = {
        "quarkus.http.host": "127.0.0.1",
        "quarkus.http.port": settings.port("registry"),
        "quarkus.management.host": "127.0.0.1",
        "quarkus.management.port": settings.port("registry_management"),
        "quarkus.http.access-log.enabled": "false",
        "apicurio.storage.kind": "sql",
        "apicurio.storage.sql.kind": "h2",
        "apicurio.datasource.url": f"jdbc:h2:file:{database}",
        "java.util.logging.manager": "org.jboss.logmanager.LogManager",
    }
    return Program(
        command=(
            str(java()),
            f"-Xmx{HEAP_MIB}m",
            "-Xms64m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            *class_archives.options(),
            *(f"-D{name}={value}" for name, value in properties.items()),
            "-jar",
            str(runner),
        )
    )


def probe(settings: Settings) -> str | None:
    """List the subjects."""
    registry = settings.registry
    return health.http_ok(f"{registry}/subjects", options=registry.http)


def _archive() -> jars.Jar:
    return jars.for_use(jars.JarUse.REGISTRY)[0]


SERVICES = (
    Service(
        name="registry",
        group="registry",
        needs=(),
        ports=("registry", "registry_management"),
        memory_mib=280,
        prepare=prepare,
        program=program,
        probe=probe,
        link=lambda settings: str(settings.registry),
        external="registry",
    ),
)
