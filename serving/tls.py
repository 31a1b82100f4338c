"""TLS of both ports, from the SSL configuration file of tensorflow_model_server."""

from __future__ import annotations

import contextlib
import dataclasses
import ssl
import tempfile
from collections.abc import Iterator

import grpc

from serving.config_files import read_config
from serving.errors import ServingError, invalid
from serving.protos import SSLConfig


@dataclasses.dataclass(frozen=True)
class TLS:
    """Keys and certificates, as PEM.

    Attributes:
        key: Private key of the server.
        certificate: Certificate of the server, with the chain that leads to its CA.
        client_ca: Certificates that clients' ones are checked against.
        verify_clients: Whether a client needs a certificate.
    """

    key: str
    certificate: str
    client_ca: str = ""
    verify_clients: bool = False

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Returns what a gRPC server is told."""
        return grpc.ssl_server_credentials(
            [(self.key.encode(), self.certificate.encode())],
            root_certificates=self.client_ca.encode() or None,
            require_client_auth=self.verify_clients,
        )

    def ssl_context(self) -> ssl.SSLContext:
        """Returns what an HTTP server is told.

        Raises:
            ServingError: INVALID_ARGUMENT, if a key or certificate is damaged, the
                key has a passphrase, or they don't belong together.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # By itself first: of both together, OpenSSL doesn't say which is wrong.
        other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _load_certificates(other, "the certificate", self.certificate)
        # The module loads a key from a file only; this one has a second to live, and
        # only this user can read it.
        with (
            _named("the key", "the certificate's as PEM, without a passphrase"),
            tempfile.NamedTemporaryFile("w", suffix=".pem") as file,
        ):
            file.write(self.key + "\n" + self.certificate)
            file.flush()
            # Without a password, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(file.name, password="")
        if self.client_ca:
            _load_certificates(context, "the CA of the clients", self.client_ca)
        if self.verify_clients:
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def read_tls(path: str) -> TLS:
    """Reads a `--ssl_config_file`.

    Args:
        path: A file with an SSLConfig as text, the PEM texts in it.

    Returns:
        The keys and certificates, checked.

    Raises:
        ServingError: The file can't be read, or its contents can't be used.
    """
    config = read_config(path, SSLConfig())
    for name in ("server_key", "server_cert"):
        if not getattr(config, name):
            raise invalid(f"{path}: {name} is missing")
    if config.client_verify and not config.custom_ca:
        raise invalid(f"{path}: client_verify needs custom_ca, the CA of the clients")
    tls = TLS(
        config.server_key, config.server_cert, config.custom_ca, config.client_verify
    )
    # Now, because gRPC would open the port all the same and refuse every handshake.
    try:
        tls.ssl_context()
    except ServingError as error:
        raise invalid(f"{path}: {error.message}") from error
    return tls


def _load_certificates(context: ssl.SSLContext, name: str, pem: str) -> None:
    with _named(name, "certificates as PEM"):
        # The module wants ASCII; between certificates there may be any text.
        ascii_only = pem.encode("ascii", "ignore").decode()
        context.load_verify_locations(cadata=ascii_only)


@contextlib.contextmanager
def _named(name: str, expected: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise invalid(
            f"{name} is unusable: expected {expected}, found what OpenSSL refuses:"
            f" {error}"
        ) from error
