"""How far apart a trained MI-DPG keeps its scenarios' matrices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from midpg_tf.models import MIDPG, RankingModel
from pipeline.evaluation.figures import defined
from pipeline.records import Record

_SKETCH = 64
_NOISE = 0.1
_COPIES = 500
_SEED = 20231021


class Diagnostics(Record):
    """How far apart a trained MI-DPG keeps its scenarios' matrices.

    Attributes:
        mutual_information: The estimate in training in nats, in the epoch whose weights
            were kept, of at most 16 x 16 entries of each layer's matrix; None if it
            wasn't estimated, or is no number.
        matrix_diversity: The distance of matrices in that epoch, in their entries'
            units and of the same entries, see `midpg_tf.metrics.MatrixDiversity`; None
            if it is no number.
        scenario_accuracy: See `scenario_accuracy`.
        scenarios: Number of scenarios; their inverse is the accuracy of a guess.
    """

    mutual_information: float | None
    matrix_diversity: float | None
    scenario_accuracy: float
    scenarios: int


def diagnose(
    model: RankingModel, kept: Mapping[str, float], scenarios: set[str]
) -> Diagnostics | None:
    """What the regulariser did; None for a model without weighting matrices.

    Args:
        model: After the fit.
        kept: Keras' figures of the epoch whose weights it has.
        scenarios: Names of the scenarios of the rows that it was fitted to.
    """
    if not isinstance(model, MIDPG):
        return None
    seen = [
        index
        for index, name in enumerate(model.scenario_index.names[:-1])
        if name in scenarios
    ]
    matrices = model.generate(tf.constant(seen, tf.int64))
    return Diagnostics(
        mutual_information=defined(kept.get("mutual_information", math.nan)),
        matrix_diversity=defined(kept["matrix_diversity"]),
        scenario_accuracy=scenario_accuracy([np.asarray(m) for m in matrices]),
        scenarios=len(seen),
    )


def scenario_accuracy(matrices: Sequence[np.ndarray]) -> float:
    """How well a linear classifier tells scenarios by a noisy sketch of their matrices.

    Sketch and noise are as in `midpg_tf.losses.MutualInformation`, but of all entries
    of the matrices, where training sees a part, and with a projection of its own, so
    that a model that maximised the mutual information, and one that didn't, are seen
    alike. The noise is Gaussian and the same for all, so the best classifier of equally
    frequent scenarios is linear: it takes the closest sketch.

    Args:
        matrices: For each layer, `(scenarios, rows, units)`.

    Returns:
        The share of correct ones among 500 noisy sketches a scenario.
    """
    rng = np.random.default_rng(_SEED)
    scenarios = len(matrices[0])
    entries = np.concatenate([m.reshape(scenarios, -1) for m in matrices], axis=1) - 1
    projection = rng.standard_normal((entries.shape[1], _SKETCH))
    sketches = entries @ projection / len(projection) ** 0.5
    squares = (sketches**2).sum(axis=1)
    right = 0
    # One at a time: the distances of all copies of 800 scenarios are 2.6 GB.
    for _ in range(_COPIES):
        noisy = sketches + rng.normal(scale=_NOISE, size=sketches.shape)
        # Squared distances up to the noisy sketch's own square.
        distances = squares - 2 * noisy @ sketches.T
        right += int((distances.argmin(axis=1) == np.arange(scenarios)).sum())
    return right / (_COPIES * scenarios)
