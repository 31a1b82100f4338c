"""A SavedModel's graph in one session, run by tensor names."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow.python.client import pywrap_tf_session

from serving.embedded.bounded_runs import is_bounded
from serving.embedded.errors import from_op_error
from serving.errors import ServingError, invalid

#: Takes one array a feed, in their order, and the milliseconds until the run is
#: cancelled, 0 for no limit, which inline runs ignore; returns one array a fetch.
Runner = Callable[[Sequence[np.ndarray], int], list[np.ndarray]]

# There is no such pool, and TensorFlow looks for it right before it runs.
_NO_POOL = config_pb2.RunOptions(inter_op_thread_pool=2**31 - 1)

# In the thread that asks. Such a run can't be cancelled.
_INLINE = config_pb2.RunOptions(inter_op_thread_pool=-1)

# Values in an input, such as tf.Examples, up to which it takes less time to run the
# operations one after the other than to hand them to other threads.
_FEW = 256


@dataclasses.dataclass(frozen=True)
class Threads:
    """The sizes of TensorFlow's pools of threads, 0 for what suits the machine.

    A process has one pool of each kind, as its first session wants it.

    Attributes:
        intra_op: Threads that share the work of an operation.
        inter_op: Operations that run at a time.
    """

    intra_op: int = 0
    inter_op: int = 0


class SavedModelSession:
    """The graph, the restored variables and the initialised tables of a SavedModel.

    Args:
        path: Directory that holds `saved_model.pb`.
        tags: Tags of the meta graph to load.
        inline: Whether short runs on a CPU are made in the thread that asks, which
            takes less time. They end by themselves, but aren't cancelled at a deadline.
        threads: How many run the graph.

    Raises:
        ServingError: The model can't be read (DATA_LOSS), lacks the meta graph or a
            file (NOT_FOUND), or its restore or initialisation failed (TensorFlow's own
            code).
    """

    def __init__(
        self,
        path: str,
        tags: Sequence[str] = ("serve",),
        *,
        inline: bool = False,
        threads: Threads = Threads(),
    ) -> None:
        # A graph and a session of its own isolate the tables and variables of two
        # versions of a model, which bear the same shared names.
        # Versions share a device, so none may take all of its memory at the start.
        config = config_pb2.ConfigProto(
            intra_op_parallelism_threads=threads.intra_op,
            inter_op_parallelism_threads=threads.inter_op,
        )
        config.gpu_options.allow_growth = True
        session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            self._meta_graph = _load(session, path, tags)
        except BaseException:
            session.close()
            raise
        self._session: tf.compat.v1.Session | None = session
        # With several devices, the thread would have to go from one to the other.
        devices = {device.device_type for device in session.list_devices()}
        self._inline = inline and devices == {"CPU"}

    @property
    def signatures(self) -> Mapping[str, meta_graph_pb2.SignatureDef]:
        """The model's signatures by name."""
        signatures: Mapping[str, meta_graph_pb2.SignatureDef]
        signatures = self._meta_graph.signature_def
        return signatures

    def runner(self, feeds: Sequence[str], fetches: Sequence[str]) -> Runner:
        """Prepares runs of part of the graph; the session keeps what it prepared.

        Args:
            feeds: Names of the tensors to feed, such as `serving_default_x:0`.
            fetches: Names of the tensors to fetch, each once.

        Returns:
            A function that is safe to call from many threads, until `close`. It raises
            ServingError with the runtime's own code: INVALID_ARGUMENT for arrays that
            don't fit, or a name that is both fed and fetched, DEADLINE_EXCEEDED, ...

        Raises:
            ServingError: NOT_FOUND for a name that is not in the graph, or UNAVAILABLE
                after `close`.
        """
        session = self._open()
        # A graph without variables may not have reached the runtime yet.
        session._extend_graph()
        fed = [_output(session, name) for name in feeds]
        fetched = [_output(session, name) for name in fetches]
        may_be_inline = self._inline and is_bounded(self._meta_graph.graph_def, fetches)

        def run(arrays: Sequence[Any], options: config_pb2.RunOptions) -> Any:
            buffer = pywrap_tf_session.TF_NewBufferFromString(
                options.SerializeToString()
            )
            # Private, and wrapped here alone: Session.run would check shapes in
            # Python, which TensorFlow Serving doesn't, hide the runtime's messages and
            # codes, and take its time for it.
            try:
                return session._call_tf_sessionrun(
                    buffer, dict(zip(fed, arrays, strict=True)), fetched, [], None
                )
            finally:
                pywrap_tf_session.TF_DeleteBuffer(buffer)

        # It prunes and optimises the graph, and refuses to run it: for the pool, or for
        # a type. Whatever else is wrong, the first run tells.
        with contextlib.suppress(tf.errors.OpError):
            run([np.empty(0, np.float32)] * len(fed), _NO_POOL)

        def run_within(
            arrays: Sequence[np.ndarray], timeout_ms: int
        ) -> list[np.ndarray]:
            if may_be_inline and all(array.size <= _FEW for array in arrays):
                options = _INLINE
            else:
                options = config_pb2.RunOptions(timeout_in_ms=timeout_ms)
            with _errors_of_runs():
                return _arrays(run(arrays, options))

        return run_within

    def run_once(
        self,
        feeds: Sequence[str],
        fetches: Sequence[str],
        arrays: Sequence[np.ndarray],
        timeout_ms: int,
    ) -> list[np.ndarray]:
        """Runs part of the graph as `runner` does, and keeps nothing of it.

        To prepare it takes much longer than the run itself.
        """
        options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
        options.run_options.timeout_in_ms = timeout_ms
        with _errors_of_runs():
            call = self._open()._make_callable_from_options(options)
            return _arrays(call(*arrays))

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

    def _open(self) -> tf.compat.v1.Session:
        if self._session is None:
            raise ServingError(grpc.StatusCode.UNAVAILABLE, "the model is unloaded")
        return self._session


def _output(session: tf.compat.v1.Session, name: str) -> Any:
    try:
        tensor = session.graph.get_tensor_by_name(name if ":" in name else f"{name}:0")
    except (KeyError, ValueError) as error:
        raise ServingError(
            grpc.StatusCode.NOT_FOUND, f"Tensor {name} was not found in the graph"
        ) from error
    return tensor._as_tf_output()


def _arrays(outputs: Sequence[Any]) -> list[np.ndarray]:
    # TensorFlow gives a scalar string as bytes, of which NumPy's own type would drop
    # zeros at the end.
    return [np.asarray(o, object) if isinstance(o, bytes) else o for o in outputs]


@contextlib.contextmanager
def _errors_of_runs() -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        raise from_op_error(error) from error
    except UnicodeDecodeError as error:
        # The runtime quotes input in its message; bytes that are no UTF-8 break the
        # binding that carries the message, never the run itself.
        message = error.object.decode(errors="replace")
        raise invalid(message) from error


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
