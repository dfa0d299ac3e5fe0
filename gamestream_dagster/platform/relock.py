"""Maintenance: rewrites `jars.lock`: `python -m gamestream_dagster.platform.relock`, a minute, needs the network.

Resolves the roots below with their dependencies, fetches everything and records each file's SHA-256.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from jgo.maven import Artifact, Dependency, MavenContext, PythonResolver

from gamestream_dagster.platform.jars import LOCK, JarUse, sha256_of

HEADER = """\
# SHA-256, use and coordinate of every Java archive that the embedded servers load. Written by relock.py; nothing else
# is ever resolved. A file with another SHA-256 is refused.
"""
KAFKA = "4.3.0"
FLINK = "2.3.0"
HADOOP = "3.4.2"

# Resolved with their dependencies.
TREES = {
    JarUse.KAFKA: [
        ("org.apache.kafka", "kafka_2.13", KAFKA),
        ("org.apache.kafka", "kafka-tools", KAFKA),
    ]
}
# Self-contained (shaded), or needing only what the Flink distribution holds.
SINGLES = {
    # At Kafka's version of log4j; resolved as a tree, its own version list would override Kafka's.
    JarUse.KAFKA: [("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4")],
    JarUse.REGISTRY: [("io.apicurio", "apicurio-registry-app", "3.3.3", "all", "tar.gz")],
    JarUse.FLINK_LIB: [
        ("org.apache.flink", "flink-sql-connector-kafka", "5.0.0-2.2"),
        ("org.apache.flink", "flink-connector-jdbc-core", "4.0.0-2.0"),
        ("org.apache.flink", "flink-connector-jdbc-postgres", "4.0.0-2.0"),
        ("org.apache.flink", "flink-sql-avro-confluent-registry", FLINK),
        ("org.apache.flink", "flink-metrics-prometheus", FLINK),
        ("org.postgresql", "postgresql", "42.7.14"),
    ],
    JarUse.FLINK_OPT: [("org.apache.flink", "flink-sql-gateway", FLINK)],
    JarUse.COMPILER: [("org.eclipse.jdt", "ecj", "3.42.0")],
    # Flink's Parquet reader, and what it loads of Hadoop: a configuration class and a base class of readers (tried).
    # Not in lib: with Hadoop on its class path every Flink process would log in to Hadoop at its start. The native
    # part of zstd comes from lib (the Avro format brings it): only one class loader can load a native library.
    JarUse.FLINK_BATCH: [
        ("org.apache.flink", "flink-sql-parquet", FLINK),
        ("org.apache.hadoop", "hadoop-common", HADOOP),
        ("org.apache.hadoop", "hadoop-mapreduce-client-core", HADOOP),
        ("org.apache.hadoop.thirdparty", "hadoop-shaded-guava", "1.4.0"),
        ("com.fasterxml.woodstox", "woodstox-core", "5.4.0"),
        ("org.codehaus.woodstox", "stax2-api", "4.2.1"),
        ("org.apache.commons", "commons-collections4", "4.4"),
    ],
}
# Kafka Connect and its web server: the command-line tools need it, the broker does not load it.
UNUSED_GROUPS = (
    "org.eclipse.jetty",
    "org.glassfish",
    "jakarta.",
    "javax.",
    "io.swagger",
    "org.apache.maven",
    "org.codehaus.plexus",
    "com.sun.activation",
    "org.javassist",
    "io.github.classgraph",
    "com.fasterxml.jackson.jakarta",
    "com.fasterxml.jackson.module",
)
UNUSED_ARTIFACTS = {"connect-runtime", "connect-api", "connect-json", "connect-transforms"}


def main() -> None:
    """Resolve, fetch, hash, write."""
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(resolver=PythonResolver(lenient=True), repo_cache=Path(folder), timeout=60)
        lines = []
        for use, roots in TREES.items():
            wanted = [Dependency(context.project(*root[:2]).at_version(root[2]).artifact()) for root in roots]
            resolved, transitive = context.resolver.resolve(wanted)
            found = [each.artifact for each in resolved + transitive if _used(each.artifact)]
            lines += [_line(use, artifact) for artifact in found]
        for use, roots in SINGLES.items():
            for group, artifact, version, *rest in roots:
                classifier, packaging = rest or ("", "jar")
                at = context.project(group, artifact).at_version(version)
                lines.append(_line(use, at.artifact(classifier=classifier, packaging=packaging)))
    LOCK.write_text(HEADER + "\n".join(sorted(set(lines), key=lambda line: line.split()[1:])) + "\n", encoding="utf-8")
    print(f"{len(set(lines))} archives written to {LOCK.name}", file=sys.stderr)


def _used(artifact: Artifact) -> bool:
    return artifact.artifactId not in UNUSED_ARTIFACTS and not artifact.groupId.startswith(UNUSED_GROUPS)


def _line(use: JarUse, artifact: Artifact) -> str:
    coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
    if artifact.packaging != "jar":
        coordinate += f":{artifact.classifier}:{artifact.packaging}"
    return f"{sha256_of(artifact.resolve())}  {use}  {coordinate}"


if __name__ == "__main__":
    main()
