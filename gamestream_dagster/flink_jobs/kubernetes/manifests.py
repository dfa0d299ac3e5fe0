"""The jobs as manifests for the Flink Kubernetes Operator.

Made from the same `Target` that goes to a session cluster: its SQL, options, parallelism, upgrade mode and desired
state. The operator then replaces our planner and executor. The SQL is in a ConfigMap with the addresses
filled in; credentials stay placeholders, which an init container fills in from a Secret when the pod starts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from gamestream_dagster.flink_jobs.errors import JobSpecError
from gamestream_dagster.flink_jobs.kubernetes.rules import refusals
from gamestream_dagster.flink_jobs.spec.fixed import PARALLELISM
from gamestream_dagster.flink_jobs.spec.job_spec import DesiredState
from gamestream_dagster.flink_jobs.target.render import SECRET_NAMES, SECRET_OPTIONS, Bindings, RenderedJob
from gamestream_dagster.flink_jobs.target.targets import Target

API_VERSION = "flink.apache.org/v1beta1"
# The credentials for the init container: placeholder of the SQL -> (environment variable, key of the Secret).
CREDENTIALS = {
    "postgres_user": ("POSTGRES_USER", "user"),
    "postgres_password": ("POSTGRES_PASSWORD", "password"),
    "kafka_user": ("KAFKA_USER", "kafka-user"),
    "kafka_password": ("KAFKA_PASSWORD", "kafka-password"),
    "registry_user": ("REGISTRY_USER", "registry-user"),
    "registry_password": ("REGISTRY_PASSWORD", "registry-password"),
}
RUNNER_JAR = "local:///opt/flink/usrlib/sql-runner.jar"
_TEMPLATES, _SCRIPTS = "/opt/gamestream/templates", "/opt/gamestream/sql"
_CONTAINER = "flink-main-container"  # the operator's name for Flink's own container in a pod template
# Options that the operator sets from fields of the manifest, or that only a submission through the gateway needs.
_NOT_FOR_OPERATOR = (PARALLELISM, "table.dml-sync", "pipeline.name")
# The runner removes comments from the script with a regular expression, also inside strings and hints.
_CUT_BY_RUNNER = re.compile(r"--|/\*")


@dataclass(frozen=True)
class Cluster:
    """What the manifests need besides the jobs."""

    image: str  # Flink with the connectors in lib/ and the SQL runner
    runner_jar: str | None = None  # None: RUNNER_JAR, and for session jobs the class in the image's lib/
    runner_class: str | None = None  # None: the jar's own main class
    runner_args: tuple[str, ...] = ()  # after the script's path
    flink_version: str = "v2_3"
    service_account: str = "flink"
    namespace: str | None = None
    state_dir: str | None = None  # for checkpoints, savepoints and HA data, such as `s3://bucket/flink`
    secret: str = "gamestream-postgres"  # noqa: S105 - the name of a Secret with the keys `user` and `password`
    memory: str = "2048m"
    cpu: float = 1.0
    session: str | None = None  # name of a session cluster for all jobs; None: a cluster per job
    jar_schemes: tuple[str, ...] = ("https",)  # that the operator allows for a session job's jar
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # further Flink options


def secretless(bindings: Bindings) -> Bindings:
    """The same values, with placeholders for credentials that the init container fills in."""
    if bindings.kafka and bindings.kafka.ca_pem:
        raise JobSpecError(
            "the operator's SQL runner cuts `--` out of a script, and so every certificate: put the CA into the Java "
            "trust store of the image, and leave kafka_ca_file out"
        )
    names = {name: "${" + variable + "}" for name, (variable, _) in CREDENTIALS.items()}
    login = f"{names['registry_user']}:{names['registry_password']}"
    values = {
        name: value if isinstance(value, str) else {**value, **dict.fromkeys(SECRET_OPTIONS & value.keys(), login)}
        for name, value in bindings.values.items()
    }
    kafka = bindings.kafka and replace(bindings.kafka, user=names["kafka_user"], password=names["kafka_password"])
    registry = bindings.registry
    if registry and registry.user:
        registry = replace(registry, user=names["registry_user"], password=names["registry_password"])
    shown = {name: names[name] for name in SECRET_NAMES}
    return replace(bindings, values={**values, **shown}, kafka=kafka, registry=registry)


def manifests(targets: Iterable[Target], cluster: Cluster) -> list[dict[str, Any]]:
    """The Kubernetes objects for these jobs, in the order of application.

    Args:
        targets: the jobs, rendered with `secretless` bindings.
        cluster: image, runner and resources.

    Raises:
        JobSpecError: the runner cannot run a job's SQL, or the operator would refuse the objects.
    """
    made = _objects(list(targets), cluster)
    refused = refusals(made, cluster.jar_schemes)
    if refused:
        raise JobSpecError("The operator would refuse these manifests: " + ". ".join(refused))
    return made


def _objects(wanted: list[Target], cluster: Cluster) -> list[dict[str, Any]]:
    made = [_config_map(target, cluster) for target in wanted]
    if cluster.session is None:
        return [*made, *(_application(target, cluster) for target in wanted)]
    slots = max((_parallelism(target) for target in wanted), default=1)
    pod = _pod_template(cluster, [_template_volume(target) for target in wanted], _credentials(wanted))
    session = _deployment(cluster.session, cluster, pod, slots, _state_options(cluster, cluster.session))
    return [*made, session, *(_session_job(target, cluster) for target in wanted)]


def resource_name(job: str) -> str:
    """A job's name in a form that Kubernetes accepts."""
    return job.replace("_", "-")


