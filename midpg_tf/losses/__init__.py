"""Objectives beside the cross entropy."""

from midpg_tf.losses.info_nce import InfoNCE, info_nce_bound
from midpg_tf.losses.mutual_information import MutualInformation, barber_agakov_bound
from midpg_tf.losses.sketch import Sketch

__all__ = [
    "InfoNCE",
    "MutualInformation",
    "Sketch",
    "barber_agakov_bound",
    "info_nce_bound",
]
