"""A SavedModel's graph in one session, run by tensor names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from serving.errors import ServingError, from_op_error, invalid

#: Takes one array a feed, in their order, and returns one array a fetch.
Runner = Callable[..., list[np.ndarray]]


class SavedModelSession:
    """The graph, the restored variables and the initialised tables of a SavedModel.

    Args:
        path: Directory that holds `saved_model.pb`.
        tags: Tags of the meta graph to load.

    Raises:
        ServingError: The model can't be read (DATA_LOSS), lacks the meta graph or a
            file (NOT_FOUND), or its restore or initialisation failed (TensorFlow's own
            code).
    """

    def __init__(self, path: str, tags: Sequence[str] = ("serve",)) -> None:
        # A graph and a session of its own isolate the tables and variables of two
        # versions of a model, which bear the same shared names.
        # Versions share a device, so none may take all of its memory at the start.
        config = config_pb2.ConfigProto()
        config.gpu_options.allow_growth = True
        session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            self._meta_graph = _load(session, path, tags)
        except BaseException:
            session.close()
            raise
        self._session: tf.compat.v1.Session | None = session

    @property
    def signatures(self) -> Mapping[str, meta_graph_pb2.SignatureDef]:
        """The model's signatures by name."""
        signatures: Mapping[str, meta_graph_pb2.SignatureDef]
        signatures = self._meta_graph.signature_def
        return signatures

    def runner(
        self, feeds: Sequence[str], fetches: Sequence[str], timeout_ms: int = 0
    ) -> Runner:
        """Prepares a run of part of the graph.

        Args:
            feeds: Names of the tensors to feed, such as `serving_default_x:0`.
            fetches: Names of the tensors to fetch, each once.
            timeout_ms: Milliseconds until a run is cancelled, 0 for no limit.

        Returns:
            A function that is safe to call from many threads, until `close`.

        Raises:
            ServingError: A name is not in the graph, or is both fed and fetched; or
                UNAVAILABLE after `close`.
        """
        if self._session is None:
            raise ServingError(grpc.StatusCode.UNAVAILABLE, "the model is unloaded")
        options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
        options.run_options.timeout_in_ms = timeout_ms
        # Private, and wrapped here alone: Session.run would check shapes in Python,
        # which TensorFlow Serving doesn't, and hide the runtime's messages and codes.
        try:
            call = self._session._make_callable_from_options(options)
        except tf.errors.OpError as error:
            raise from_op_error(error) from error

        def run(*arrays: np.ndarray) -> list[np.ndarray]:
            try:
                outputs: list[np.ndarray] = call(*arrays)
                return outputs
            except tf.errors.OpError as error:
                raise from_op_error(error) from error
            except UnicodeDecodeError as error:
                # The runtime quotes input in its message; bytes that are no UTF-8
                # break the binding that carries the message, never the run itself.
                message = error.object.decode(errors="replace")
                raise invalid(message) from error

        return run

    def abort(self) -> None:
        """Cancels the runs under way; only `close` may follow."""
        session = self._session
        if session is not None:
            session.close()

    def close(self) -> None:
        """Frees the session. No run may be under way."""
        if self._session is not None:
            self._session.close()
            # Closing alone keeps the variables; the last reference frees them.
            self._session = None


def _load(
    session: tf.compat.v1.Session, path: str, tags: Sequence[str]
) -> meta_graph_pb2.MetaGraphDef:
    pb = tf.io.gfile.join(path, "saved_model.pb")
    if not tf.io.gfile.exists(pb):
        raise ServingError(
            grpc.StatusCode.NOT_FOUND,
            "Could not find SavedModel .pb or .pbtxt at supplied export directory"
            f" path: {path}. Check that the directory holds saved_model.pb",
        )
    try:
        with session.graph.as_default():
            return tf.compat.v1.saved_model.loader.load(session, list(tags), path)
    except tf.errors.OpError as error:
        raise from_op_error(error) from error
    except OSError as error:
        raise ServingError(
            grpc.StatusCode.DATA_LOSS,
            f"Can't parse {pb} as binary proto; it is damaged or half-copied",
        ) from error
    except RuntimeError as error:
        raise ServingError(grpc.StatusCode.NOT_FOUND, str(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise invalid(f"Can't import the graph of {pb}: {error}") from error
