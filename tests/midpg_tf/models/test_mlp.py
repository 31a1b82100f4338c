import itertools

import numpy as np
import pytest
import tf_keras as keras

from midpg_tf import MLP, CategoricalInput, NumericInput

FEATURES = [CategoricalInput("channel", 3, embedding=1), NumericInput("age")]


def test_hand_computed_score() -> None:
    model = MLP(FEATURES, ["channel"], hidden=[2])
    model.embedding.tables["channel"].assign([[1.0], [2.0], [3.0]])
    model.denses[0].set_weights(
        [np.array([[1.0, -1.0], [0.5, 1.0]]), np.array([0.0, 1.0])]
    )
    model.head.set_weights([np.array([[2.0], [3.0]]), np.array([-1.0])])
    score = model({"channel": np.array([0, 2]), "age": np.array([2.0, 0.0])})
    # (1, 2): relu(1 + 1, -1 + 2 + 1) = (2, 2), logit 4 + 6 - 1 = 9.
    # (3, 0): relu(3, -3 + 1) = (3, 0), logit 6 - 1 = 5.
    np.testing.assert_allclose(score, 1 / (1 + np.exp([-9.0, -5.0])), rtol=1e-6)


def test_cross_layers_come_first() -> None:
    model = MLP(FEATURES, ["channel"], hidden=[], cross_layers=1)
    model.embedding.tables["channel"].assign([[1.0], [2.0], [3.0]])
    kernel, bias = np.array([[1.0, 0.0], [2.0, 1.0]]), np.array([0.5, 0.0])
    model.crosses[0].set_weights([kernel, bias])
    model.head.set_weights([np.array([[1.0], [1.0]]), np.array([0.0])])
    score = model({"channel": np.array([1]), "age": np.array([0.5])})
    # DCN v2: x0 * (x W + b) + x with x = x0 = (2, .5): x W + b = (2 + 1 + .5, .5),
    # so (2 * 3.5 + 2, .5 * .5 + .5) = (9, .75), logit 9.75.
    np.testing.assert_allclose(score, 1 / (1 + np.exp([-9.75])), rtol=1e-6)


def test_dot_interactions_come_beside_the_features() -> None:
    features = [CategoricalInput(name, 2, embedding=2) for name in "abc"]
    rows = [*features, NumericInput("age")]
    model = MLP(rows, ["a"], hidden=(), dot_interactions=True)
    for name, row in (("a", [1.0, 2.0]), ("b", [3.0, -1.0]), ("c", [0.5, 4.0])):
        model.embedding.tables[name].assign([row, [9.0, 9.0]])
    # a b = 3 - 2 = 1, a c = .5 + 8 = 8.5, b c = 1.5 - 4 = -2.5.
    kernel = np.zeros((10, 1))
    kernel[7:, 0] = 1.0, 0.1, 0.01
    model.head.set_weights([kernel, np.array([0.0])])
    zero = np.array([0])
    score = model({"a": zero, "b": zero, "c": zero, "age": np.array([5.0])})
    pairs = np.sort([1.0, 8.5, -2.5])
    found = np.log(score / (1 - score))
    # In whatever order the pairs come.
    orders = itertools.permutations(pairs)
    assert any(np.isclose(found, np.dot(o, [1, 0.1, 0.01])) for o in orders)


def test_cross_layers_and_inner_products_start_from_the_embeddings() -> None:
    features = [CategoricalInput(name, 2, embedding=1) for name in "ab"]
    model = MLP(features, ["a"], hidden=(), cross_layers=2, dot_interactions=True)
    model.embedding.tables["a"].assign([[2.0], [9.0]])
    model.embedding.tables["b"].assign([[3.0], [9.0]])
    for cross in model.crosses:
        cross.set_weights([np.eye(2), np.zeros(2)])
    model.head.set_weights([np.array([[0.1], [0.01], [-0.1]]), np.array([0.0])])
    zero = np.array([0])
    score = model({"a": zero, "b": zero})
    # x0 = (2, 3), x1 = x0 x0 + x0 = (6, 12), x2 = x0 x1 + x1 = (18, 48); a b = 6.
    np.testing.assert_allclose(score, 1 / (1 + np.exp(-(1.8 + 0.48 - 0.6))), rtol=1e-6)


def test_dots_of_embeddings_of_different_widths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"of one width, found .*4}"):
        MLP(
            [CategoricalInput("channel", 3, 1), CategoricalInput("item", 3, 4)],
            ["channel"],
            dot_interactions=True,
        )


def test_kernels_of_cross_layers_are_as_all_others() -> None:
    settings = {"l2": 0.5, "embedding_l2": 0.0, "kernel_initializer": "ones"}
    model = MLP(FEATURES, ["channel"], hidden=(), cross_layers=1, **settings)
    # Kernels 2 * 2 and 2 * 1.
    assert sum(model.losses).numpy() == 0.5 * (4 + 2)


