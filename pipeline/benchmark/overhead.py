"""How many parameters MI-DPG adds to a plain network."""

from __future__ import annotations

from typing import NamedTuple, Self

from midpg_tf.models import RankingModel
from pipeline.benchmark.contenders import dense_parameters, hidden_parameters


class Overhead(NamedTuple):
    """What MI-DPG has more than the baseline network of the same widths.

    Attributes:
        parameters: Trainable parameters more than the MLP.
        hidden: Parameters of the MLP's hidden layers.
        rank: Rank of the weighting matrices.
        scenarios: Number of scenarios.
    """

    parameters: int
    hidden: int
    rank: int
    scenarios: int

    @classmethod
    def of(cls, midpg: RankingModel, mlp: RankingModel) -> Self:
        """Compares an MI-DPG and an MLP of the same features and hidden layers."""
        return cls(
            dense_parameters(midpg) - dense_parameters(mlp),
            hidden_parameters(mlp),
            midpg.rank,
            midpg.scenario_index.count,
        )

    def __str__(self) -> str:
        text = (
            f"MI-DPG at rank {self.rank} and {self.scenarios} scenarios has"
            f" {self.parameters:,} parameters more than the MLP"
        )
        if not self.hidden:
            return text
        share = self.parameters / self.hidden
        return f"{text}, {share:.1%} of the hidden layers' {self.hidden:,}"
