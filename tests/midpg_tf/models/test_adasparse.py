import numpy as np
import pytest
import tensorflow as tf

from midpg_tf.models import AdaSparse


@pytest.fixture
def model(new_model) -> AdaSparse:
    return new_model("adasparse", embedding_stddev=1.0, context=3)


def set_scores(model: AdaSparse, biases: list[float]) -> None:
    """Each layer's neurons get the same score, in every row."""
    for scorer, bias in zip(model.scorers, biases, strict=True):
        scorer.kernel.assign(tf.zeros_like(scorer.kernel))
        scorer.bias.assign(tf.fill(scorer.bias.shape, bias))


def test_equals_the_mlp_under_neutral_factors(model, mlp_of, test_table) -> None:
    expected = mlp_of(model)(test_table.features)
    assert np.abs(model(test_table.features) - expected).max() > 0.01
    set_scores(model, [0.0, 0.0, 0.0])
    np.testing.assert_array_equal(model(test_table.features), expected)


def test_equals_a_computation_row_by_row(model, randomised, check_rows) -> None:
    randomised(model)
    pruned = []

    def logit(row: np.ndarray, s: int) -> float:
        z = model.scenario_embedding.table.numpy()[s]
        layers = [*model.denses, model.head]
        for dense, scorer in zip(layers, model.scorers, strict=True):
            kernel, bias = scorer.get_weights()
            factors = 2 / (1 + np.exp(-(np.concatenate([z, row]) @ kernel + bias)))
            factors[factors <= 0.25] = 0
            pruned.append(np.count_nonzero(factors == 0))
            kernel, bias = dense.get_weights()
            row = (row * factors) @ kernel + bias
            row = np.maximum(row, 0) if dense is not model.head else row
        return row[0]

    check_rows(model, logit)
    assert sum(pruned) > 60


@pytest.mark.parametrize(
    ("scores", "sparsity", "penalty"),
    [
        # Nothing pruned: (0 - .2)^2 for each layer.
        ([0.0, 0.0, 0.0], 0.0, 0.04),
        # 2 sigmoid(-3) = 0.095 < .25: the last of three inputs is pruned wholly.
        ([0.0, 0.0, -3.0], 1 / 3, (0.04 + 0.04 + 0.64) / 3),
    ],
)
def test_penalises_sparsity_out_of_bounds(
    new_model, test_table, scores, sparsity: float, penalty: float
) -> None:
    model = new_model("adasparse", sparsity_weight=0.5, l2=0.0)
    set_scores(model, scores)
    model.compile("sgd")
    result = model.evaluate(test_table.dataset(2_000), verbose=0, return_dict=True)
    assert result["sparsity"] == pytest.approx(sparsity, abs=1e-6)
    assert result["loss"] == pytest.approx(result["log_loss"] + 0.5 * penalty, rel=1e-4)


def test_no_penalty_within_bounds(new_model, test_table) -> None:
    model = new_model("adasparse", sparsity_weight=0.5, l2=0.0)
    set_scores(model, [0.0, 0.0, 0.0])
    # 4 of 21, 3 of 16 and 2 of 8 neurons: .19, .1875 and .25.
    for scorer, count in zip(model.scorers, (4, 3, 2), strict=True):
        scores = np.zeros(scorer.units)
        scores[:count] = -3
        scorer.bias.assign(scores)
    model.compile("sgd")
    result = model.evaluate(test_table.dataset(2_000), verbose=0, return_dict=True)
    assert result["sparsity"] == pytest.approx((4 / 21 + 3 / 16 + 2 / 8) / 3, rel=1e-5)
    assert result["loss"] == pytest.approx(result["log_loss"], rel=1e-4)


def test_sparsity_counts_rows_and_none_without_any(model) -> None:
    # Of the last layer's one factor a row: all pruned in one row, none in three.
    pruned, kept, none = (
        [tf.fill((rows, 1), factor)] for rows, factor in ((1, 0.0), (3, 1.0), (0, 1.0))
    )
    penalties = [float(model.extra_loss(each, True)) for each in (pruned, kept, none)]
    assert float(model.mean_sparsity.result()) == 0.25
    # (1 - .2)^2, (0 - .2)^2, and nothing; times .01.
    np.testing.assert_allclose(penalties, [0.0064, 0.0004, 0.0], rtol=1e-5)


def test_a_batch_without_rows_teaches_nothing(model, test_table) -> None:
    model.compile("sgd")
    rows = {k: tf.constant(v[:0]) for k, v in test_table.features.items()}
    model.train_on_batch(rows, tf.constant(test_table.label[:0]))
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize(("score", "direction"), [(0.0, -1), (-3.0, 1)])
def test_penalty_moves_sparsity_towards_the_bounds(
    new_model, score: float, direction: int
) -> None:
    model = new_model("adasparse")
    set_scores(model, [score] * 3)
    scenario = tf.constant([0, 8], tf.int64)
    with tf.GradientTape() as tape:
        _, factors = model.tower(tf.random.normal((2, 21)), scenario, True)
        penalty = model.extra_loss(factors, training=True)
    gradients = tape.gradient(penalty, [scorer.bias for scorer in model.scorers])
    # A step against the gradient: lower scores prune more.
    for gradient in gradients:
        assert (np.sign(-gradient) == direction).all()


def test_settings_reach_the_layers(new_model) -> None:
    settings = {"alpha": 2.0, "beta": 3.0, "epsilon": 0.5, "context": 4}
    bounds = {"min_sparsity": 0.3, "max_sparsity": 0.4, "sparsity_weight": 0.1}
    model = new_model("adasparse", **settings, **bounds)
    assert (model.prune.alpha, model.prune.beta, model.prune.epsilon) == (2.0, 3.0, 0.5)
    # Factors for the embedded features and for each hidden layer.
    assert [scorer.kernel.shape for scorer in model.scorers] == [
        (4 + 21, 21),
        (4 + 16, 16),
        (4 + 8, 8),
    ]
    again = AdaSparse.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert model.get_config() | settings | bounds == model.get_config()


def test_refuses_bounds_out_of_order(new_model) -> None:
    with pytest.raises(ValueError, match=r"found min_sparsity=0\.5, max_sparsity=0\.4"):
        new_model("adasparse", min_sparsity=0.5, max_sparsity=0.4)