def script(rendered: RenderedJob, job: str, options: Mapping[str, str]) -> str:
    """The job as one file for the SQL runner of the operator's examples.

    A statement ends at a line that ends with `;`, a statement set at a line that is `END;`.

    Raises:
        JobSpecError: the runner would split the SQL wrongly.
    """
    body = re.sub(r"\s*\bEND\s*$", "\nEND", rendered.statement_set, flags=re.IGNORECASE)
    statements = [*rendered.definitions, body]
    for statement in statements:
        if _CUT_BY_RUNNER.search(statement):
            raise JobSpecError(
                f"{job}: the operator's SQL runner cuts `--` and `/*` out of a script, also in strings and hints; "
                "write the SQL without them"
            )
    settings = [f"SET '{key}' = '{value}';" for key, value in sorted(options.items()) if key.startswith("table.")]
    return "\n".join([*settings, *(f"{statement.strip()};" for statement in statements)]) + "\n"


def without_horizon(targets: Iterable[Target]) -> list[str]:
    """Jobs whose state never expires under the operator's runner: ids of events, or the groups of `expires`.

    The time to live stands in a compiled plan, which a script cannot set. The outputs stay correct: copies are dropped
    for ever, groups are kept for ever, and that state grows.
    """
    rendered = {target.spec.name: target.rendered for target in targets}
    return [name for name, one in rendered.items() if one.id_horizon_ms is not None or one.expires is not None]


def local_addresses(targets: Iterable[Target]) -> list[str]:
    """Addresses in the jobs' SQL that are meaningless inside a cluster."""
    found = {
        address
        for target in targets
        for text in (*target.rendered.definitions, target.rendered.statement_set)
        for address in re.findall(r"(?<![\w.])(?:localhost|\d{1,3}(?:\.\d{1,3}){3})(?=[:/'])", text)
    }
    return sorted(one for one in found if one == "localhost" or _loopback(one))


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _parallelism(target: Target) -> int:
    return int(target.options.get(PARALLELISM, "1"))


def _metadata(name: str, cluster: Cluster, target: Target | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": {"app.kubernetes.io/part-of": "gamestream"}}
    if cluster.namespace:
        metadata["namespace"] = cluster.namespace
    if target is not None:
        spec = target.spec
        metadata["annotations"] = {
            "gamestream/job": spec.name,
            "gamestream/fingerprint": target.fingerprint,
            "gamestream/owners": ", ".join(spec.owners),
        }
    return metadata


def _config_map(target: Target, cluster: Cluster) -> dict[str, Any]:
    name = target.spec.name
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(f"{resource_name(name)}-sql", cluster, target),
        "data": {f"{name}.sql": script(target.rendered, name, target.options)},
    }


def _job(target: Target, cluster: Cluster) -> dict[str, Any]:
    job: dict[str, Any] = {
        "jarURI": cluster.runner_jar or (RUNNER_JAR if cluster.session is None else None),
        "args": [f"{_SCRIPTS}/{target.spec.name}.sql", *cluster.runner_args],
        "parallelism": _parallelism(target),
        "upgradeMode": target.spec.upgrade_mode.value,
        "state": "suspended" if target.spec.desired_state is DesiredState.SUSPENDED else "running",
        "allowNonRestoredState": False,  # state is never dropped silently
    }
    job["entryClass"] = cluster.runner_class
    return {key: value for key, value in job.items() if value is not None}


