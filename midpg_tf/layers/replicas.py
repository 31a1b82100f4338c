"""What a layer's training step has in common with those of other replicas."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def over_replicas(values: Any) -> Any:
    """Sums tensors over the replicas of a training step.

    Args:
        values: A tensor, or a structure of tensors, of this replica.

    Returns:
        The same of the sums.
    """
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return values
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, values)
