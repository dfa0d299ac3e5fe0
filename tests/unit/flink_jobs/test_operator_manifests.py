"""The manifests for the Flink Kubernetes Operator, against the schema that it publishes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from gamestream_dagster.cli.main import build
from gamestream_dagster.cli.options import CouldNotRun
from gamestream_dagster.flink_jobs.errors import JobSpecError
from gamestream_dagster.flink_jobs.kubernetes.manifests import Cluster, manifests, script, secretless, without_horizon
from gamestream_dagster.flink_jobs.spec.catalogue import load_jobs
from gamestream_dagster.flink_jobs.spec.job_spec import DesiredState, UpgradeMode
from gamestream_dagster.flink_jobs.target.render import RenderedJob
from gamestream_dagster.flink_jobs.target.targets import Target, target_for
from gamestream_dagster.settings import Settings

CRDS = Path(__file__).parent / "operator_crds"
CLUSTER = Cluster(image="studio/flink:2.3", state_dir="s3://studio/flink/")
SECRET = "canary-of-the-password"


def strict(schema: Any) -> Any:
    """The schema with every unknown field an error: Kubernetes would drop it in silence."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not open_ended:
        made["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    return made


def schemas() -> dict[str, Any]:
    found = {}
    for path in CRDS.glob("*.yaml"):
        crd = yaml.safe_load(path.read_text())["spec"]
        (version,) = [one for one in crd["versions"] if one["name"] == "v1beta1"]
        found[crd["names"]["kind"]] = strict(version["schema"]["openAPIV3Schema"])["properties"]["spec"]
    return found


def check(objects: list[dict[str, Any]]) -> None:
    known = schemas()
    for one in objects:
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", one["metadata"]["name"])
        if one["kind"] != "ConfigMap":
            assert one["apiVersion"] == "flink.apache.org/v1beta1"
            jsonschema.validate(one["spec"], known[one["kind"]])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path,
        kafka_bootstrap="kafka.games:9092",
        registry_url="http://registry.games:8080",
        postgres_host="postgres.games",
        postgres_port=5432,
        postgres_password=SECRET,  # type: ignore[arg-type]
    )


def targets(settings: Settings, **changes: Any) -> list[Target]:
    specs = [spec.model_copy(update=changes) for spec in load_jobs().values()]
    return [target_for(settings, spec, secretless) for spec in specs]


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in objects if one["kind"] == kind]


@pytest.mark.parametrize("session", [None, "games"])
@pytest.mark.parametrize("mode", UpgradeMode)
@pytest.mark.parametrize("desired", DesiredState)
def test_every_manifest_fits_the_published_schema(
    settings: Settings, session: str | None, mode: UpgradeMode, desired: DesiredState
) -> None:
    cluster = replace(CLUSTER, session=session, namespace="games", runner_class="x.SqlRunner")
    check(manifests(targets(settings, upgrade_mode=mode, desired_state=desired), cluster))


def test_the_check_itself_finds_a_wrong_field(settings: Settings) -> None:
    (first, *_) = of_kind(manifests(targets(settings), CLUSTER), "FlinkDeployment")
    for field, value in [("upgradeMode", "savepoints"), ("parallelism", "2"), ("upgrademode", "savepoint")]:
        with pytest.raises(jsonschema.ValidationError):
            check([{**first, "spec": {**first["spec"], "job": {**first["spec"]["job"], field: value}}}])


def test_a_job_keeps_its_meaning(settings: Settings) -> None:
    wanted = targets(settings)
    for target, made in zip(wanted, of_kind(manifests(wanted, CLUSTER), "FlinkDeployment"), strict=True):
        job, options = made["spec"]["job"], made["spec"]["flinkConfiguration"]
        assert (job["state"], job["upgradeMode"]) == ("running", target.spec.upgrade_mode.value)
        assert job["parallelism"] == int(target.options["parallelism.default"])
        assert job["allowNonRestoredState"] is False
        assert options["execution.checkpointing.interval"] == target.options["execution.checkpointing.interval"]
        assert options["execution.checkpointing.dir"].startswith("s3://studio/flink/")
        assert options["pipeline.name"] == f"{target.spec.name}@{target.fingerprint[:8]}"
        assert made["metadata"]["annotations"]["gamestream/fingerprint"] == target.fingerprint


def test_the_script_is_the_whole_job_with_addresses_and_without_secrets(settings: Settings) -> None:
    wanted = targets(settings)
    made = manifests(wanted, CLUSTER)
    assert SECRET not in yaml.safe_dump(made)
    for target, config in zip(wanted, of_kind(made, "ConfigMap"), strict=True):
        (text,) = config["data"].values()
        statements = as_the_runner_reads(text)
        sets = [key for key in target.options if key.startswith("table.")]
        assert len(statements) == len(sets) + len(target.rendered.definitions) + 1
        assert "kafka.games:9092" in text
        assert "${POSTGRES_PASSWORD}" in text
        assert statements[-1].startswith("EXECUTE STATEMENT SET")
        assert statements[-1].count("INSERT INTO") == target.rendered.statement_set.count("INSERT INTO")