def _options(target: Target) -> dict[str, str]:
    """The job's options except those of the planner, which the script SETs."""
    kept = {key: value for key, value in target.options.items() if key not in _NOT_FOR_OPERATOR}
    name = f"{target.spec.name}@{target.fingerprint[:8]}"
    return {**{key: value for key, value in kept.items() if not key.startswith("table.")}, "pipeline.name": name}


def _state_options(cluster: Cluster, name: str) -> dict[str, str]:
    if cluster.state_dir is None:
        return {}
    root = f"{cluster.state_dir.rstrip('/')}/{name}"
    return {
        "execution.checkpointing.dir": f"{root}/checkpoints",
        "execution.checkpointing.savepoint-dir": f"{root}/savepoints",
        "high-availability.type": "kubernetes",
        "high-availability.storageDir": f"{root}/ha",
    }


def _application(target: Target, cluster: Cluster) -> dict[str, Any]:
    name = resource_name(target.spec.name)
    options = {**_options(target), **_state_options(cluster, name)}
    pod = _pod_template(cluster, [_template_volume(target)], _credentials([target]))
    made = _deployment(name, cluster, pod, _parallelism(target), options, target)
    made["spec"]["job"] = _job(target, cluster)
    made["spec"]["restartNonce"] = target.spec.restart_nonce
    return made


def _session_job(target: Target, cluster: Cluster) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "FlinkSessionJob",
        "metadata": _metadata(resource_name(target.spec.name), cluster, target),
        "spec": {
            "deploymentName": cluster.session,
            "flinkConfiguration": _options(target),
            "job": _job(target, cluster),
            "restartNonce": target.spec.restart_nonce,
        },
    }


def _deployment(  # noqa: PLR0917 - one value for each part of the object
    name: str,
    cluster: Cluster,
    pod: dict[str, Any],
    slots: int,
    options: Mapping[str, str],
    target: Target | None = None,
) -> dict[str, Any]:
    # resources of the pods, in the operator's own short form
    resource = {"memory": cluster.memory, "cpu": cluster.cpu}
    return {
        "apiVersion": API_VERSION,
        "kind": "FlinkDeployment",
        "metadata": _metadata(name, cluster, target),
        "spec": {
            "image": cluster.image,
            "flinkVersion": cluster.flink_version,
            "serviceAccount": cluster.service_account,
            "flinkConfiguration": {"taskmanager.numberOfTaskSlots": str(slots), **options, **cluster.options},
            "podTemplate": pod,
            "jobManager": {"resource": resource},
            "taskManager": {"resource": resource},
        },
    }


def _template_volume(target: Target) -> dict[str, Any]:
    name = f"{resource_name(target.spec.name)}-sql"
    return {"name": name, "configMap": {"name": name}}


def _credentials(targets: Iterable[Target]) -> dict[str, str]:
    """Environment variable -> key of the Secret, for the credentials in these jobs' SQL."""
    texts = [text for target in targets for text in (*target.rendered.definitions, target.rendered.statement_set)]
    return {
        variable: key for variable, key in CREDENTIALS.values() if any("${" + variable + "}" in text for text in texts)
    }


def _pod_template(cluster: Cluster, templates: list[dict[str, Any]], credentials: Mapping[str, str]) -> dict[str, Any]:
    """Scripts with the credentials filled in, in memory only: neither in the manifests nor on a disk."""
    variables = " ".join("${" + variable + "}" for variable in credentials)
    fill = (
        f"for template in {_TEMPLATES}/*/*.sql; do "
        f'envsubst \'{variables}\' < "$template" > {_SCRIPTS}/$(basename "$template"); done'
    )
    mounts = [{"name": one["name"], "mountPath": f"{_TEMPLATES}/{one['name']}"} for one in templates]
    scripts = {"name": "scripts", "mountPath": _SCRIPTS}
    env = [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": cluster.secret, "key": key}}}
        for variable, key in credentials.items()
    ]
    return {
        "spec": {
            "initContainers": [
                {
                    "name": "fill-in-credentials",
                    "image": cluster.image,
                    "command": ["/bin/bash", "-ceu", fill],
                    "env": env,
                    "volumeMounts": [*mounts, scripts],
                }
            ],
            "containers": [{"name": _CONTAINER, "volumeMounts": [scripts]}],
            "volumes": [*templates, {"name": "scripts", "emptyDir": {"medium": "Memory"}}],
        }
    }
