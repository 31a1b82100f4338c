"""TCP ports on every interface, of IPv6 and IPv4 as gRPC opens its own."""

from __future__ import annotations

import errno
import os
import socket

# What a system says that has IPv6 compiled in, but turned off.
_NO_IPV6 = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def listen(port: int) -> socket.socket:
    """Opens a port.

    Args:
        port: Port on every interface, 0 for any that is free.

    Returns:
        A socket that listens there; on IPv4 alone where there is no IPv6.

    Raises:
        OSError: It is in use, or not ours to open.
    """
    # Both set SO_REUSEADDR, as gRPC does, so that a port in TIME_WAIT counts as free.
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(
                ("::", port), family=socket.AF_INET6, dualstack_ipv6=True
            )
        except OSError as error:
            if error.errno not in _NO_IPV6:
                raise
    return socket.create_server(("0.0.0.0", port))  # noqa: S104 - to be reached


def check_port(port: int) -> None:
    """Finds out whether a port can be opened.

    Args:
        port: Port on every interface, 0 for any that is free.

    Raises:
        OSError: It is in use, or not ours to open.
    """
    try:
        listen(port).close()
    except OSError as error:
        raise OSError(
            error.errno,
            f"can't open port {port}: {os.strerror(error.errno or 0)};"
            " choose another, or -1 for any free one",
        ) from error
