"""What the server's options make of a model's."""

import pytest

from serving.embedded import loading
from serving.embedded.options import ServerOptions
from serving.embedded.session import Threads
from serving.errors import ServingError


@pytest.fixture
def load(monkeypatch):
    """Returns the options that a model would be loaded with."""
    monkeypatch.setattr(loading, "LoadedModel", lambda path, options: options)

    def make(**options):
        return loading.make_loader(ServerOptions(isolate_models=False, **options))("m")

    return make


# Upstream's rule: one of the two pools' own numbers, and that for both is ignored.
@pytest.mark.parametrize(
    ("session", "intra_op", "inter_op", "expected"),
    [
        (0, 0, 0, Threads(0, 0)),
        (3, 0, 0, Threads(3, 3)),
        (0, 4, 5, Threads(4, 5)),
        (3, 4, 0, Threads(4, 0)),
        (3, 0, 5, Threads(0, 5)),
    ],
)
def test_numbers_of_threads(load, session, intra_op, inter_op, expected):
    options = load(
        tensorflow_session_parallelism=session,
        tensorflow_intra_op_parallelism=intra_op,
        tensorflow_inter_op_parallelism=inter_op,
    )

    assert options.threads == expected


def test_numbers_of_threads_that_contradict_each_other(load):
    with pytest.raises(ServingError, match="You cannot configure all"):
        load(
            tensorflow_session_parallelism=3,
            tensorflow_intra_op_parallelism=4,
            tensorflow_inter_op_parallelism=5,
        )
