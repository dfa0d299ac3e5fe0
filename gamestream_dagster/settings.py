"""Where everything is: one immutable value that every command, asset and page is given.

A value comes, in this order, from the environment (`GAMESTREAM_*`), from the profile file
(`<home>/profile.yaml`), from what `gamestream up` wrote (`<home>/run/stack.yaml`), or from the default.
`Settings.origin(name)` says which of them it was.
"""

from __future__ import annotations

import os
import secrets
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import yaml
from pydantic import ConfigDict, Field, SecretStr, ValidationError, field_validator

from gamestream_dagster.api_settings import ApiSettings
from gamestream_dagster.connections import (
    KafkaConnection,
    RegistryConnection,
    SaslMechanism,
    SecurityProtocol,
    check_login,
    read_ca,
)
from gamestream_dagster.errors import SettingsError
from gamestream_dagster.http_settings import url_of
from gamestream_dagster.ingest_settings import IngestSettings
from gamestream_dagster.port_block import PORTS_PER_STACK, port_of

ENV_PREFIX = "GAMESTREAM_"
TASK_SLOTS = 10  # of the embedded TaskManager
_SECRETS = ("postgres_password", "kafka_password", "registry_password", "ingest_signing_secret")
# Settings of earlier versions, with what to write instead.
_RETIRED = {"score_format": "write `topic_formats: {<topic>: avro}`, a format for each topic"}

PROJECT_ROOT = Path(__file__).resolve().parent.parent
REPORTS_PATH = "reports"  # under which the dashboard serves the files of `reports_dir`


class TopicFormat(StrEnum):
    """How the records of a topic are encoded; a topic holds one of the two."""

    JSON = "json"
    AVRO = "avro"


class RecomputeEngine(StrEnum):
    """What recomputes the boards of a reconciliation; both give the same rows."""

    DUCKDB = "duckdb"  # in the process, on one machine
    FLINK = "flink"  # a batch job on the Flink cluster, for more events than one machine's


class Season(StrEnum):
    """How long the seasons are that boards are kept for, beside those of all time."""

    NONE = "none"  # no seasons: their boards, and the job that writes them, are not wanted
    HOURLY = "hourly"
    DAILY = "daily"  # from midnight in UTC
    WEEKLY = "weekly"  # from Monday, midnight in UTC


class StreamProfile(StrEnum):
    """What the streaming jobs are tuned for; the boards are the same."""

    DEFAULT = "default"  # throughput: batches of half a second, Kafka boards exactly once, visible at checkpoints
    LOW_LATENCY = "low-latency"  # a change is to be seen within a tenth of a second; Kafka boards at least once


class TopicProfile(StrEnum):
    """Which partition counts the topics get."""

    LAPTOP = "laptop"
    PROD = "prod"


