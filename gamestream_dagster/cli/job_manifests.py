"""`gamestream jobs manifests`: the jobs as objects for the Flink Kubernetes Operator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from pydantic import SecretStr

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.cli.job_output import Folder, sentences, speak
from gamestream_dagster.cli.options import CouldNotRun, Home, PortBase, settings_from

SECRET = "gamestream-postgres"  # noqa: S105 - a name

if TYPE_CHECKING:
    from gamestream_dagster.flink_jobs.target.targets import Target
    from gamestream_dagster.settings import Settings


def manifests(
    job: Annotated[str | None, typer.Argument(help="Name of the job; all of them when absent.")] = None,
    *,
    image: Annotated[str, typer.Option(help="Flink's image, with the connectors in lib/ and the SQL runner.")],
    out: Annotated[Path | None, typer.Option(help="Folder for one file an object; else everything to stdout.")] = None,
    runner: Annotated[
        str | None,
        typer.Option(
            help="The SQL runner's jar: local:///opt/flink/usrlib/sql-runner.jar when absent; "
            "with --session an https address, or absent and the runner in lib/ of the image."
        ),
    ] = None,
    runner_class: Annotated[str | None, typer.Option(help="The runner's main class, if the jar names none.")] = None,
    runner_arg: Annotated[list[str] | None, typer.Option(help="Argument after the script's path; repeatable.")] = None,
    jar_scheme: Annotated[
        list[str] | None,
        typer.Option(help="Scheme that your operator allows for a session job's jar besides https; repeatable."),
    ] = None,
    session: Annotated[str | None, typer.Option(help="One session cluster of this name, with session jobs.")] = None,
    namespace: Annotated[str | None, typer.Option(help="Namespace of the objects.")] = None,
    state_dir: Annotated[
        str | None, typer.Option(help="Where checkpoints and savepoints go: s3://bucket/path.")
    ] = None,
    credentials: Annotated[
        str,
        typer.Option(
            help="Name of a Secret with the keys `user` and `password`; also `kafka-user` and `kafka-password`, "
            "`registry-user` and `registry-password` where those log in."
        ),
    ] = SECRET,
    kafka: Annotated[str | None, typer.Option(help="Kafka's address inside the cluster, host:port.")] = None,
    postgres: Annotated[str | None, typer.Option(help="Postgres' address inside the cluster, host:port.")] = None,
    registry: Annotated[str | None, typer.Option(help="Address of the schema registry inside the cluster.")] = None,
    home: Home = None,
    port_base: PortBase = None,
    folder: Folder = FLINK_SQL_DIR,
) -> None:
    """Write the jobs as FlinkDeployment, or FlinkSessionJob, objects for the Flink Kubernetes Operator."""
    from gamestream_dagster.flink_jobs.kubernetes import manifests as operator

    settings = _addressed(settings_from(home, port_base), kafka, postgres, registry)
    cluster = operator.Cluster(
        image=image,
        runner_jar=runner,
        runner_class=runner_class,
        runner_args=tuple(runner_arg or ()),
        jar_schemes=("https", *(jar_scheme or ())),
        namespace=namespace,
        state_dir=state_dir,
        secret=credentials,
        session=session,
    )
    with sentences():
        targets = _targets(settings, job, folder)
        made = operator.manifests(targets, cluster)
    local = operator.local_addresses(targets)
    if local:
        raise CouldNotRun(
            f"The SQL would hold {' and '.join(local)}, which no pod can reach. Give --kafka, --postgres and "
            "--registry as the cluster knows them."
        )
    for name in operator.without_horizon(targets):
        speak(
            f"{name}: under the SQL runner its state never expires (the time to live of ids and groups stands in a "
            "compiled plan, which a script cannot set). Its outputs are right, and its state grows; use RocksDB there"
        )
    _write(made, out)


def _addressed(settings: Settings, kafka: str | None, postgres: str | None, registry: str | None) -> Settings:
    # the stack's own password is not even read
    changes: dict[str, Any] = {"postgres_password": SecretStr("filled in by the pod")}
    if kafka:
        changes["kafka_bootstrap"] = kafka
    if registry:
        changes["registry_url"] = registry
    if postgres:
        host, colon, port = postgres.rpartition(":")
        if not (colon and host and port.isdigit()):
            raise CouldNotRun(f"--postgres {postgres!r} is no address; write host:port.")
        changes |= {"postgres_host": host, "postgres_port": int(port)}
    return settings.model_copy(update=changes)


def _targets(settings: Settings, job: str | None, folder: Path) -> list[Target]:
    from gamestream_dagster.flink_jobs.kubernetes.manifests import secretless
    from gamestream_dagster.flink_jobs.spec.catalogue import load_job, load_jobs
    from gamestream_dagster.flink_jobs.target.targets import target_for

    specs = (
        [load_job(job, folder)]
        if job
        else list(load_jobs(folder, season=settings.season, ranks=settings.ranks).values())
    )
    return [target_for(settings, spec, secretless) for spec in specs]


def _write(made: list[dict[str, Any]], out: Path | None) -> None:
    texts = [yaml.dump(one, Dumper=_Readable, sort_keys=False, width=110) for one in made]
    if out is None:
        typer.echo("---\n".join(texts), nl=False)
        return
    out.mkdir(parents=True, exist_ok=True)
    for number, (one, text) in enumerate(zip(made, texts, strict=True)):
        path = out / f"{number:02d}-{one['metadata']['name']}.{one['kind'].lower()}.yaml"
        path.write_text(text, encoding="utf-8")
        speak(f"wrote {path}")


class _Readable(yaml.SafeDumper):
    """Writes SQL as a block, so that a person can review it."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    block = "\n" in value
    if block:  # YAML keeps a block only without trailing spaces
        value = "\n".join(line.rstrip() for line in value.splitlines()) + "\n"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if block else None)


_Readable.add_representer(str, _text)
