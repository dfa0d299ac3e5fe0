"""Addresses, credentials and choices of one stack."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from pydantic import ConfigDict, Field, SecretStr, field_validator

from gamestream_dagster.connections import (
    KafkaConnection,
    RegistryConnection,
    SaslMechanism,
    SecurityProtocol,
    check_login,
    read_ca,
)
from gamestream_dagster.errors import SettingsError
from gamestream_dagster.port_block import PORTS_PER_STACK, port_of
from gamestream_dagster.settings.api import ApiSettings
from gamestream_dagster.settings.choices import Ranks, RecomputeEngine, Season, StreamProfile, TopicFormat, TopicProfile
from gamestream_dagster.settings.http import url_of
from gamestream_dagster.settings.ingest import IngestSettings

TASK_SLOTS = 10  # of the embedded TaskManager

PROJECT_ROOT = Path(__file__).resolve().parents[2]
REPORTS_PATH = "reports"  # under which the dashboard serves the files of `reports_dir`


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
    ranks: Ranks = Field(
        default=Ranks.BOARDS, description="Whose ranks are kept: boards, or all for every player's (needs Valkey)."
    )
    valkey_url: str = Field(
        default="",
        pattern=r"^$|^(valkey|valkeys|redis|rediss)://[^@\s]+$",
        description="Valkey or Redis that holds the ranks, such as valkey://host:6379/0, without credentials; empty: "
        "the embedded one.",
    )
    valkey_user: str = Field(default="", description="User of a Valkey given by its address.")
    valkey_password: SecretStr = Field(
        default=SecretStr(""), description="Its password; empty: the file `<home>/secrets/valkey_password`."
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

    EMBEDDED: ClassVar[tuple[str, ...]] = ("kafka", "registry", "flink", "postgres", "valkey")

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
            case "valkey":
                return self.origin("valkey_url") not in ("default", "stack")
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
        valkey = (self.valkey_password_value,) if self.ranks is Ranks.ALL else ()
        return (self.postgres_password_value, *self.kafka.secrets, *self.registry.secrets, *filter(None, valkey))

    def _secret(self, name: str) -> str:
        """A password that was given, or that stands in the file of its name under `<home>/secrets`; else empty."""
        given: SecretStr = getattr(self, name)
        path = self.home / "secrets" / name
        if given.get_secret_value() or not path.exists():
            return given.get_secret_value()
        check_private(path)
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} cannot be read ({error}); write the password into it anew.") from error

    @property
    def valkey(self) -> str:
        """Address of Valkey, without credentials."""
        return self.valkey_url or f"valkey://127.0.0.1:{self.port('valkey')}"

    @property
    def valkey_password_value(self) -> str:
        """Valkey's password: the given one, the embedded server's own (made on first use), or empty."""
        given = self._secret("valkey_password")
        return given if given or self.valkey_url else _home_secret(self.home, "embedded_valkey_password")

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
        """JDBC URL without credentials; it ends with a parameter, so that more follow after `&`."""
        port = self.postgres_port or self.port("postgres")
        address = f"jdbc:postgresql://{self.postgres_host}:{port}/{self.postgres_database}"
        return f"{address}?currentSchema={self.postgres_schema}"

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


def check_private(path: Path) -> None:
    """Refuse a file with a password that other users can read."""
    if path.stat().st_mode & 0o077:
        raise SettingsError(f"{path} holds a password and other users can read it; run `chmod 600 {path}`.")


def _home_secret(home: Path, name: str) -> str:
    path = home / "secrets" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(24))
    return path.read_text(encoding="utf-8").strip()
