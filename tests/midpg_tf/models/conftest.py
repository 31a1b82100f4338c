"""A small synthetic data set, and each model trained on it once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf.layers import CategoricalInput, NumericInput
from midpg_tf.models import MLP, MODELS, RankingModel

COUNTRIES, DEVICES, ITEMS, TAGS = 4, 2, 20, 6
FEATURES = (
    CategoricalInput("country", COUNTRIES + 1, embedding=4),
    CategoricalInput("device", DEVICES + 1, embedding=4, values=("app", "web")),
    CategoricalInput("item", ITEMS + 1, embedding=8),
    CategoricalInput("tags", TAGS + 1, embedding=4, multivalued=True),
    NumericInput("age"),
)
SCENARIO = ("country", "device")


class Table(NamedTuple):
    """Rows of features, labels, and the true probabilities of the labels."""

    features: dict[str, np.ndarray]
    label: np.ndarray
    probability: np.ndarray

    def dataset(self, batch_size: int, *more: np.ndarray) -> tf.data.Dataset:
        columns = (self.features, self.label, *more)
        return tf.data.Dataset.from_tensor_slices(columns).batch(batch_size)


def make_table(rows: int, seed: int) -> Table:
    """Age matters in every scenario, but by another sign and amount in each."""
    rng = np.random.default_rng(seed)
    country, device = rng.integers(0, COUNTRIES, rows), rng.integers(0, DEVICES, rows)
    # Nobody is in the last country on the web.
    device[country == COUNTRIES - 1] = 0
    tags = rng.integers(-1, TAGS, (rows, 3))
    features = {
        "country": country,
        "device": device,
        "item": rng.integers(0, ITEMS, rows),
        "tags": tags,
        "age": rng.normal(size=rows).astype(np.float32),
    }
    slope = np.array([[3.0, 1.0], [2.0, -2.0], [-1.0, -3.0], [2.0, 0.0]])
    item = np.random.default_rng(0).normal(size=ITEMS)
    logit = (
        slope[country, device] * features["age"]
        + item[features["item"]]
        + np.where(np.any(tags == 2, axis=1), 1.0, -0.5)
        - 0.5
    )
    probability = 1 / (1 + np.exp(-logit))
    label = (rng.random(rows) < probability).astype(np.float32)
    return Table(features, label, probability)


@pytest.fixture(scope="session")
def train_table() -> Table:
    return make_table(4_000, seed=1)


@pytest.fixture(scope="session")
def test_table() -> Table:
    return make_table(2_000, seed=2)


def make_model(name: str, **settings) -> RankingModel:
    return MODELS[name](
        FEATURES, SCENARIO, **({"hidden": (16, 8), "dropout": 0.0} | settings)
    )


@pytest.fixture(scope="session")
def new_model():
    """Makes a small model by name; keyword arguments are its settings."""
    return make_model


@pytest.fixture(scope="session")
def randomised():
    """Draws every weight of a model anew, biases included; gives the model."""

    def draw(model: RankingModel, scale: float = 0.5) -> RankingModel:
        rng = np.random.default_rng(4)
        for weight in model.trainable_variables:
            weight.assign(rng.normal(scale=scale, size=weight.shape))
        return model

    return draw


@pytest.fixture
def rows(test_table) -> dict[str, np.ndarray]:
    """Sixty rows: with unknown values, and a combination that the data don't have."""
    rows = {name: values[:60].copy() for name, values in test_table.features.items()}
    rows["country"][:10], rows["device"][10:20] = 4, 2
    rows["country"][20:25], rows["device"][20:25] = 3, 1
    return rows


@pytest.fixture
def check_rows(rows):
    """Compares a model's scores of `rows` with a computation row by row."""

    def check(model: RankingModel, logit: Callable[[np.ndarray, int], float]) -> None:
        scenario = model.scenario_index(rows).numpy()
        # The one that the data don't have, and the unknown one.
        assert {7, 8} < set(scenario)
        embedded = model.embedding(rows).numpy()
        logits = [logit(x, s) for x, s in zip(embedded, scenario, strict=True)]
        expected = 1 / (1 + np.exp(-np.array(logits)))
        assert np.std(expected) > 0.03
        np.testing.assert_allclose(model(rows), expected, rtol=1e-4, atol=1e-5)

    return check


@pytest.fixture(scope="session")
def mlp_of():
    """Makes the MLP that has a model's embeddings, hidden layers and output layer."""

    def mlp_of(model: RankingModel) -> MLP:
        mlp = MLP(model.features, model.scenario, hidden=model.hidden)
        mlp.embedding.set_weights(model.embedding.get_weights())
        for ours, theirs in zip(
            [*mlp.denses, mlp.head], [*model.denses, model.head], strict=True
        ):
            ours.set_weights(theirs.get_weights())
        return mlp

    return mlp_of


class Trained(NamedTuple):
    """A fitted model (not to be trained further), and `fit`'s history."""

    model: RankingModel
    history: dict[str, list[float]]


@functools.cache
def train(name: str) -> Trained:
    keras.utils.set_random_seed(2022)
    model = make_model(name)
    model.compile(keras.optimizers.Adam(0.01))
    fitted = model.fit(
        make_table(4_000, seed=1).dataset(128),
        validation_data=make_table(2_000, seed=2).dataset(1_500),
        epochs=4,
        verbose=0,
    )
    return Trained(model, fitted.history)


# Of the others, the unit tests have those of their own.
FIRST = {"mlp"}


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(
            name,
            marks=()
            if name in FIRST
            # Its tests in one process, so that it is trained once.
            else [pytest.mark.slow, pytest.mark.xdist_group(name)],
        )
        for name in sorted(MODELS)
    ],
)
def name(request: pytest.FixtureRequest) -> str:
    """Name of a model: tests that take this run for every one."""
    return request.param


@pytest.fixture(scope="session")
def trained(name: str) -> Trained:
    return train(name)


@pytest.fixture(scope="session")
def trained_midpg() -> Trained:
    return train("midpg")
