import os
import subprocess
import sys

import pytest

from pipeline.benchmark.serving.cores import Cores, bound, split_cores
from pipeline.benchmark.serving.generator import Generator

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="only Linux binds processes to cores"
)


def test_the_generator_gets_what_the_server_leaves(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {7, 2, 4})
    assert split_cores(1) == Cores(frozenset({2}), frozenset({4, 7}))
    assert split_cores(2) == Cores(frozenset({2, 4}), frozenset({7}))


@pytest.mark.parametrize("count", [0, 3])
def test_both_need_a_core(monkeypatch, count):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2})
    with pytest.raises(ValueError, match=f"expected 1 to 2, .* found {count}"):
        split_cores(count)


def test_a_system_without_affinity_is_told(monkeypatch):
    monkeypatch.delattr(os, "sched_setaffinity")
    with pytest.raises(ValueError, match="only Linux"):
        split_cores(1)


def test_what_is_started_meanwhile_is_bound():
    before = os.sched_getaffinity(0)
    one = frozenset({max(before)})
    with bound(one):
        program = "import os; print(os.sched_getaffinity(0))"
        told = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
    assert told.stdout.strip() == str(set(one))
    assert os.sched_getaffinity(0) == before


def test_a_generator_is_bound_whatever_its_parent_is():
    available = os.sched_getaffinity(0)
    first, last = frozenset({min(available)}), frozenset({max(available)})
    with Generator(last) as generator, bound(first):
        found = generator._process.submit(os.sched_getaffinity, 0).result()
    assert found == last
