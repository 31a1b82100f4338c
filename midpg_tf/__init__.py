"""Multi-scenario recommendation with MI-DPG, in TensorFlow and Keras 2.

Importing this package selects Keras 2 for `tf.keras`, which TensorFlow Recommenders
and TensorFlow Transform need, so import it before anything that touches `tf.keras`.
On a GPU, TensorFlow takes memory as it needs it, unless the environment's
TF_FORCE_GPU_ALLOW_GROWTH says otherwise.
"""

import os as _os

_os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# Otherwise a process takes nearly all of a GPU's memory, and a run's training, gates
# and servers are several.
_os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

try:
    import tensorflow_recommenders as _tfrs  # noqa: F401
except ModuleNotFoundError:
    raise
except ImportError as error:
    raise ImportError(
        "midpg_tf needs tf.keras to be Keras 2 (the package tf-keras), but it is"
        " already Keras 3 in this process. Import midpg_tf before anything that"
        " touches tf.keras, or set the environment variable TF_USE_LEGACY_KERAS=1"
        f" before Python starts. ({error})"
    ) from error

from midpg_tf.layers.inputs import CategoricalInput, NumericInput
from midpg_tf.models.midpg import MIDPG
from midpg_tf.models.mlp import MLP
from midpg_tf.spec.dataset import DatasetSpec

__all__ = ["MIDPG", "MLP", "CategoricalInput", "DatasetSpec", "NumericInput"]
