from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from midpg_tf import MIDPG, MLP, CategoricalInput, NumericInput
from midpg_tf.losses import InfoNCE, MutualInformation


@pytest.mark.parametrize("activation", ["sigmoid", "linear"])
def test_equals_the_backbone_at_initialisation(
    new_model, mlp_of, test_table, activation: str
) -> None:
    model = new_model("midpg", embedding_stddev=1.0, activation=activation)
    score = model(test_table.features)
    assert np.std(score) > 0.05
    np.testing.assert_allclose(score, mlp_of(model)(test_table.features), rtol=1e-5)


@pytest.mark.parametrize("activation", ["sigmoid", "linear"])
def test_equals_a_computation_row_by_row(
    new_model, randomised, rows, activation: str
) -> None:
    model = randomised(
        new_model("midpg", rank=3, activation=activation, auxiliary=(5,))
    )

    def score(row: int) -> float:
        one = {k: v[row] for k, v in rows.items()}
        table = {k: v.numpy() for k, v in model.embedding.tables.items()}
        tags = [table["tags"][tag] for tag in one["tags"] if tag >= 0]
        x = np.concatenate(
            [
                table["country"][one["country"]],
                table["device"][one["device"]],
                table["item"][one["item"]],
                np.mean(tags, axis=0) if tags else np.zeros(4),
                [one["age"]],
            ]
        )
        context = {k: v.numpy() for k, v in model.context_embedding.tables.items()}
        z = np.concatenate([context[f][one[f]] for f in ("country", "device")])
        kernel, bias = model.auxiliary_denses[0].get_weights()
        z = np.maximum(z @ kernel + bias, 0)
        is_known = one["country"] < 4 and one["device"] < 2
        layers = [*model.denses, model.head]
        for dense, generator in zip(layers, model.generators, strict=True):
            left, right, core = (
                getattr(generator, part).numpy() for part in ("left", "right", "core")
            )
            low_rank = left @ (z @ core).reshape(3, 3) @ right * is_known
            matrix = (
                2 / (1 + np.exp(-low_rank)) if activation == "sigmoid" else 1 + low_rank
            )
            kernel, bias = dense.get_weights()
            x = x @ (kernel * matrix[:-1]) + bias * matrix[-1]
            x = np.maximum(x, 0) if dense is not model.head else x
        return 1 / (1 + np.exp(-x[0]))

    expected = [score(row) for row in range(60)]
    assert np.std(expected) > 0.05
    np.testing.assert_allclose(model(rows), expected, rtol=1e-4)


