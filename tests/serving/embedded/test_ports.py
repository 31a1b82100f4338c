"""TCP ports: on every interface, or on one address."""

import errno
import socket

import pytest

from serving.embedded.options import ServerOptions
from serving.embedded.ports import address, check_host, check_port, listen
from serving.errors import ServingError

EVERYWHERE = ServerOptions.host
ELSEWHERE = "192.0.2.1"
"""An address of documentation, so no machine's."""


def reaches(host, port):
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("everywhere", [EVERYWHERE, "::"])
def test_a_port_is_open_on_both_families(ipv6, everywhere):
    with listen(everywhere, 0) as server:
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

    check_port(EVERYWHERE, 0)
    with listen(EVERYWHERE, 0) as server:
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
            check_port(EVERYWHERE, port)
    assert caught.value.errno == errno.EADDRINUSE
    check_port(EVERYWHERE, port)


def test_a_port_is_open_on_one_address_alone():
    with listen("127.0.0.1", 0) as server:
        port = server.getsockname()[1]

        assert reaches("127.0.0.1", port)
        assert not reaches("127.0.0.2", port)
        check_port("127.0.0.2", port)
        for host in ("127.0.0.1", EVERYWHERE):
            with pytest.raises(OSError, match=f"can't open port {port}: Address"):
                check_port(host, port)


def test_a_port_is_open_on_one_address_of_ipv6(ipv6):
    with listen("::1", 0) as server:
        port = server.getsockname()[1]

        assert reaches("::1", port)
        assert not reaches("127.0.0.1", port)


def test_an_address_of_another_machine_is_told():
    with pytest.raises(OSError, match=f"can't listen on {ELSEWHERE}: .*this machine"):
        check_port(ELSEWHERE, 0)


@pytest.mark.parametrize("host", ["localhost", "", "127.0.0.1:8500", "[::1]"])
def test_a_host_is_an_address(host):
    with pytest.raises(ServingError, match="host: expected an IP address, found"):
        check_host(host)


def test_an_address_with_its_port():
    assert address("127.0.0.1", 8500) == "127.0.0.1:8500"
    assert address("::1", 8500) == "[::1]:8500"
