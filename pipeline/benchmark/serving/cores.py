"""Gives the server and what sends the load different cores."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple


class Cores(NamedTuple):
    """Which cores are whose.

    Attributes:
        server: The server's, and the reference's.
        generator: Those of what sends the load.
    """

    server: frozenset[int]
    generator: frozenset[int]


def split_cores(count: int) -> Cores:
    """Divides the cores that this process may use.

    Args:
        count: Number of the server's.

    Raises:
        ValueError: If that leaves none for the generator, or the system can't bind a
            process to cores (only Linux can).
    """
    if not hasattr(os, "sched_setaffinity"):
        raise ValueError("server cores: only Linux can bind a process to cores")
    available = sorted(os.sched_getaffinity(0))
    if not 1 <= count < len(available):
        raise ValueError(
            f"server cores: expected 1 to {len(available) - 1}, since"
            f" {len(available)} are available and the load takes at least one,"
            f" found {count}"
        )
    return Cores(frozenset(available[:count]), frozenset(available[count:]))


def bind(cores: frozenset[int]) -> None:
    """Binds this thread, and what it starts from now on, to some cores."""
    os.sched_setaffinity(0, cores)


@contextlib.contextmanager
def bound(cores: frozenset[int]) -> Iterator[None]:
    """Binds this thread, and what it starts meanwhile, to some cores."""
    before = frozenset(os.sched_getaffinity(0))
    bind(cores)
    try:
        yield
    finally:
        bind(before)
