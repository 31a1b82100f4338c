"""Certificates of a client, over a real port."""

import asyncio
import datetime
import ipaddress
from types import SimpleNamespace

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from serving.client import AsyncClient, Client, ClientTLS
from serving.errors import ServingError

ROWS = [{"kind": "c", "x": 1, "tags": ""}]
HOUR = datetime.timedelta(hours=1)


def issue(name, names, issuer=None):
    """A certificate for some names, by an issuer or by itself, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = x509.CertificateBuilder(
        issuer_name=issuer.subject if issuer else subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=datetime.datetime.now(datetime.UTC) - HOUR,
        not_valid_after=datetime.datetime.now(datetime.UTC) + HOUR,
    )
    alternatives, constraints = (
        x509.SubjectAlternativeName(names),
        x509.BasicConstraints(ca=issuer is None, path_length=None),
    )
    certificate = certificate.add_extension(alternatives, critical=False)
    certificate = certificate.add_extension(constraints, critical=True)
    signed = certificate.sign(issuer.signer if issuer else key, hashes.SHA256())
    encoding = serialization.Encoding.PEM
    return SimpleNamespace(
        subject=subject,
        signer=key,
        certificate=signed.public_bytes(encoding),
        key=key.private_bytes(
            encoding,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


@pytest.fixture(scope="module")
def authority():
    return issue("authority", [x509.DNSName("authority")])


@pytest.fixture(scope="module")
def ours(authority):
    return issue("client", [x509.DNSName("client")], authority)


@pytest.fixture
def start(models, publish, tmp_path, serve, authority):
    def start(name, *, mutual=False):
        server = issue("server", [name], authority)
        config = tmp_path / "ssl"
        config.write_text(
            f"server_key: {server.key.decode()!r}\n"
            f"server_cert: {server.certificate.decode()!r}\n"
            f"custom_ca: {authority.certificate.decode()!r}\n"
            f"client_verify: {str(mutual).lower()}\n"
        )
        publish(models.ranker, tmp_path / "m", 1)
        return serve(tmp_path / "m", ssl_config_file=str(config)).target

    return start


HERE = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


def scores(target, spec, tls):
    with Client(target, "m", spec, tls=tls, attempts=1) as client:
        return client.predict(ROWS).tolist()


def test_a_server_with_a_certificate(start, spec, authority, tmp_path):
    target = start(HERE)
    path = tmp_path / "root.pem"
    path.write_bytes(authority.certificate)

    # As bytes, as a path, and as a path in text.
    for root in (authority.certificate, path, str(path)):
        assert scores(target, spec, ClientTLS(root)) == [3]
    # Plain text, the public authorities, and a stranger's certificate.
    stranger = issue("stranger", [HERE])
    for tls in (None, ClientTLS(), ClientTLS(stranger.certificate)):
        with pytest.raises(ServingError) as caught:
            scores(target, spec, tls)
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_server_that_asks_for_a_certificate(start, spec, authority, ours, tmp_path):
    target = start(HERE, mutual=True)
    (tmp_path / "key.pem").write_bytes(ours.key)
    root = authority.certificate

    assert scores(
        target, spec, ClientTLS(root, ours.certificate, tmp_path / "key.pem")
    ) == [3]
    stranger = issue("stranger", [HERE])
    for tls in (ClientTLS(root), ClientTLS(root, stranger.certificate, stranger.key)):
        with pytest.raises(ServingError) as caught:
            scores(target, spec, tls)
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_server_of_another_name(start, spec, authority):
    target = start(x509.DNSName("ranker.internal"))

    with pytest.raises(ServingError):
        scores(target, spec, ClientTLS(authority.certificate))
    tls = ClientTLS(authority.certificate, server_name="ranker.internal")
    assert scores(target, spec, tls) == [3]


def test_asyncio(start, spec, authority, ours):
    target = start(HERE, mutual=True)
    tls = ClientTLS(authority.certificate, ours.certificate, ours.key)

    async def ask():
        async with AsyncClient(target, "m", spec, tls=tls) as client:
            return await client.predict(ROWS)

    assert asyncio.run(ask()).tolist() == [3]


def test_wrong_certificates_are_told_at_once(authority, ours, tmp_path):
    root = authority.certificate
    with pytest.raises(ValueError, match="tls: expected a key to the certificate"):
        ClientTLS(root, ours.certificate).credentials()
    with pytest.raises(ValueError, match="tls: expected a certificate to the key"):
        ClientTLS(root, key=ours.key).credentials()
    with pytest.raises(FileNotFoundError, match=r"absent\.pem"):
        ClientTLS(tmp_path / "absent.pem").credentials()
    with pytest.raises(ServingError, match="as root_certificate, found"):
        ClientTLS(b"no certificate").credentials()
    for key in (authority.key, b"no key"):
        with pytest.raises(ServingError, match=r"key or certificate .* unusable"):
            ClientTLS(root, ours.certificate, key).credentials()