@pytest.mark.parametrize("most_parts", [64, 0])
@pytest.mark.parametrize(
    "settings",
    [
        {"cross_layers": 1},
        {"decomposition": "specific"},
        {"decomposition": "shared", "modulated": "first"},
    ],
)
def test_training_computes_what_a_call_does(
    new_model, randomised, test_table, monkeypatch, settings, most_parts: int
) -> None:
    monkeypatch.setattr("midpg_tf.models.midpg._MOST_PARTS", most_parts)
    nothing_random = {"dropout": 0.0, "scenario_dropout": 0.0, "mi_weight": 0.0}
    model = randomised(new_model("midpg", **nothing_random, **settings))
    rows = {k: v[:60].copy() for k, v in test_table.features.items()}
    rows["country"][:10] = 4  # unknown
    label = test_table.label[:60]

    def gradients(training: bool) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = model.compute_loss((rows, label), training=training)
        found = tape.gradient(
            loss,
            model.trainable_variables,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return [loss, *map(tf.convert_to_tensor, found)]

    for found, expected in zip(gradients(True), gradients(False), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("scenarios", [4, 80])
def test_a_saved_model_has_gradients_without_keras(tmp_path, scenarios: int) -> None:
    features = [CategoricalInput("shop", scenarios + 1), NumericInput("price")]
    exactly = {"dropout": 0.0, "scenario_dropout": 0.0}
    model = MIDPG(features, ["shop"], hidden=(8, 6), **exactly)
    rng = np.random.default_rng(1)
    rows = {
        "shop": tf.constant(rng.integers(0, scenarios + 1, 100)),
        "price": tf.constant(rng.normal(size=100), tf.float32),
    }
    model.compile(keras.optimizers.SGD())
    model.save(tmp_path / "model", save_format="tf")
    again = tf.saved_model.load(str(tmp_path / "model"))
    found = []
    for one in (model, again):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(one(rows, training=True))
        variables = {v.name: v for v in one.trainable_variables}
        # The loss' own variables have none.
        gradients = tape.gradient(
            total, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        found.append({k: tf.convert_to_tensor(g) for k, g in gradients.items()})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        np.testing.assert_allclose(found[1][name], gradient, atol=1e-5, err_msg=name)


def test_unknown_scenarios_get_the_shared_backbone(
    mlp_of, trained_midpg, test_table
) -> None:
    model = trained_midpg.model
    unknown = tf.constant([model.scenario_index.count], tf.int64)
    for matrix in model.generate(unknown):
        np.testing.assert_array_equal(matrix, np.ones(matrix.shape))
    backbone = mlp_of(model)
    rows = {k: v.copy() for k, v in test_table.features.items()}
    rows["country"][:500] = 4
    rows["device"][500:1_000] = 2
    score, plain = model(rows).numpy(), backbone(rows).numpy()
    np.testing.assert_allclose(score[:1_000], plain[:1_000], rtol=1e-5)
    # Training has moved the known scenarios away from it.
    assert np.abs(score[1_000:] - plain[1_000:]).mean() > 0.01


def test_unseen_combination_of_seen_values_has_a_matrix_of_its_own(
    trained_midpg, train_table
) -> None:
    model = trained_midpg.model
    index = model.scenario_index(train_table.features).numpy()
    # Country 3 on device 1: (3 * 2 + 1).
    assert sorted(set(index)) == [0, 1, 2, 3, 4, 5, 6]
    for matrices in model.generate(tf.range(8, dtype=tf.int64)):
        unseen = matrices[7].numpy()
        assert np.abs(unseen - 1).mean() > 0.01
        for seen in matrices[:7].numpy():
            assert np.abs(unseen - seen).max() > 0.01


def test_information_drives_and_bounds_the_logged_figures(trained_midpg) -> None:
    history = trained_midpg.history
    # Seven scenarios of unequal size: H(s) is below ln(7) = 1.946 nats.
    assert 1.0 < history["val_mutual_information"][-1] < np.log(7)
    assert history["matrix_diversity"][-1] > 0.1
    assert history["val_matrix_diversity"][-1] > 0.1


@pytest.mark.slow
def test_mi_weight_pulls_matrices_apart(new_model, train_table) -> None:
    # Labels at random: nothing else calls for different matrices.
    features = {k: v[:500] for k, v in train_table.features.items()}
    label = np.random.default_rng(1).integers(0, 2, 500)
    diversities = []
    for mi_weight in (0.0, 1.0):
        model = new_model("midpg", mi_weight=mi_weight)
        # Not Adam: it makes large steps out of the smallest gradients.
        model.compile(keras.optimizers.SGD(0.05), run_eagerly=True)
        for _ in range(10):
            result = model.train_on_batch(
                features, label, reset_metrics=True, return_dict=True
            )
        assert ("mutual_information" in result) == (mi_weight > 0)
        diversities.append(result["matrix_diversity"])
    assert diversities[0] < 0.03
    assert diversities[1] > 0.05


def test_loss_contains_the_regularisation_of_matrices(new_model, test_table) -> None:
    model = new_model("midpg", mi_weight=0.0, l2=0.0, matrix_l2=0.01)
    model.compile("sgd", run_eagerly=True)
    result = model.evaluate(test_table.dataset(2_000), verbose=0, return_dict=True)
    squares = sum(
        np.sum(np.square(factor))
        for generator in model.generators
        for factor in (generator.left, generator.right, generator.core)
    )
    assert result["loss"] == pytest.approx(
        result["log_loss"] + 0.01 * squares, rel=1e-4
    )


def test_loss_takes_the_information_off(new_model, test_table) -> None:
    model = new_model("midpg", mi_weight=0.5, l2=0.0, matrix_l2=0.0)
    model.compile("sgd", run_eagerly=True)
    result = model.evaluate(test_table.dataset(2_000), verbose=0, return_dict=True)
    assert result["loss"] == pytest.approx(
        result["log_loss"] - 0.5 * result["mutual_information"], rel=1e-4
    )
    # Neutral matrices tell nothing.
    assert result["mutual_information"] <= 0
    assert result["matrix_diversity"] == 0


def test_logged_figures_are_means_over_batches(
    new_model, randomised, test_table
) -> None:
    model = randomised(new_model("midpg"), scale=0.3)
    model.compile("sgd", run_eagerly=True)
    features, label = test_table.features, test_table.label
    unknown = np.full_like(features["country"], 4)
    some = np.where(np.arange(2_000) < 500, features["country"], 4)

    def batch(country: np.ndarray) -> tf.data.Dataset:
        columns = features | {"country": country}
        return tf.data.Dataset.from_tensors((columns, label))

    batches = [batch(country) for country in (features["country"], some, unknown)]
    many, few = (
        model.evaluate(each, verbose=0, return_dict=True) for each in batches[:2]
    )
    result = model.evaluate(
        batches[0].concatenate(batches[1]).concatenate(batches[2]),
        verbose=0,
        return_dict=True,
    )
    # By known rows, 2,000 and 500; and by batches that have two known scenarios.
    information = [each["mutual_information"] for each in (many, few)]
    assert abs(information[0] - information[1]) > 1e-3
    assert result["mutual_information"] == pytest.approx(
        np.average(information, weights=[4, 1]), rel=1e-4
    )
    assert result["matrix_diversity"] == pytest.approx(
        (many["matrix_diversity"] + few["matrix_diversity"]) / 2, rel=1e-4
    )


def test_training_logs_the_matrices_of_the_scenarios_that_a_batch_has(
    new_model, randomised, test_table
) -> None:
    model = randomised(new_model("midpg", scenario_dropout=0.0))
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    some = test_table.features["country"] == 1
    features = {k: v[some] for k, v in test_table.features.items()}
    label = test_table.label[some]
    found = model.train_on_batch(features, label, reset_metrics=True, return_dict=True)
    expected = model.test_on_batch(
        features, label, reset_metrics=True, return_dict=True
    )["matrix_diversity"]
    assert found["matrix_diversity"] == pytest.approx(expected, rel=1e-4)


def test_information_is_seen_through_noise_in_training_alone(
    new_model, randomised, test_table
) -> None:
    model = randomised(new_model("midpg", mi_weight=1.0, scenario_dropout=0.0))
    rows = test_table[:2]
    for training in (True, False):
        losses = [model.compute_loss(rows, training=training) for _ in range(2)]
        assert (abs(losses[0] - losses[1]) > 1e-3) == training


def test_batches_of_unknown_scenarios_alone(new_model, test_table) -> None:
    model = new_model("midpg")
    model.compile("adam", run_eagerly=True)
    features = test_table.features | {"country": np.full(2_000, 4)}
    result = model.train_on_batch(features, test_table.label, return_dict=True)
    for key in ("loss", "mutual_information", "matrix_diversity", "auc/unknown"):
        assert np.isfinite(result[key]), key
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("modulated", ["all", "last"])
@pytest.mark.parametrize(
    "most_bytes", [1 << 20, pytest.param(0, marks=pytest.mark.slow)]
)
def test_scorer_gives_the_scores_of_the_model(
    new_model, randomised, test_table, monkeypatch, most_bytes: int, modulated: str
) -> None:
    monkeypatch.setattr("midpg_tf.models.midpg._MOST_BYTES", most_bytes)
    # Larger weights make logits of the order of 100, whose rounding shows in scores.
    model = new_model("midpg", cross_layers=1, modulated=modulated)
    randomised(model, scale=0.3)
    columns = {k: v[:300].copy() for k, v in test_table.features.items()}
    columns["country"][:10] = 4  # unknown
    score = tf.function(model.scorer(), input_signature=model.save_spec()[0])
    of_one = (columns["country"] == 1) & (columns["device"] == 0)
    for rows in (slice(None), of_one, slice(10), slice(0)):
        features = {k: tf.constant(v[rows]) for k, v in columns.items()}
        np.testing.assert_allclose(score(features), model(features), rtol=1e-5)


def test_scorer_in_half_precision(policy, new_model, randomised, test_table) -> None:
    policy("mixed_bfloat16")
    model = randomised(new_model("midpg"))
    score, expected = model.scorer()(test_table.features), model(test_table.features)
    assert score.dtype == tf.float32
    np.testing.assert_allclose(score, expected, atol=0.02)


def test_adds_little_to_wide_layers() -> None:
    features = [
        CategoricalInput("channel", 9),
        CategoricalInput("item", 1_000),
        *(NumericInput(f"n{i}") for i in range(96)),
    ]
    arguments = features, ["channel"]
    hidden = (512, 512, 256)
    model = MIDPG(*arguments, hidden=hidden, rank=8)
    mlp = MLP(*arguments, hidden=hidden)
    # Metrics have weights too; these aren't trainable.
    sizes = [sum(map(np.size, each.trainable_weights)) for each in (model, mlp)]
    extra = sizes[0] - sizes[1]
    # Eight scenarios; a copy of the layers for each would add 800 %.
    assert model.scenario_index.count == 8
    assert extra < 0.2 * sum(dense.count_params() for dense in model.denses)


def test_settings_reach_the_layers(new_model) -> None:
    settings = {"rank": 3, "activation": "sigmoid", "context": 5, "auxiliary": (7, 6)}
    model = new_model("midpg", **settings)
    assert [g.rank for g in model.generators] == [3, 3, 3]
    assert {g.activation for g in model.generators} == {"sigmoid"}
    assert model.context_embedding.width == 2 * 5
    assert [dense.units for dense in model.auxiliary_denses] == [7, 6]
    # Hidden 16 and 8, and the output: every layer is weighted, bias included.
    assert [(g.input_dim, g.units) for g in model.generators] == [
        (4 + 4 + 8 + 4 + 1, 16),
        (16, 8),
        (8, 1),
    ]
    # Tables of the backbone and of the context; kernel and bias of two auxiliary and
    # three backbone layers; three factors a matrix; kernel and bias of q for a field.
    assert len(model.trainable_weights) == 4 + 2 + 2 * 2 + 3 * 2 + 3 * 3 + 2 * 2
    again = MIDPG.from_config(model.get_config())
    assert again.get_config() == model.get_config()


def test_without_an_auxiliary_network(new_model, randomised, test_table) -> None:
    model = randomised(new_model("midpg", auxiliary=()))
    assert np.isfinite(model(test_table.features)).all()
    # The context itself makes the cores: width 2 * 8.
    assert model.generators[0].core.shape == (16, 64)


@pytest.mark.parametrize(
    ("modulated", "weighted"),
    # Inputs, and one more for the bias; hidden layers of 16 and 8, and the output.
    [
        ("all", [(22, 16), (17, 8), (9, 1)]),
        ("hidden", [(22, 16), (17, 8)]),
        ("first", [(22, 16)]),
        ("last", [(9, 1)]),
    ],
)
def test_weighs_the_layers_that_were_asked_for(new_model, modulated, weighted) -> None:
    model = new_model("midpg", modulated=modulated)
    matrices = model.generate(tf.range(2, dtype=tf.int64))
    assert [tuple(matrix.shape) for matrix in matrices] == [(2, *w) for w in weighted]


@pytest.mark.parametrize("decomposition", ["both", "specific", "shared"])
def test_scenarios_share_a_matrix_if_its_factors_are_shared(
    new_model, randomised, decomposition: str
) -> None:
    model = randomised(new_model("midpg", decomposition=decomposition))
    for one, other in model.generate(tf.range(2, dtype=tf.int64)):
        assert np.abs(one - 1).max() > 0.01
        assert np.allclose(one, other) == (decomposition == "shared")


def test_estimates_information_as_was_asked_for(new_model) -> None:
    for name, kind in (("barber_agakov", MutualInformation), ("infonce", InfoNCE)):
        assert type(new_model("midpg", estimator=name).mutual_information) is kind
