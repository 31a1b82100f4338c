"""Files of keys and certificates that can't be used."""

import ssl

import pytest
from cryptography.hazmat.primitives import serialization

from serving.embedded.server import ModelServer
from serving.errors import ServingError
from serving.tls import TLS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "server_key is missing"),
        ('server_key: "x"', "server_cert is missing"),
        (
            'server_key: "x" server_cert: "y" client_verify: true',
            "client_verify needs custom_ca",
        ),
        ('server_key: "x" server_cert: "y"', "the certificate is unusable"),
    ],
)
def test_a_wrong_file(tmp_path, text, message):
    config = tmp_path / "ssl"
    config.write_text(text)

    with pytest.raises(ServingError, match=message):
        ModelServer("m", tmp_path, ssl_config_file=str(config))


@pytest.mark.parametrize(
    ("wrong", "name"),
    [("key", "the key"), ("certificate", "the certificate"), ("ca", "the CA of the")],
)
def test_what_is_wrong_is_named(tmp_path, issue, write_ssl_config, wrong, name):
    own, authority = issue("server"), issue("authority")
    if wrong == "key":
        own.key = own.certificate
    elif wrong == "certificate":
        own.certificate = own.key
    else:
        authority.certificate = authority.key
    config = write_ssl_config(own, authority)

    with pytest.raises(ServingError, match=f"{config}: {name}.* is unusable"):
        ModelServer("m", tmp_path, ssl_config_file=str(config))


def test_text_between_certificates(issue):
    own = issue("server")
    chain = f"Z\u00fcrich\n{own.certificate.decode()}"

    TLS(own.key.decode(), chain, chain).ssl_context()


def test_a_damaged_authority_is_told_though_it_is_not_asked(issue):
    own = issue("server")

    with pytest.raises(ServingError, match="the CA of the clients is unusable"):
        TLS(own.key.decode(), own.certificate.decode(), "?").ssl_context()


def test_a_key_with_a_passphrase_is_an_error_and_no_question(issue, monkeypatch):
    own, passwords = issue("server"), []
    key = own.signer.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    load = ssl.SSLContext.load_cert_chain

    def watched(context, file, password=None):
        passwords.append(password)
        # Without one, OpenSSL would ask for it on the terminal.
        load(context, file, password=password or "")

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watched)
    with pytest.raises(ServingError, match="the key is unusable"):
        TLS(key.decode(), own.certificate.decode()).ssl_context()
    assert passwords == [""]