def test_training_drops_the_share_of_units_that_was_asked_for() -> None:
    model = MLP(FEATURES, ["channel"], hidden=[1], dropout=0.25)
    model.embedding.tables["channel"].assign([[1.0]] * 3)
    model.denses[0].set_weights([np.array([[3.0], [0.0]]), np.array([0.0])])
    model.head.set_weights([np.array([[1.0]]), np.array([0.0])])
    rows = {"channel": np.zeros(4_000, int), "age": np.zeros(4_000)}
    score = model(rows, training=True).numpy()
    # What is kept, 3, is scaled up by 4 / 3.
    kept = np.isclose(score, 1 / (1 + np.exp(-4)))
    np.testing.assert_allclose(score[~kept], 0.5)
    assert abs(kept.mean() - 0.75) < 0.03
    np.testing.assert_allclose(model(rows), 1 / (1 + np.exp(-3)), rtol=1e-6)


def test_training_on_a_share_of_negatives_shifts_logits() -> None:
    rows = {"channel": np.array([0, 1]), "age": np.array([0.5, -1.0])}
    label = np.array([1.0, 0.0])
    model = MLP(FEATURES, ["channel"], hidden=(), negative_rate=0.25, l2=0.0)
    model.head.set_weights([np.array([[0.0], [2.0]]), np.array([0.0])])
    # Logits 1 and -2, and among the rows kept log(4) more.
    one, two = 1 + np.log(4), -2 + np.log(4)
    expected = (np.log1p(np.exp(-one)) + np.log1p(np.exp(two))) / 2
    loss = model.compute_loss((rows, label), training=True)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    # Of all rows, the scores are the model's own.
    np.testing.assert_allclose(model(rows), 1 / (1 + np.exp([-1.0, 2.0])), rtol=1e-4)
    plain = (np.log1p(np.exp(-1)) + np.log1p(np.exp(-2))) / 2
    loss = model.compute_loss((rows, label), training=False)
    np.testing.assert_allclose(loss, plain, rtol=1e-4)


@pytest.mark.parametrize("weight", [None, np.array([2.0, 1.0, 3.0])])
def test_metrics_of_training_on_a_share_of_negatives_are_of_all_rows(
    weight: np.ndarray | None,
) -> None:
    rows = {"channel": np.array([0, 1, 1]), "age": np.array([0.5, -1.0, 1.0])}
    label = np.array([1.0, 0.0, 0.0])
    model = MLP(FEATURES, ["channel"], hidden=(), negative_rate=0.25, l2=0.0)
    model.head.set_weights([np.array([[0.0], [2.0]]), np.array([0.0])])
    model.compute_loss((rows, label, weight), training=True)
    # The model's own logits; a negative row stands for four.
    scores = 1 / (1 + np.exp([-1.0, 2.0, -2.0]))
    counts = np.array([1.0, 4.0, 4.0]) * (1.0 if weight is None else weight)
    losses = -np.log(np.where(label > 0, scores, 1 - scores))
    area, log_loss, calibration = (one.result() for one in model.scenario_metrics)
    np.testing.assert_allclose(
        log_loss["log_loss"], np.average(losses, weights=counts), rtol=1e-4
    )
    np.testing.assert_allclose(
        calibration["calibration"], counts @ scores / (counts @ label), rtol=1e-4
    )
    # The positive row is above the first negative one, and below the second.
    np.testing.assert_allclose(area["auc"], counts[1] / counts[1:].sum(), rtol=1e-4)


@pytest.mark.slow
def test_calibration_survives_training_on_a_tenth_of_the_negatives() -> None:
    rng = np.random.default_rng(5)
    rows = {"channel": rng.integers(0, 2, 60_000), "age": rng.normal(size=60_000)}
    chance = 1 / (1 + np.exp(4 - rows["channel"] - rows["age"]))
    label = (rng.random(60_000) < chance).astype(np.float32)
    kept = (label > 0) | (rng.random(60_000) < 0.1)
    some = {name: value[kept] for name, value in rows.items()}
    ratio = {}
    for rate in (0.1, 1.0):
        model = MLP(FEATURES, ["channel"], hidden=(), negative_rate=rate, dropout=0.0)
        model.compile(keras.optimizers.Adam(0.05))
        model.fit(some, label[kept], batch_size=512, epochs=15, verbose=0)
        ratio[rate] = np.mean(model.predict(rows, 8192, verbose=0)) / np.mean(label)
    assert 0.9 < ratio[0.1] < 1.1
    # Without the correction, it is far off.
    assert ratio[1.0] > 4


@pytest.mark.parametrize("rate", [0.0, 1.5])
def test_refuses_other_rates_of_negatives(rate: float) -> None:
    with pytest.raises(ValueError, match=rf"negative_rate: .* found {rate}"):
        MLP(FEATURES, ["channel"], negative_rate=rate)


def test_weights() -> None:
    model = MLP(FEATURES, ["channel"], hidden=[5, 4])
    # Table 3 * 1; (1 + 1) * 5 + 5; 5 * 4 + 4; 4 + 1.
    assert sum(map(np.size, model.trainable_weights)) == 3 + 15 + 24 + 5
