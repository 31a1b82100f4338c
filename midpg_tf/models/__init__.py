"""Models for many scenarios, and the baseline."""

from midpg_tf.models.adasparse import AdaSparse
from midpg_tf.models.apg import APG
from midpg_tf.models.epnet import EPNet
from midpg_tf.models.hamur import HAMUR
from midpg_tf.models.m2m import M2M
from midpg_tf.models.midpg import MIDPG
from midpg_tf.models.mlp import MLP
from midpg_tf.models.mmoe import MMoE
from midpg_tf.models.ple import PLE
from midpg_tf.models.ppnet import PPNet
from midpg_tf.models.ranking import RankingModel
from midpg_tf.models.registry import MODELS, hyperparameters
from midpg_tf.models.sar_net import SARNet
from midpg_tf.models.scenario_mlp import ScenarioMLP
from midpg_tf.models.shared_bottom import SharedBottom
from midpg_tf.models.star import STAR

__all__ = [
    "APG",
    "HAMUR",
    "M2M",
    "MIDPG",
    "MLP",
    "MODELS",
    "PLE",
    "STAR",
    "AdaSparse",
    "EPNet",
    "MMoE",
    "PPNet",
    "RankingModel",
    "SARNet",
    "ScenarioMLP",
    "SharedBottom",
    "hyperparameters",
]
