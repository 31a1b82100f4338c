"""Objectives beside the cross entropy."""

from midpg_tf.losses.mutual_information import MutualInformation, barber_agakov_bound

__all__ = ["MutualInformation", "barber_agakov_bound"]