def as_the_runner_reads(text: str) -> list[str]:
    """The rule of `parseStatements` in the operator's example `SqlRunner`."""
    statements, current, in_set = [], "", False
    for line in (one.strip() for one in text.splitlines()):
        if not line:
            continue
        in_set = in_set or line.startswith("EXECUTE STATEMENT SET")
        current += line + "\n"
        if line.endswith(";") and (not in_set or line == "END;"):
            statements.append(current)
            current, in_set = "", False
    assert current == ""
    return statements


def test_jobs_that_would_keep_ids_for_ever_are_named(settings: Settings) -> None:
    wanted = targets(settings)
    assert without_horizon(wanted) == [one.spec.name for one in wanted if one.spec.id_horizon_ms or one.spec.expires]
    assert "leaderboards_v1" in without_horizon(wanted)


def test_the_credentials_come_from_the_secret(settings: Settings) -> None:
    pod = of_kind(manifests(targets(settings), CLUSTER), "FlinkDeployment")[0]["spec"]["podTemplate"]["spec"]
    (init,) = pod["initContainers"]
    assert {one["name"] for one in init["env"]} == {"POSTGRES_USER", "POSTGRES_PASSWORD"}
    assert {one["valueFrom"]["secretKeyRef"]["name"] for one in init["env"]} == {"gamestream-postgres"}
    assert {"name": "scripts", "emptyDir": {"medium": "Memory"}} in pod["volumes"]


def test_a_session_cluster_takes_every_job(settings: Settings) -> None:
    wanted = targets(settings)
    made = manifests(wanted, replace(CLUSTER, session="games", runner_class="x.SqlRunner"))
    (cluster,) = of_kind(made, "FlinkDeployment")
    assert "job" not in cluster["spec"]
    jobs = of_kind(made, "FlinkSessionJob")
    assert {one["spec"]["deploymentName"] for one in jobs} == {cluster["metadata"]["name"]} == {"games"}
    assert not any("jarURI" in one["spec"]["job"] for one in jobs), "the operator's own empty jar; the class is in lib/"
    assert len(jobs) == len(wanted) == len(cluster["spec"]["podTemplate"]["spec"]["volumes"]) - 1


@pytest.mark.parametrize("bad", ["SELECT '--'", "SELECT /*+ OPTIONS('a'='b') */ 1"])
def test_sql_that_the_runner_would_cut_is_refused(bad: str) -> None:
    with pytest.raises(JobSpecError, match="cuts"):
        script(RenderedJob((), f"EXECUTE STATEMENT SET BEGIN INSERT INTO s {bad}; END"), "totals_v1", {})


def test_the_command_writes_files_and_refuses_addresses_of_this_machine(tmp_path: Path) -> None:
    base = ["jobs", "manifests", "leaderboards_v1", "--image", "x:1", "--home", str(tmp_path)]
    base += ["--state-dir", "s3://studio/flink"]
    refused = CliRunner().invoke(build(), base)
    assert isinstance(refused.exception, CouldNotRun)
    assert "127.0.0.1" in str(refused.exception)
    addresses = ["--kafka", "k:9092", "--postgres", "pg:5432", "--registry", "http://r"]
    out = tmp_path / "out"
    assert CliRunner().invoke(build(), [*base, *addresses, "--out", str(out)]).exit_code == 0
    assert not (tmp_path / "secrets").exists()
    written = sorted(out.iterdir())
    assert [path.name for path in written] == [
        "00-leaderboards-v1-sql.configmap.yaml",
        "01-leaderboards-v1.flinkdeployment.yaml",
    ]
    assert "CREATE TEMPORARY TABLE" in written[0].read_text()
    assert "\n    CREATE" in written[0].read_text(), "SQL as a block that a person can review"
    check([yaml.safe_load(path.read_text()) for path in written])


STATEFUL = [UpgradeMode.SAVEPOINT, UpgradeMode.LAST_STATE]


