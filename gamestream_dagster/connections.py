"""How clients reach Kafka and the schema registry, whatever the client library.

The text of a connection is its address alone, so that no message or log line can show a credential.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from gamestream_dagster.errors import SettingsError

_LOG_LEVEL: Final = 2  # librdkafka would print each refused connection to stderr; our typed errors say it once
# The SQL connector holds Kafka's client under a package of its own, and JAAS names login modules by their class.
_SHADED: Final = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security"
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


class SecurityProtocol(StrEnum):
    """How a Kafka listener is secured, by Kafka's own names."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"  # TLS, no login
    SASL_PLAINTEXT = "SASL_PLAINTEXT"  # login, no TLS
    SASL_SSL = "SASL_SSL"  # TLS and login

    @property
    def has_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self in (SecurityProtocol.SSL, SecurityProtocol.SASL_SSL)

    @property
    def has_login(self) -> bool:
        """Whether the client logs in with user and password."""
        return self in (SecurityProtocol.SASL_PLAINTEXT, SecurityProtocol.SASL_SSL)


class SaslMechanism(StrEnum):
    """How a client proves its password to Kafka."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


@dataclass(frozen=True)
class KafkaConnection:
    """Address, security and login of one Kafka cluster.

    `ca_pem`: certificates that sign the brokers', as PEM; empty: those that the system trusts.
    """

    bootstrap: str
    protocol: SecurityProtocol = SecurityProtocol.PLAINTEXT
    mechanism: SaslMechanism = SaslMechanism.SCRAM_SHA_512
    user: str = ""
    password: str = field(default="", repr=False)
    ca_pem: str = field(default="", repr=False)

    def __str__(self) -> str:
        return self.bootstrap

    def options(self, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Options of a librdkafka client; `more` are further ones, which win."""
        found: dict[str, Any] = {"bootstrap.servers": self.bootstrap, "log_level": _LOG_LEVEL}
        if self.protocol is not SecurityProtocol.PLAINTEXT:
            found["security.protocol"] = self.protocol.value
        if self.protocol.has_login:
            found |= {
                "sasl.mechanism": self.mechanism.value,
                "sasl.username": self.user,
                "sasl.password": self.password,
            }
        if self.protocol.has_tls and self.ca_pem:
            found["ssl.ca.pem"] = self.ca_pem
        return {**found, **(more or {})}

    @property
    def flink_security(self) -> dict[str, str]:
        """Options of a Kafka table in Flink besides its address; they hold the password.

        Empty for plain text. The certificates go along as text, because a TaskManager need not see our files.
        """
        if self.protocol is SecurityProtocol.PLAINTEXT:
            return {}
        found = {"properties.security.protocol": self.protocol.value}
        if self.protocol.has_login:
            found |= {"properties.sasl.mechanism": self.mechanism.value, "properties.sasl.jaas.config": self._jaas}
        if self.protocol.has_tls and self.ca_pem:
            found |= {
                "properties.ssl.truststore.type": "PEM",
                "properties.ssl.truststore.certificates": _one_line(self.ca_pem),
            }
        return found

    @property
    def _jaas(self) -> str:
        module = "plain.PlainLoginModule" if self.mechanism is SaslMechanism.PLAIN else "scram.ScramLoginModule"
        return f'{_SHADED}.{module} required username="{_in_jaas(self.user)}" password="{_in_jaas(self.password)}";'

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts to mask wherever options of this connection may show."""
        return tuple({self.password, _in_jaas(self.password)} - {""})


@dataclass(frozen=True)
class RegistryConnection:
    """Address and login of a Confluent-compatible schema registry. `ca_pem`: as for Kafka, besides the system's."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    ca_pem: str = field(default="", repr=False)

    @classmethod
    def at(cls, url: str, user: str = "", password: str = "", ca_pem: str = "") -> RegistryConnection:
        """From an address that may hold `user:password@`; an explicit user wins over it."""
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        plain = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        if user or not parts.username:
            return cls(plain, user, password, ca_pem)
        return cls(plain, unquote(parts.username), password or unquote(parts.password or ""), ca_pem)

    def __str__(self) -> str:
        return self.url

    @property
    def http(self) -> dict[str, Any]:
        """Options of an httpx client: login, and what certificates it trusts."""
        verify: ssl.SSLContext | bool = False  # plain HTTP needs none, and reading the system's takes time
        if self.url.startswith("https:"):
            verify = ssl.create_default_context()
            if self.ca_pem:
                verify.load_verify_locations(cadata=self.ca_pem)
        auth = (self.user, self.password) if self.user else None
        # a proxy from the environment must not get between us and our own server
        return {"auth": auth, "verify": verify, "trust_env": False}

    @property
    def user_info(self) -> str:
        """`user:password`, as HTTP's basic authentication wants it; empty without a user."""
        return f"{self.user}:{self.password}" if self.user else ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts to mask."""
        return (self.password,) if self.password else ()


def check_login(protocol: SecurityProtocol, user: str, password: str, file: Path) -> None:
    """Check that a protocol with a login has one, and one without has none.

    Args:
        protocol: of the listener.
        user: who logs in.
        password: the user's.
        file: where the password is looked for besides the environment.

    Raises:
        SettingsError: says which setting is missing, or is not used.
    """
    if protocol.has_login and not user:
        raise SettingsError(f"Setting 'kafka_user' is missing: {protocol} needs a user; set GAMESTREAM_KAFKA_USER.")
    if protocol.has_login and not password:
        raise SettingsError(
            f"Setting 'kafka_password' is missing: {protocol} logs in as {user!r}. Set GAMESTREAM_KAFKA_PASSWORD, or "
            f"write the password into {file} and run `chmod 600 {file}`."
        )
    if not protocol.has_login and (user or password):
        raise SettingsError(
            f"Kafka's user and password would not be used: 'kafka_security_protocol' is {protocol}; "
            "set it to SASL_SSL or SASL_PLAINTEXT, or take the user and the password away."
        )


def read_ca(path: Path | None) -> str:
    """The certificates of a PEM file; empty without a file.

    Raises:
        SettingsError: there is no such file, it cannot be read, or it holds no certificate.
    """
    if path is None:
        return ""
    try:
        text = path.expanduser().read_text(encoding="ascii")
    except OSError as error:
        raise SettingsError(
            f"Setting 'kafka_ca_file': {path} cannot be read ({error.strerror}); "
            "give the path of the PEM file with the certificate that signed the brokers'."
        ) from error
    except UnicodeDecodeError as error:
        raise _no_certificate(path) from error
    found = "\n".join(match.group(0) for match in _CERTIFICATE.finditer(text))
    if not found:
        raise _no_certificate(path)
    return found + "\n"


def _no_certificate(path: Path) -> SettingsError:
    return SettingsError(
        f"Setting 'kafka_ca_file': {path} holds no certificate in PEM (-----BEGIN CERTIFICATE-----); "
        "convert it: openssl x509 -inform der -in FILE -out ca.pem."
    )


def _one_line(pem: str) -> str:
    """Certificates as one line, which Kafka's reader takes and an SQL literal may hold."""
    bodies = ("".join(match.group(1).split()) for match in _CERTIFICATE.finditer(pem))
    return " ".join(f"-----BEGIN CERTIFICATE----- {body}-----END CERTIFICATE-----" for body in bodies)


def _in_jaas(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