class Settings(IngestSettings, ApiSettings):
    """Addresses, credentials and choices of one stack. Frozen: build another with `load_settings`."""

    # a value that is refused may be a password: pydantic's own message must not repeat it
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    home: Path = Field(default=Path(".gamestream"), description="Folder that holds all state of the stack.")
    port_base: int | None = Field(
        default=None,
        ge=1024,
        le=65000,
        description=f"First of {PORTS_PER_STACK} consecutive ports; unset: the usual ports.",
    )
    kafka_bootstrap: str = Field(default="", description="host:port of a Kafka broker; empty: the embedded one.")
    kafka_security_protocol: SecurityProtocol = Field(
        default=SecurityProtocol.PLAINTEXT,
        description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL; the embedded broker is PLAINTEXT on 127.0.0.1.",
    )
    kafka_sasl_mechanism: SaslMechanism = Field(
        default=SaslMechanism.SCRAM_SHA_512, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."
    )
    kafka_user: str = Field(default="", description="User that logs in to Kafka by SASL.")
    kafka_password: SecretStr = Field(
        default=SecretStr(""), description="Its password; empty: the file `<home>/secrets/kafka_password`."
    )
    kafka_ca_file: Path | None = Field(
        default=None,
        description="PEM file of the certificates that sign Kafka's and the registry's; unset: the system's.",
    )
    registry_url: str = Field(default="", description="Confluent-compatible schema registry; empty: the embedded one.")
    registry_user: str = Field(default="", description="User of the registry, by HTTP's basic authentication.")
    registry_password: SecretStr = Field(
        default=SecretStr(""), description="Its password; empty: the file `<home>/secrets/registry_password`."
    )
    flink_rest_url: str = Field(default="", description="Flink JobManager REST; empty: the embedded cluster.")
    flink_gateway_url: str = Field(default="", description="Flink SQL gateway REST; empty: the embedded one.")
    postgres_host: str = Field(default="127.0.0.1", description="Postgres host; set with `postgres_external`.")
    postgres_port: int = Field(default=0, description="Postgres port; 0: the embedded server's.")
    postgres_user: str = Field(default="gamestream", description="Postgres role that owns the tables.")
    postgres_password: SecretStr = Field(default=SecretStr(""), description="Its password; empty: the home's secret.")
    postgres_database: str = Field(default="gamestream", description="Database of boards and reconciliation tables.")
    postgres_schema: str = Field(
        default="public", pattern="^[a-z_][a-z0-9_]*$", description="Schema of boards and reconciliation tables."
    )
    dagster_database: str = Field(default="dagster", description="Database of Dagster's own storage.")
    topic_formats: dict[str, TopicFormat] = Field(
        default_factory=dict,
        description="Encoding by topic, json or avro, where it is not the one of topics.yaml; in the environment "
        "`topic=avro,other=json`.",
    )
    topic_profile: TopicProfile = Field(default=TopicProfile.LAPTOP, description="Partition counts of the topics.")
    recompute_engine: RecomputeEngine = Field(
        default=RecomputeEngine.DUCKDB, description="What recomputes the boards: duckdb, or a batch job on flink."
    )
    stream_profile: StreamProfile = Field(
        default=StreamProfile.DEFAULT, description="What the streaming jobs are tuned for: default or low-latency."
    )
    season: Season = Field(
        default=Season.NONE, description="Seasons beside the boards of all time: none, hourly, daily or weekly."
    )
    season_lateness_seconds: int = Field(
        default=3600,
        ge=0,
        description="How long after its end (of event time) a season may still take events, seconds.",
    )
    checkpoint_interval_seconds: int = Field(default=10, ge=1, description="Flink checkpoint interval, seconds.")
    taskmanager_heap_mib: int = Field(
        default=1536,
        ge=256,
        description="Heap of the embedded TaskManager, MiB: the jobs' state grows with players, and with the events "
        "of the horizon in which copies are told apart.",
    )
    flink_cores: int | None = Field(
        default=None,
        ge=1,
        description="Cores of the Flink cluster; unset: this machine's, or 2 for a cluster elsewhere.",
    )
    job_core_share: float = Field(
        default=0.5, gt=0, le=1, description="Share of those cores that a job runs on, where job.yaml says no number."
    )
    flink_options: dict[str, str] = Field(
        default_factory=dict, description="More options of the embedded Flink cluster; they win over our own."
    )
    origins: dict[str, str] = Field(default_factory=dict, description="Where each value came from.", repr=False)

    @field_validator("topic_formats", mode="before")
    @classmethod
    def _pairs(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        pairs = [pair.partition("=") for pair in given.split(",") if pair.strip()]
        return {topic.strip(): encoding.strip() for topic, _, encoding in pairs}

    EMBEDDED: ClassVar[tuple[str, ...]] = ("kafka", "registry", "flink", "postgres")

    def port(self, server: str) -> int:
        """Port of an embedded server, by its key in `STANDARD_PORTS`."""
        return port_of(server, self.port_base)

    def is_external(self, service: str) -> bool:
        """True when the service's address was given, so that nothing is started for it."""
        match service:
            case "kafka":
                return self.origin("kafka_bootstrap") not in ("default", "stack")
            case "registry":
                return self.origin("registry_url") not in ("default", "stack")
            case "flink":
                return self.origin("flink_rest_url") not in ("default", "stack")
            case "postgres":
                return self.origin("postgres_port") not in ("default", "stack")
            case _:
                raise SettingsError(f"{service!r} is not an external service; choose one of {', '.join(self.EMBEDDED)}")

    def origin(self, name: str) -> str:
        """`environment`, `profile`, `stack`, `argument` or `default`."""
        return self.origins.get(name, "default")

    @property
    def kafka(self) -> KafkaConnection:
        """How to reach Kafka.

        Raises:
            SettingsError: its settings do not fit together, or a file that they name cannot be used.
        """
        protocol = self.kafka_security_protocol
        if protocol is not SecurityProtocol.PLAINTEXT and not self.kafka_bootstrap:
            raise SettingsError(
                f"Setting 'kafka_security_protocol' is {protocol}, but the embedded broker is PLAINTEXT on 127.0.0.1; "
                "give the address of your own broker as kafka_bootstrap, or leave the protocol out."
            )
        if self.kafka_ca_file is not None and not (protocol.has_tls or self._registry_has_tls):
            raise SettingsError(
                f"Setting 'kafka_ca_file' would not be used: 'kafka_security_protocol' is {protocol}, without TLS; "
                "set it to SSL or SASL_SSL, or take the file away."
            )
        password = self._secret("kafka_password")
        check_login(protocol, self.kafka_user, password, self.home / "secrets" / "kafka_password")
        return KafkaConnection(
            bootstrap=self.kafka_bootstrap or f"127.0.0.1:{self.port('kafka')}",
            protocol=protocol,
            mechanism=self.kafka_sasl_mechanism,
            user=self.kafka_user,
            password=password,
            ca_pem=read_ca(self.kafka_ca_file) if protocol.has_tls else "",
        )

    @property
    def _registry_has_tls(self) -> bool:
        return self.registry_url.startswith("https:")

    @property
    def registry(self) -> RegistryConnection:
        """How to reach the registry (the Confluent-compatible root).

        Raises:
            SettingsError: a file that its settings name cannot be used.
        """
        embedded = f"http://127.0.0.1:{self.port('registry')}/apis/ccompat/v7"
        if not self.registry_url:
            return RegistryConnection(embedded)
        password = self._secret("registry_password")
        ca = read_ca(self.kafka_ca_file) if self._registry_has_tls else ""
        return RegistryConnection.at(self.registry_url, self.registry_user, password, ca)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every credential of the stack, as texts to mask."""
        return (self.postgres_password_value, *self.kafka.secrets, *self.registry.secrets)

    def _secret(self, name: str) -> str:
        """A password that was given, or that stands in the file of its name under `<home>/secrets`; else empty."""
        given: SecretStr = getattr(self, name)
        path = self.home / "secrets" / name
        if given.get_secret_value() or not path.exists():
            return given.get_secret_value()
        _check_private(path)
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} cannot be read ({error}); write the password into it anew.") from error

    @property
    def flink_rest(self) -> str:
        """JobManager REST address to use."""
        return self.flink_rest_url or f"http://127.0.0.1:{self.port('flink')}"

    @property
    def flink_gateway(self) -> str:
        """SQL gateway address to use."""
        return self.flink_gateway_url or f"http://127.0.0.1:{self.port('gateway')}"

    @property
    def dagster_url(self) -> str:
        """Address of the Dagster UI."""
        return f"http://127.0.0.1:{self.port('dagster')}"

    @property
    def dashboard_url(self) -> str:
        """Address of the dashboard."""
        return f"http://127.0.0.1:{self.port('dashboard')}"

    @property
    def ingest_url(self) -> str:
        """Address of the HTTP API of intake, as this machine reaches it."""
        return url_of(self.ingest_host, self.port("ingest"))

    @property
    def api_url(self) -> str:
        """Address of the serving API, as this machine reaches it."""
        return url_of(self.api_host, self.port("api"))

    @property
    def ingest_signing_secret_value(self) -> str:
        """The secret behind the signing secrets of keys: the given one, or the home's own (made on first use)."""
        given = self.ingest_signing_secret.get_secret_value()
        return given or _home_secret(self.home, "ingest_signing_secret")

    @property
    def postgres_password_value(self) -> str:
        """The password: the given one, or the home's own secret (made on first use, mode 0600)."""
        given = self.postgres_password.get_secret_value()
        return given or _home_secret(self.home, "postgres_password")

    def postgres_dsn(self, database: str | None = None, driver: str = "postgresql+psycopg") -> str:
        """SQLAlchemy URL. It holds the password: never print it, log it or store it."""
        port = self.postgres_port or self.port("postgres")
        name = database or self.postgres_database
        return f"{driver}://{self.postgres_user}:{self.postgres_password_value}@{self.postgres_host}:{port}/{name}"

    @property
    def jdbc_url(self) -> str:
        """JDBC URL without credentials."""
        port = self.postgres_port or self.port("postgres")
        return f"jdbc:postgresql://{self.postgres_host}:{port}/{self.postgres_database}"

    @property
    def archive_dir(self) -> Path:
        """Folder of the Parquet event archive."""
        return self.home / "archive"

    @property
    def enrichment_dir(self) -> Path:
        """Folder of the published geo and device tables; servers look at it again every ten seconds."""
        return self.home / "enrichment"

    @property
    def batch_jars_dir(self) -> Path:
        """Folder of the archives that a Flink session needs to read Parquet; absent where Flink is not embedded."""
        return self.home / "flink" / "batch"

    @property
    def reports_dir(self) -> Path:
        """Folder of reconciliation reports and Data Docs."""
        return self.home / "reports"

    def report_url(self, file: Path | str) -> str:
        """Where the dashboard serves a file of `reports_dir`; for a file elsewhere, its own `file:` address."""
        path = Path(file)
        if not path.is_relative_to(self.reports_dir):
            return path.absolute().as_uri()
        return f"{self.dashboard_url}/{REPORTS_PATH}/{quote(path.relative_to(self.reports_dir).as_posix())}"

    @property
    def checkpoints_dir(self) -> Path:
        """Folder of Flink checkpoints."""
        return self.home / "flink" / "checkpoints"

    @property
    def savepoints_dir(self) -> Path:
        """Folder of Flink savepoints."""
        return self.home / "flink" / "savepoints"


def load_settings(home: Path | str | None = None, port_base: int | None = None, **overrides: Any) -> Settings:
    """Read the settings of a stack.

    Args:
        home: state folder; default `GAMESTREAM_HOME` or `.gamestream` under the working directory.
        port_base: first port of the embedded servers.
        overrides: any other field of `Settings`; wins over every other source.

    Raises:
        SettingsError: a value is not usable; names the value and its origin.
    """
    arguments = {name: value for name, value in {"port_base": port_base, **overrides}.items() if value is not None}
    root = _folder(home or os.environ.get(ENV_PREFIX + "HOME", ".gamestream"))
    sources = [
        ("stack", _read_yaml(root / "run" / "stack.yaml")),
        ("profile", _read_yaml(root / "profile.yaml")),
        ("environment", _from_environment()),
        ("argument", arguments),
    ]
    values: dict[str, Any] = {"home": root}
    origins: dict[str, str] = {"home": "argument" if home else "default"}
    for origin, found in sources:
        values.update(found)
        origins.update(dict.fromkeys(found, origin))
    if any(origins.get(name) == "profile" for name in _SECRETS):
        _check_private(root / "profile.yaml")
    try:
        made = Settings(**values, origins=origins)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if name in _RETIRED:
            origin = origins.get(name, "default")
            raise SettingsError(f"The setting {name!r} (from {origin}) is no more: {_RETIRED[name]}.") from error
        raise SettingsError(
            f"Setting {name!r} (from {origins.get(name, 'default')}) cannot be used: {first['msg']}. "
            f"Known settings: {', '.join(sorted(set(Settings.model_fields) - {'origins'}))}."
        ) from error
    _ = made.kafka, made.registry  # what does not fit together is said now, not by the first client
    return made


def _check_private(path: Path) -> None:
    """Refuse a file with a password that other users can read."""
    if path.stat().st_mode & 0o077:
        raise SettingsError(f"{path} holds a password and other users can read it; run `chmod 600 {path}`.")


def _folder(given: Path | str) -> Path:
    try:
        root = Path(given).expanduser().resolve()
        usable = root.is_dir() or not root.exists()
    except (OSError, RuntimeError) as error:  # a loop of links, no home folder of that user, a name too long
        raise SettingsError(f"The home {given} cannot be used ({error}); give another --home.") from error
    if not usable:
        raise SettingsError(f"The home {root} is a file; give a folder with --home.")
    return root


def _from_environment() -> dict[str, str]:
    # `flink_options` is a mapping: from the profile file alone
    fields = (set(Settings.model_fields) | set(_RETIRED)) - {"home", "origins", "flink_options"}
    found = {name: os.environ.get(ENV_PREFIX + name.upper()) for name in fields}
    return {name: value for name, value in found.items() if value}


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise SettingsError(f"{path} is not valid YAML ({why}); mend it or delete it.") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}); mend its rights, or move it away.") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path} must hold `name: value` lines; mend it or delete it.")
    return content


def _home_secret(home: Path, name: str) -> str:
    path = home / "secrets" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(24))
    return path.read_text(encoding="utf-8").strip()
