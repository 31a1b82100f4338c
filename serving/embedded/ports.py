"""TCP ports, on every interface as gRPC opens them, or on one address."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from serving.errors import invalid

# What a system says that has IPv6 compiled in, but turned off.
_NO_IPV6 = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def check_host(host: str) -> None:
    """Finds out whether a host is one that ports can be opened on.

    Raises:
        ServingError: INVALID_ARGUMENT: it isn't an IP address. A name can have several,
            of which gRPC and REST would have to take the same.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise invalid(
            f"host: expected an IP address, found {host!r}; take 127.0.0.1 for this"
            " machine alone, or 0.0.0.0 for every interface"
        ) from None


def is_everywhere(host: str) -> bool:
    """Returns whether an IP address stands for every interface, of IPv6 and IPv4."""
    return ipaddress.ip_address(host).is_unspecified


def address(host: str, port: int) -> str:
    """Returns an IP address and a port as gRPC and URLs have them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """Opens a port.

    Args:
        host: IP address to listen on; 0.0.0.0 and :: are every interface.
        port: Port there, 0 for any that is free.

    Returns:
        A socket that listens there; for every interface on IPv4 alone where there is no
        IPv6.

    Raises:
        OSError: It is in use, or not ours to open.
    """
    # All set SO_REUSEADDR, as gRPC does, so that a port in TIME_WAIT counts as free.
    if not is_everywhere(host):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(
                ("::", port), family=socket.AF_INET6, dualstack_ipv6=True
            )
        except OSError as error:
            if error.errno not in _NO_IPV6:
                raise
    return socket.create_server(("0.0.0.0", port))  # noqa: S104 - to be reached


def check_port(host: str, port: int) -> None:
    """Finds out whether a port can be opened.

    Args:
        host: IP address to listen on; 0.0.0.0 and :: are every interface.
        port: Port there, 0 for any that is free.

    Raises:
        OSError: It is in use, or not ours to open; or the address isn't this machine's.
    """
    try:
        listen(host, port).close()
    except OSError as error:
        problem = os.strerror(error.errno or 0)
        if error.errno == errno.EADDRNOTAVAIL:
            message = f"can't listen on {host}: {problem}; choose one of this machine"
        else:
            message = (
                f"can't open port {port}: {problem}; choose another, or -1 for any free"
                " one"
            )
        raise OSError(error.errno, message) from error
