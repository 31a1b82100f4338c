import numpy as np

from midpg_tf.models import MLP, CategoricalInput, NumericInput

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


def test_weights() -> None:
    model = MLP(FEATURES, ["channel"], hidden=[5, 4])
    # Table 3 * 1; (1 + 1) * 5 + 5; 5 * 4 + 4; 4 + 1.
    assert sum(map(np.size, model.trainable_weights)) == 3 + 15 + 24 + 5
