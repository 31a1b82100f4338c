"""What loads the versions of a server's models, as its options have it."""

from __future__ import annotations

import functools

from serving.embedded.batching import BatchingOptions, read_batching_options
from serving.embedded.isolation import IsolatedModel
from serving.embedded.lifecycle import Loader
from serving.embedded.model import LoadedModel, ModelOptions
from serving.embedded.options import ServerOptions
from serving.errors import invalid


def make_loader(options: ServerOptions) -> Loader:
    """Returns what loads a version.

    Args:
        options: The server's.

    Raises:
        ServingError: The batching parameters are illegal, or not wanted.
    """
    how = ModelOptions(
        options.model_tags, options.enable_model_warmup, _batching(options)
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
