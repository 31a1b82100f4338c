"""What is said of a server that can't be asked."""

import re
import socket

import grpc
import pytest

from serving.control import ServerControl
from serving.errors import ServingError


def test_a_server_that_keeps_silent_is_named():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        with (
            ServerControl(target, timeout=0.2) as control,
            pytest.raises(
                ServingError, match=f"no server answers at {re.escape(target)}: "
            ) as caught,
        ):
            control.states("m")

    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
