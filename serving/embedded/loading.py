"""What loads the versions of a server's models, as its options have it."""

from __future__ import annotations

import functools

from serving.embedded.batching import BatchingOptions, read_batching_options
from serving.embedded.isolation import IsolatedModel
from serving.embedded.lifecycle import Loader
from serving.embedded.model import LoadedModel, ModelOptions
from serving.embedded.options import ServerOptions
from serving.embedded.session import Threads
from serving.errors import invalid


def make_loader(options: ServerOptions) -> Loader:
    """Returns what loads a version.

    Args:
        options: The server's.

    Raises:
        ServingError: The batching parameters are illegal, or not wanted; or numbers of
            threads contradict each other.
    """
    how = ModelOptions(
        options.model_tags,
        options.enable_model_warmup,
        _batching(options),
        _threads(options),
    )
    if options.isolate_models:
        return functools.partial(
            IsolatedModel, options=how, connections=options.max_running_per_model
        )
    return lambda path, **_: LoadedModel(path, how)


def _batching(options: ServerOptions) -> BatchingOptions | None:
    if options.enable_batching:
        if options.batching_parameters_file:
            return read_batching_options(options.batching_parameters_file)
        return BatchingOptions()
    if options.batching_parameters_file:
        raise invalid(
            "server_options.batching_parameters_file is set without setting"
            " server_options.enable_batching to true."
        )
    return None


def _threads(options: ServerOptions) -> Threads:
    both = options.tensorflow_session_parallelism
    intra_op = options.tensorflow_intra_op_parallelism
    inter_op = options.tensorflow_inter_op_parallelism
    if both and intra_op and inter_op:
        raise invalid(
            "Either configure server_options.tensorflow_session_parallelism or"
            " (server_options.tensorflow_intra_op_parallelism,"
            " server_options.tensorflow_inter_op_parallelism) separately. You cannot"
            " configure all."
        )
    # One alone leaves the other at 0, whatever the number for both.
    return Threads(intra_op, inter_op) if intra_op or inter_op else Threads(both, both)
