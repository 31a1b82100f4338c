"""TCP ports: of both families, or of the one that the system has."""

import errno
import socket

import pytest

from serving.embedded.ports import check_port, listen


def reaches(host, port):
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


def test_a_port_is_open_on_both_families(ipv6):
    with listen(0) as server:
        port = server.getsockname()[1]

        assert reaches("127.0.0.1", port)
        assert reaches("::1", port)


@pytest.mark.parametrize("fails", ["nowhere", "at bind", "at socket"])
def test_without_ipv6_a_port_is_open_on_ipv4(monkeypatch, fails):
    create = socket.create_server
    code = errno.EADDRNOTAVAIL if fails == "at bind" else errno.EAFNOSUPPORT

    def create_without_ipv6(address, *, family=socket.AF_INET, **arguments):
        if family == socket.AF_INET6:
            raise OSError(code, "no IPv6")
        return create(address, family=family, **arguments)

    monkeypatch.setattr(socket, "create_server", create_without_ipv6)
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: fails != "nowhere")

    check_port(0)
    with listen(0) as server:
        assert server.family == socket.AF_INET
        assert reaches("127.0.0.1", server.getsockname()[1])


@pytest.mark.parametrize("host", ["", "127.0.0.1"])
def test_a_port_that_is_taken_on_ipv4_is_taken(host):
    check_taken(host, socket.AF_INET)


def test_a_port_that_is_taken_on_ipv6_is_taken(ipv6):
    check_taken("::1", socket.AF_INET6)


def check_taken(host, family):
    with socket.create_server((host, 0), family=family) as server:
        port = server.getsockname()[1]

        with pytest.raises(OSError, match=f"can't open port {port}: Address") as caught:
            check_port(port)
    assert caught.value.errno == errno.EADDRINUSE
    check_port(port)
