"""Certificates of a client, over a real port."""

import asyncio
import ssl

import grpc
import pytest
from cryptography import x509

from serving.client import AsyncClient, Client, ClientTLS
from serving.errors import ServingError

ROWS = [{"kind": "c", "x": 1, "tags": ""}]


@pytest.fixture(scope="module")
def authority(issue):
    return issue("authority", [x509.DNSName("authority")])


@pytest.fixture(scope="module")
def ours(issue, authority):
    return issue("client", [x509.DNSName("client")], authority)


@pytest.fixture
def start(models, publish, tmp_path, serve, issue, write_ssl_config, authority):
    def start(*, mutual=False, **more):
        own = issue("server", issuer=authority, **more)
        config = write_ssl_config(own, authority, verify=mutual)
        publish(models.ranker, tmp_path / "m", 1)
        return serve(tmp_path / "m", ssl_config_file=str(config)).target

    return start


def scores(target, spec, tls):
    with Client(target, "m", spec, tls=tls, attempts=1) as client:
        return client.predict(ROWS).tolist()


def test_a_server_with_a_certificate(start, spec, issue, authority, tmp_path):
    target = start()
    path = tmp_path / "root.pem"
    path.write_bytes(authority.certificate)

    # As bytes, as a path, and as a path in text.
    for root in (authority.certificate, path, str(path)):
        assert scores(target, spec, ClientTLS(root)) == [3]
    # Plain text, the public authorities, and a stranger's certificate.
    stranger = issue("stranger")
    for tls in (None, ClientTLS(), ClientTLS(stranger.certificate)):
        with pytest.raises(ServingError) as caught:
            scores(target, spec, tls)
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_server_that_asks_for_a_certificate(
    start, spec, issue, authority, ours, tmp_path
):
    target = start(mutual=True)
    (tmp_path / "key.pem").write_bytes(ours.key)
    root = authority.certificate

    assert scores(
        target, spec, ClientTLS(root, ours.certificate, tmp_path / "key.pem")
    ) == [3]
    stranger = issue("stranger")
    for tls in (ClientTLS(root), ClientTLS(root, stranger.certificate, stranger.key)):
        with pytest.raises(ServingError) as caught:
            scores(target, spec, tls)
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_that_a_server_expects_tls_is_told(start, spec):
    with pytest.raises(ServingError, match="it expects TLS and was asked without"):
        scores(start(), spec, None)


def test_a_server_of_another_name(start, spec, authority):
    target = start(names=[x509.DNSName("ranker.internal")])

    with pytest.raises(ServingError):
        scores(target, spec, ClientTLS(authority.certificate))
    tls = ClientTLS(authority.certificate, server_name="ranker.internal")
    assert scores(target, spec, tls) == [3]


def test_asyncio(start, spec, authority, ours):
    target = start(mutual=True)
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
        with pytest.raises(ServingError, match="the key is unusable"):
            ClientTLS(root, ours.certificate, key).credentials()
    binary = ssl.PEM_cert_to_DER_cert(ours.certificate.decode())
    with pytest.raises(ServingError, match="certificate and key as PEM, found no text"):
        ClientTLS(root, binary, ours.key).credentials()
