"""What each part of MI-DPG is for: variants that differ in one setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from midpg_tf.spec import DatasetSpec, ModelSpec
from pipeline.benchmark.contenders import Contender, contender, resolved

VARIANTS: Mapping[str, Sequence[Any]] = {
    "mi_weight": (0.0, 1e-3, 1e-2, 1e-1, 1.0),
    "rank": (2, 4, 8, 16, 32),
    "activation": ("sigmoid", "linear"),
    "estimator": ("barber_agakov", "infonce"),
    "modulated": ("all", "hidden", "first", "last"),
    "decomposition": ("both", "specific", "shared"),
    "matrix_l2": (0.0, 1e-5, 1e-4),
}
"""Values of each setting of MI-DPG that is varied, the others as the file has them."""


def variants(spec: DatasetSpec) -> list[Contender]:
    """MI-DPG with the file's settings, then each of `VARIANTS` that differs from it.

    Args:
        spec: The description.
    """
    base = contender(spec, "midpg")
    own = resolved(spec, base.model)
    found = [base]
    for setting, values in VARIANTS.items():
        for value in values:
            if value == own[setting]:
                continue
            settings = spec.settings(base.model) | {setting: value}
            text = f"{value:g}" if isinstance(value, float) else str(value)
            found.append(
                Contender(
                    f"midpg {setting}={text}", ModelSpec(name="midpg", **settings)
                )
            )
    return found