@pytest.mark.parametrize("session", [None, "games"])
@pytest.mark.parametrize("mode", STATEFUL)
def test_a_job_with_state_needs_a_place_for_it(settings: Settings, session: str | None, mode: UpgradeMode) -> None:
    cluster = replace(CLUSTER, state_dir=None, session=session, runner_class="x.SqlRunner")
    with pytest.raises(JobSpecError, match=rf"upgrade mode `{mode}` needs .*checkpointing.dir.* give --state-dir"):
        manifests(targets(settings, upgrade_mode=mode), cluster)
    manifests(targets(settings, upgrade_mode=UpgradeMode.STATELESS), cluster)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"session": "Games"}, "Games: the operator takes names"),
        ({"session": "g" * 46, "runner_class": "x.R"}, "at most 45"),
        ({"session": "1games", "runner_class": "x.R"}, "a letter first"),
        ({"session": "games", "runner_jar": "local:///opt/flink/usrlib/sql-runner.jar"}, "takes a session job's jar"),
        ({"session": "games", "runner_jar": "s3://studio/runner.jar", "runner_class": "x.R"}, "not from s3://studio"),
        ({"session": "games", "runner_jar": "runner.jar", "runner_class": "x.R"}, "not from runner.jar"),
        ({"session": "games", "runner_jar": "https:///runner.jar"}, "fetches no jar from"),
        ({"session": "games", "runner_jar": "https://10.0.0.7/runner.jar"}, "fetches no jar from"),
        ({"session": "games", "runner_jar": "https://localhost/runner.jar"}, "fetches no jar from"),
        ({"session": "games"}, "needs the runner's class"),
        ({"namespace": "Games!"}, "'Games!' is no name for Kubernetes"),
        ({"flink_version": "v3_0"}, "no operator knows the Flink version 'v3_0'"),
        ({"service_account": ""}, "service account must be named"),
        ({"image": ""}, "an image must be named"),
        ({"memory": "plenty"}, "jobManager has the memory 'plenty'"),
        ({"memory": "0m"}, "taskManager has the memory '0m'"),
        ({"cpu": 0.0}, "needs more than 0"),
        ({"state_dir": "/mnt/flink"}, "a folder of one pod"),
        ({"state_dir": "file:///mnt/flink"}, "a folder of one pod"),
        ({"options": {"kubernetes.cluster-id": "x"}}, "sets kubernetes.cluster-id itself"),
        ({"options": {"high-availability.cluster-id": "x"}}, "sets high-availability.cluster-id itself"),
        ({"options": {"kubernetes.namespace": "x"}}, "sets kubernetes.namespace itself"),
        (
            {
                "options": {
                    "kubernetes.operator.cluster.health-check.enabled": "true",
                    "kubernetes.operator.jm-deployment-recovery.enabled": "false",
                }
            },
            "health-check.enabled needs",
        ),
        (
            {
                "options": {
                    "kubernetes.operator.deployment.rollback.enabled": "true",
                    "high-availability.type": "NONE",
                }
            },
            "needs high availability",
        ),
    ],
)
def test_what_the_operators_validator_refuses_is_refused_here(
    settings: Settings, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(JobSpecError, match=re.escape(reason)):
        manifests(targets(settings), replace(CLUSTER, **changes))


@pytest.mark.parametrize(
    ("flink", "mode", "reason"),
    [
        ({"parallelism.default": "0"}, UpgradeMode.SAVEPOINT, "parallelism is 0"),
        ({"kubernetes.cluster-id": "x"}, UpgradeMode.SAVEPOINT, "sets kubernetes.cluster-id itself"),
        ({"kubernetes.operator.periodic.savepoint.interval": "6h"}, UpgradeMode.STATELESS, "savepoint.interval needs"),
    ],
)
def test_options_of_a_job_are_checked_too(
    settings: Settings, flink: dict[str, str], mode: UpgradeMode, reason: str
) -> None:
    state_dir = None if mode is UpgradeMode.STATELESS else CLUSTER.state_dir
    with pytest.raises(JobSpecError, match=re.escape(reason)):
        manifests(targets(settings, flink=flink, upgrade_mode=mode), replace(CLUSTER, state_dir=state_dir))


@pytest.mark.parametrize(
    "changes",
    [
        {"runner_jar": "https://files.studio.example/runner.jar"},
        {"runner_jar": "HTTPS://files.studio.example/runner.jar"},
        {"runner_jar": "s3://studio/runner.jar", "jar_schemes": ("https", "S3")},
        {"runner_class": "studio.SqlRunner"},
    ],
)
def test_session_jobs_that_the_operator_takes(settings: Settings, changes: dict[str, Any]) -> None:
    check(manifests(targets(settings), replace(CLUSTER, session="games", **changes)))


def secured(settings: Settings, **changes: Any) -> Settings:
    login = {"kafka_security_protocol": "SASL_SSL", "kafka_user": "games", "kafka_password": SECRET}
    registry = {"registry_user": "games", "registry_password": SECRET, "topic_formats": {"user-score": "avro"}}
    return Settings(**{**settings.model_dump(), **login, **registry, **changes})


def test_logins_of_kafka_and_registry_are_filled_in_by_the_pod(settings: Settings) -> None:
    made = manifests(targets(secured(settings)), CLUSTER)
    check(made)
    text = json.dumps(made)
    assert SECRET not in text
    script = "".join(text for one in of_kind(made, "ConfigMap") for text in one["data"].values())
    assert 'ScramLoginModule required username="${KAFKA_USER}" password="${KAFKA_PASSWORD}";' in script
    assert "'gamestream-avro.basic-auth.user-info' = '${REGISTRY_USER}:${REGISTRY_PASSWORD}'" in script
    assert all(f'"{key}"' in text for key in ("kafka-user", "kafka-password", "registry-user", "registry-password"))
    plain = json.dumps(manifests(targets(settings), CLUSTER))
    assert not any(key in plain for key in ("kafka-password", "registry-password"))


def test_a_private_ca_cannot_go_through_the_runner(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(JobSpecError, match="trust store of the image, and leave kafka_ca_file out"):
        targets(secured(settings, kafka_ca_file=tmp_path / "ca.pem"))
