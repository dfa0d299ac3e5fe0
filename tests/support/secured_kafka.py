"""A broker of its own that is reached by TLS and SASL/SCRAM alone, from the platform's own files and tools."""

from __future__ import annotations

import datetime as dt
import ipaddress
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gamestream_dagster.platform import jars, kafka, layout
from gamestream_dagster.settings import Settings

USER = "games"
_SECURED = """
listeners=SECURE://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=SECURE://127.0.0.1:{port}
listener.security.protocol.map=SECURE:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SECURE
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.secure.scram-sha-512.sasl.jaas.config={login}
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
"""


@contextmanager
def secured_kafka(own: Settings, password: str) -> Iterator[Path]:
    """Run the broker on the Kafka port of `own`; gives the file of its CA."""
    layout.make_home(own)
    folder = layout.service_dir(own, "kafka")
    folder.mkdir()
    jars.ensure(jars.for_use(jars.JarUse.KAFKA))
    jars.link(jars.for_use(jars.JarUse.KAFKA), folder / "lib")
    make_certificates(folder)
    places = {"port": own.port("kafka"), "controller": own.port("kafka_controller")}
    login = f'org.apache.kafka.common.security.scram.ScramLoginModule required username="{USER}" password="{password}";'
    plain = kafka.SERVER_PROPERTIES.format(**places, data=folder / "data").splitlines()
    kept = [line for line in plain if "listener" not in line or line.startswith("controller.")]
    properties = folder / "server.properties"
    properties.write_text("\n".join(kept) + _SECURED.format(**places, folder=folder, login=login))
    scram = f"SCRAM-SHA-512=[name={USER},password={password}]"
    at = ("-t", kafka.cluster_id(), "-c", str(properties), "--add-scram", scram)
    subprocess.run(kafka.tool(own, "kafka.tools.StorageTool", "format", *at), check=True, capture_output=True)
    with (folder / "log").open("w") as log:
        broker = subprocess.Popen(kafka.program(own).command, stdout=log, stderr=log)
        try:
            yield folder / "ca.pem"
        finally:
            broker.terminate()
            broker.wait(30)


def wait_for_broker(settings: Settings, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while why := kafka.probe(settings):
        assert time.monotonic() < deadline, why


def make_certificates(folder: Path) -> None:
    """`ca.pem`, and `broker.pem`: a certificate for 127.0.0.1 that it signed, with its key."""
    ca_key, ca = _certificate("gamestream test CA", None)
    key, signed = _certificate("127.0.0.1", (ca_key, ca))
    (folder / "ca.pem").write_bytes(_pem(ca))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "broker.pem").write_bytes(private + _pem(signed))


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _certificate(
    name: str, issuer: tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[1].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer:
        here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        made = made.add_extension(x509.SubjectAlternativeName([here]), critical=False)
    return key, made.sign(issuer[0] if issuer else key, hashes.SHA256())
