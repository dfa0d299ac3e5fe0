"""Checks of the Flink Kubernetes Operator beyond its schema, as sentences that say what to change.

The rules of its `DefaultValidator` that can apply to our objects, plus failures that only the cluster would show. The
operator's default configuration is unknown here, so nothing may depend on it. We never write ingress, log files or
replicas.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,43}[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_VERSIONS = ("v1_15", "v1_16", "v1_17", "v1_18", "v1_19", "v1_20", "v2_0", "v2_1", "v2_2", "v2_3", "v2_4")
_FORBIDDEN = ("kubernetes.namespace", "kubernetes.cluster-id", "high-availability.cluster-id")
_MEMORY = re.compile(r"(?i)\s*(\d+)\s*(b|bytes|k|kb|ki|kib|m|mb|mi|mib|g|gb|gi|gib|t|tb|ti|tib)?\s*")
_CONFIG_MAP_BYTES = 1 << 20  # what Kubernetes accepts
_CHECKPOINTS = ("execution.checkpointing.dir", "state.checkpoints.dir")
_SAVEPOINTS = ("execution.checkpointing.savepoint-dir", "state.savepoints.dir")
_HA = ("high-availability.type", "high-availability")
_OPERATOR = "kubernetes.operator."


def refusals(objects: Iterable[Mapping[str, Any]], jar_schemes: Iterable[str] = ("https",)) -> list[str]:
    """Why the operator, or the cluster, would refuse these objects; empty when it accepts them.

    Args:
        objects: as applied, a session cluster together with its jobs.
        jar_schemes: schemes of a session job's jar that the operator allows.
    """
    listed = list(objects)
    clusters = {one["metadata"]["name"]: one["spec"] for one in listed if one["kind"] == "FlinkDeployment"}
    found: list[str] = []
    for one in listed:
        found += _metadata(one["metadata"])
        match one["kind"]:
            case "ConfigMap":
                found += _config_map(one)
            case "FlinkDeployment":
                found += _deployment(one["metadata"]["name"], one["spec"])
            case _:
                found += _session_job(one["metadata"]["name"], one["spec"], clusters, jar_schemes)
    return list(dict.fromkeys(found))


def _metadata(metadata: Mapping[str, Any]) -> Iterator[str]:
    namespace = metadata.get("namespace")
    if namespace is not None and not _LABEL.fullmatch(namespace):
        yield f"the namespace {namespace!r} is no name for Kubernetes; use small letters, digits and `-`, at most 63"


def _config_map(one: Mapping[str, Any]) -> Iterator[str]:
    size = sum(len(text.encode("utf-8")) for text in one["data"].values())
    if size > _CONFIG_MAP_BYTES:
        yield f"{one['metadata']['name']}: the SQL has {size:,} bytes, a ConfigMap holds 1,048,576; split the job"


def _name(name: str) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield (
            f"{name}: the operator takes names of at most 45 small letters, digits and `-`, a letter first; "
            "choose another name"
        )


def _deployment(name: str, spec: Mapping[str, Any]) -> Iterator[str]:
    options: Mapping[str, str] = spec["flinkConfiguration"]
    yield from _name(name)
    if spec["flinkVersion"] not in _VERSIONS:
        yield f"{name}: no operator knows the Flink version {spec['flinkVersion']!r}; name one such as v2_3"
    if not spec["serviceAccount"]:
        yield f"{name}: a service account must be named; the Helm chart creates one that is called `flink`"
    if not spec["image"]:
        yield f"{name}: an image must be named; give --image"
    yield from _options(name, options)
    for part in ("jobManager", "taskManager"):
        yield from _resource(name, part, spec[part]["resource"])
    if "job" in spec:
        yield from _job(name, spec["job"], options, session=False)


def _options(name: str, options: Mapping[str, str]) -> Iterator[str]:
    for key in _FORBIDDEN:
        if key in options:
            yield f"{name}: the operator sets {key} itself and refuses it in a manifest; remove it from `flink`"
    if _true(options, "deployment.rollback.enabled") and not _ha(options):
        yield f"{name}: {_OPERATOR}deployment.rollback.enabled needs high availability; give --state-dir"
    recovery = f"{_OPERATOR}jm-deployment-recovery.enabled"
    if _true(options, "cluster.health-check.enabled") and options.get(recovery, "true").lower() != "true":
        yield f"{name}: {_OPERATOR}cluster.health-check.enabled needs {recovery}; take one of them out of `flink`"
    for key in (*_CHECKPOINTS, *_SAVEPOINTS, "high-availability.storageDir"):
        if key in options and urlsplit(options[key]).scheme in ("", "file"):
            yield (
                f"{name}: {key} is {options[key]}, a folder of one pod that ends with it; "
                "name storage that all pods reach, such as --state-dir s3://bucket/path"
            )


def _resource(name: str, part: str, resource: Mapping[str, Any]) -> Iterator[str]:
    size = _MEMORY.fullmatch(str(resource["memory"]))
    if size is None or int(size[1]) == 0:
        yield f"{name}: {part} has the memory {resource['memory']!r}; write an amount such as 2048m"
    if not resource["cpu"] > 0:
        yield f"{name}: {part} has {resource['cpu']} CPUs; it needs more than 0"


def _job(name: str, job: Mapping[str, Any], options: Mapping[str, str], *, session: bool) -> Iterator[str]:
    mode, parallelism = job["upgradeMode"], job["parallelism"]
    if mode != "stateless" and not _any(options, _CHECKPOINTS):
        yield (
            f"{name}: upgrade mode `{mode}` needs {_CHECKPOINTS[0]}, where its checkpoints go; "
            "give --state-dir s3://bucket/path"
        )
    elif mode == "last-state" and not session and not _ha(options):
        yield f"{name}: upgrade mode `last-state` needs high availability; give --state-dir s3://bucket/path"
    if not _any(options, _SAVEPOINTS):
        wanted = next((key for key in _SAVEPOINT_OPTIONS if f"{_OPERATOR}{key}" in options), None)
        if mode == "savepoint" or wanted:
            why = "upgrade mode `savepoint`" if mode == "savepoint" else f"{_OPERATOR}{wanted}"
            yield f"{name}: {why} needs {_SAVEPOINTS[0]}, where savepoints go; give --state-dir s3://bucket/path"
    if parallelism < 1:
        yield f"{name}: its parallelism is {parallelism}; set parallelism.default to 1 or more in job.yaml"
    most = int(options.get("pipeline.max-parallelism", "-1"))
    if 0 < most < parallelism:
        yield f"{name}: its parallelism is {parallelism} and `max_parallelism` {most}; a job can have at most that many"


_SAVEPOINT_OPTIONS = ("periodic.savepoint.interval", "job.upgrade.last-state.max.allowed.checkpoint.age")


def _session_job(
    name: str, spec: Mapping[str, Any], clusters: Mapping[str, Mapping[str, Any]], jar_schemes: Iterable[str]
) -> Iterator[str]:
    cluster = clusters.get(spec["deploymentName"])
    if cluster is None or "job" in cluster:
        yield f"{name}: {spec['deploymentName']!r} is no session cluster among these objects; give --session"
        return
    options = {**cluster["flinkConfiguration"], **spec["flinkConfiguration"]}
    yield from _job(name, spec["job"], options, session=True)
    yield from _session_jar(name, spec["job"], [scheme.lower() for scheme in jar_schemes])


def _session_jar(name: str, job: Mapping[str, Any], schemes: list[str]) -> Iterator[str]:
    jar: str | None = job.get("jarURI")
    if jar is None:
        if not job.get("entryClass"):
            yield (
                f"{name}: a session job without a jar needs the runner's class: put the runner into lib/ of the image "
                "and give --runner-class (or give --runner https://..., which the operator fetches)"
            )
        return
    parts = urlsplit(jar)
    if parts.scheme not in schemes:
        yield (
            f"{name}: the operator takes a session job's jar from {' and '.join(schemes)} and not from {jar}. Put the "
            "runner into lib/ of the image and give --runner-class without --runner, give --runner https://..., or "
            "name a scheme that your operator allows (kubernetes.operator.user.artifacts.allowed-schemes) with "
            "--jar-scheme"
        )
    elif parts.scheme in ("http", "https") and (not parts.hostname or _restricted(parts.hostname)):
        yield f"{name}: the operator fetches no jar from {jar}; name a host that is not local to one machine or network"


def _restricted(host: str) -> bool:
    """Whether the operator refuses a host that is an address; what a name resolves to is known only there."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_private or address.is_loopback or address.is_link_local or address.is_multicast


def _any(options: Mapping[str, str], keys: Iterable[str]) -> bool:
    return any(options.get(key, "").strip() for key in keys)


def _ha(options: Mapping[str, str]) -> bool:
    return any(options.get(key, "none").lower() != "none" for key in _HA)


def _true(options: Mapping[str, str], key: str) -> bool:
    return options.get(f"{_OPERATOR}{key}", "false").lower() == "true"
