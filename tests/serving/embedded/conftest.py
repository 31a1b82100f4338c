"""What tests of the embedded server share."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture
def base(models: SimpleNamespace, publish: Callable[..., Path], tmp_path: Path) -> Path:
    """The base path of a model that has one version, x / 2 + 2."""
    publish(models.half_plus_two, tmp_path / "m", 1)
    return tmp_path / "m"


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Keeps what is in a cycle of references: their collector does not run."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def ipv6() -> None:
    """Skips a test where IPv6 is turned off, as in many a container."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6")
