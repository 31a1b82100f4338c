"""The connection of a client: TLS, messages of any length, and retries by gRPC."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import ssl
from pathlib import Path
from typing import Any

import grpc

from serving.errors import invalid
from serving.tls import TLS

#: Most attempts that gRPC makes.
MAX_ATTEMPTS = 5

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC doesn't send a request again that is longer than this, by default 256 KiB.
    ("grpc.per_rpc_retry_buffer_size", 2**31 - 1),
    # A server that is starting should be found soon, not after gRPC's growing pauses.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)

# Least seconds of silence in which a request waits, before the server is asked whether
# it is there, and then for its answer.
_SILENCE = 20.0

Pem = str | os.PathLike[str] | bytes
"""Certificates or a key in PEM: a path, or the content as bytes."""


@dataclasses.dataclass(frozen=True)
class ClientTLS:
    """What a client trusts, and how it shows who it is.

    Attributes:
        root_certificate: Certificates that the server's one is checked against. Default
            `None`: the public ones that come with gRPC.
        certificate: The client's certificate with the chain that leads to its CA, for
            a server that asks for one (mutual TLS).
        key: Private key of the client.
        server_name: Name in the server's certificate, where it is not the one in the
            client's target.
    """

    root_certificate: Pem | None = None
    certificate: Pem | None = None
    key: Pem | None = None
    server_name: str = ""

    def credentials(self) -> grpc.ChannelCredentials:
        """Returns what a gRPC channel is told.

        Raises:
            OSError: A file can't be read.
            ServingError: INVALID_ARGUMENT, if a certificate is damaged, or key and
                certificate don't belong together.
            ValueError: Of key and certificate, one is missing.
        """
        if (self.certificate is None) != (self.key is None):
            missing, given = (
                ("certificate", "key")
                if self.certificate is None
                else ("key", "certificate")
            )
            raise ValueError(f"tls: expected a {missing} to the {given}, found none")
        root, chain, key = map(
            _read, (self.root_certificate, self.certificate, self.key)
        )
        # Now, because gRPC would refuse every handshake and not say why.
        if root is not None:
            _check_root(root)
        if chain is not None and key is not None:
            try:
                TLS(key.decode(), chain.decode()).ssl_context()
            except UnicodeDecodeError as error:
                raise invalid(
                    f"tls: expected certificate and key as PEM, found no text: {error}"
                ) from error
        return grpc.ssl_channel_credentials(root, key, chain)


def open_channel(
    api: Any,
    target: str,
    tls: ClientTLS | None,
    attempts: int,
    *,
    balanced: bool = True,
    timeout: float | None = None,
) -> Any:
    """Opens a channel.

    Args:
        api: Whose: `grpc`, or `grpc.aio`.
        target: The server, as `host:port`.
        tls: Certificates; `None` for a plain connection.
        attempts: Most attempts to send a request for scores; 1 for no retries.
        balanced: Whether requests go in turn to all addresses that the target has, and
            not to one that answers.
        timeout: Most seconds that a request may take. A server that hangs, or whose
            machine is gone, is left after twice as long, at least 40 s. Default `None`:
            when the system says that the connection is broken.

    Raises:
        OSError: A file of `tls` can't be read.
        ServingError: INVALID_ARGUMENT, if what is in it can't be used.
    """
    options: list[tuple[str, int | str]] = [
        *_OPTIONS,
        # One in the environment is not meant for this machine itself.
        ("grpc.enable_http_proxy", int(not _is_local(target))),
        ("grpc.service_config", _service_config(attempts, balanced)),
    ]
    if timeout is not None:
        options += _keepalive(timeout)
    if tls is None:
        return api.insecure_channel(target, options=options)
    if tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return api.secure_channel(target, tls.credentials(), options=options)


def _is_local(target: str) -> bool:
    host = target.rsplit(":", 1)[0].strip("[]")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified


def _keepalive(timeout: float) -> list[tuple[str, int | str]]:
    """How gRPC finds a server that hangs, which keeps its connection.

    A ping is sent while a request waits in silence. By default a server ends the
    connection of who sends it several in five minutes without an answer of it to a
    request in between. One that answers in time gets one at most.

    References:
        "Keepalive User Guide for gRPC Core", and gRFC A8.
    """
    milliseconds = min(int(1000 * max(_SILENCE, timeout)), 2**31 - 1)
    return [
        ("grpc.keepalive_time_ms", milliseconds),
        ("grpc.keepalive_timeout_ms", milliseconds),
        # Without it gRPC waits for a minute, whatever the one above says.
        ("grpc.http2.ping_timeout_ms", milliseconds),
    ]


def _service_config(attempts: int, balanced: bool) -> str:
    """How gRPC balances, and retries within the deadline of a request.

    Pauses are about 0.1, 0.2, 0.4 and 0.8 s. While most requests fail, none is sent
    again, so that a server in need isn't asked five times as much.

    References:
        gRFC A6, "gRPC Retry Design".
    """
    config: dict[str, Any] = {}
    if balanced:
        config["loadBalancingConfig"] = [{"round_robin": {}}]
    if attempts == 1:
        return json.dumps(config)
    policy = {
        "maxAttempts": attempts,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
    }
    # Not the ModelService: who asks for the state wants to know it as it is.
    names = [{"service": "tensorflow.serving.PredictionService"}]
    config["methodConfig"] = [{"name": names, "retryPolicy": policy}]
    config["retryThrottling"] = {"maxTokens": 100, "tokenRatio": 0.1}
    return json.dumps(config)


def _read(pem: Pem | None) -> bytes | None:
    return pem if pem is None or isinstance(pem, bytes) else Path(pem).read_bytes()


def _check_root(root: bytes) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(
            cadata=root.decode()
        )
    except (OSError, ValueError) as error:
        raise invalid(
            f"tls: expected certificates in PEM as root_certificate, found: {error}"
        ) from error
