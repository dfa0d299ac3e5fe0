"""How clients reach Kafka and the registry: what each library gets, what is refused, and that no password shows."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from gamestream_dagster.clients.flink_literal import literal
from gamestream_dagster.connections import KafkaConnection, RegistryConnection, SaslMechanism, SecurityProtocol
from gamestream_dagster.settings import Settings, SettingsError, load_settings

CANARY = 'canary"42\\x'
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\nBBBB\n-----END CERTIFICATE-----\n"
SECURED = KafkaConnection(
    "k:1", SecurityProtocol.SASL_SSL, SaslMechanism.SCRAM_SHA_256, user="games", password=CANARY, ca_pem=PEM * 2
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [one for one in os.environ if one.startswith("GAMESTREAM_")]:
        monkeypatch.delenv(name)
    (tmp_path / "ca.pem").write_text("Subject: games\n" + PEM)
    (tmp_path / "secrets").mkdir()
    return tmp_path


def secured(home: Path, **changes: object) -> Settings:
    given = {
        "kafka_bootstrap": "k:1",
        "kafka_security_protocol": "SASL_SSL",
        "kafka_user": "games",
        "kafka_password": CANARY,
        "kafka_ca_file": home / "ca.pem",
    }
    return load_settings(home, **{**given, **changes})


def test_plain_text_is_the_address_and_nothing_else():
    assert KafkaConnection("k:1").options() == {"bootstrap.servers": "k:1", "log_level": 2}
    assert KafkaConnection("k:1").flink_security == {}


def test_a_client_logs_in_and_its_own_options_win():
    assert SECURED.options({"log_level": 0, "client.id": "x"}) == {
        "bootstrap.servers": "k:1",
        "log_level": 0,
        "client.id": "x",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": "games",
        "sasl.password": CANARY,
        "ssl.ca.pem": PEM * 2,
    }


def test_flink_gets_the_login_module_of_its_connector_and_the_certificates_in_one_line():
    found = SECURED.flink_security
    assert found["properties.sasl.jaas.config"] == (
        "org.apache.flink.kafka.shaded.org.apache.kafka.common.security.scram.ScramLoginModule required "
        'username="games" password="canary\\"42\\\\x";'
    )
    one = "-----BEGIN CERTIFICATE----- AAAABBBB-----END CERTIFICATE-----"
    assert found["properties.ssl.truststore.certificates"] == f"{one} {one}"
    assert all(literal(value) for value in found.values())  # no line break reaches the SQL


def test_only_what_the_protocol_needs_is_given():
    plain_login = replace(SECURED, protocol=SecurityProtocol.SASL_PLAINTEXT, mechanism=SaslMechanism.PLAIN)
    assert "ssl.ca.pem" not in plain_login.options()
    assert "plain.PlainLoginModule" in plain_login.flink_security["properties.sasl.jaas.config"]
    tls = replace(SECURED, protocol=SecurityProtocol.SSL, ca_pem="")
    assert tls.flink_security == {"properties.security.protocol": "SSL"}
    assert "sasl.password" not in tls.options()


def test_no_text_of_a_connection_holds_the_password():
    registry = RegistryConnection.at(f"https://games:{'p%40ss'}@registry:1/api/")
    assert (registry.url, registry.user_info) == ("https://registry:1/api", "games:p@ss")
    for one in (SECURED, registry, replace(registry, password=CANARY)):
        assert all(secret not in f"{one} {one!r}" for secret in (*one.secrets, CANARY, "p%40ss"))
    assert (str(SECURED), str(registry)) == ("k:1", "https://registry:1/api")


def test_the_settings_give_the_connection(home: Path):
    assert secured(home).kafka == KafkaConnection(
        "k:1", SecurityProtocol.SASL_SSL, SaslMechanism.SCRAM_SHA_512, "games", CANARY, PEM
    )
    assert str(Settings(port_base=20000).kafka) == "127.0.0.1:20000"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kafka_password": None}, "write the password into"),
        ({"kafka_user": None}, "needs a user; set GAMESTREAM_KAFKA_USER"),
        ({"kafka_ca_file": "/no/such.pem"}, "cannot be read (No such file or directory); give the path of the PEM"),
        ({"kafka_ca_file": Path(__file__).with_name("test_advice.py")}, "holds no certificate in PEM"),
        ({"kafka_security_protocol": "SSL"}, "would not be used: 'kafka_security_protocol' is SSL"),
        ({"kafka_security_protocol": "SASL_PLAINTEXT"}, "'kafka_ca_file' would not be used"),
        ({"kafka_security_protocol": None, "kafka_ca_file": None}, "set it to SASL_SSL or SASL_PLAINTEXT"),
        ({"kafka_bootstrap": None}, "give the address of your own broker as kafka_bootstrap"),
        ({"kafka_security_protocol": "TLS"}, "'kafka_security_protocol' (from argument) cannot be used"),
        ({"kafka_sasl_mechanism": "GSSAPI"}, "'kafka_sasl_mechanism' (from argument) cannot be used"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused_with_what_to_do(home: Path, changes: dict, said: str):
    with pytest.raises(SettingsError) as caught:
        secured(home, **changes)
    assert said in str(caught.value)
    assert CANARY not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_the_password_may_stand_in_a_private_file(home: Path):
    file = home / "secrets" / "kafka_password"
    file.write_text(f"{CANARY}\n")
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="other users can read it; run `chmod 600"):
        secured(home, kafka_password=None)
    file.chmod(0o600)
    assert secured(home, kafka_password=None).kafka.password == CANARY


def test_a_profile_with_a_password_is_private(home: Path):
    profile = home / "profile.yaml"
    profile.write_text(f"registry_password: {CANARY}\nregistry_user: games\nregistry_url: http://r:1\n")
    profile.chmod(0o644)
    with pytest.raises(SettingsError, match="run `chmod 600"):
        load_settings(home)
    profile.chmod(0o600)
    assert load_settings(home).registry == RegistryConnection("http://r:1", "games", CANARY)


def test_a_refused_password_is_not_repeated(home: Path):
    with pytest.raises(SettingsError) as caught:
        secured(home, kafka_password=[CANARY])
    assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_every_credential_is_known_to_be_masked(home: Path):
    made = secured(home, registry_url="http://games:regpw@r:1", postgres_password="pgpw")
    assert {CANARY, "regpw", "pgpw", 'canary\\"42\\\\x'} <= set(made.secrets)
    assert "regpw" not in f"{made.registry}"
