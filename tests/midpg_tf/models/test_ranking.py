"""What every model of the registry promises."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tf_keras as keras
from sklearn.metrics import log_loss, roc_auc_score

from midpg_tf import CategoricalInput, NumericInput
from midpg_tf.models import MODELS, RankingModel
from midpg_tf.models.registry import defaults, hyperparameters
from midpg_tf.names import safe_name

MAY_BE_ZERO = {"tower_layers", "specific_experts"}
"""Sizes of which the default is above it."""

ONLY_CROSS_ENTROPY = {
    "midpg": {"mi_weight": 0.0, "matrix_l2": 0.0},
    "adasparse": {"sparsity_weight": 0},
}
"""Settings of models that would otherwise add a term of their own to the loss."""


def some_models(*others: str) -> pytest.MarkDecorator:
    """Chooses MLP, and others as slow tests, where models hardly differ."""
    slow = [
        pytest.param(name, marks=[pytest.mark.slow, pytest.mark.xdist_group(name)])
        for name in others
    ]
    return pytest.mark.parametrize("name", ["mlp", *slow], indirect=True)


def evaluate(model: keras.Model, *arguments, **keywords) -> dict[str, float]:
    return model.evaluate(*arguments, **keywords, verbose=0, return_dict=True)


def predict(model: keras.Model, features: dict, **keywords) -> np.ndarray:
    return model.predict(features, verbose=0, **keywords)


def test_learns_a_signal_that_differs_by_scenario(trained, test_table) -> None:
    score = predict(trained.model, test_table.features, batch_size=500)
    assert score.shape == test_table.label.shape
    assert score.dtype == np.float32
    best = roc_auc_score(test_table.label, test_table.probability)
    assert roc_auc_score(test_table.label, score) > best - 0.03
    # One slope for all scenarios would be near chance where the sign is negative.
    negative = (test_table.features["country"] == 2).nonzero()
    assert roc_auc_score(test_table.label[negative], score[negative]) > 0.75


def test_fit_reports_each_scenario(trained) -> None:
    scenarios = [f"{c}/{d}" for c in range(4) for d in ("app", "web")] + ["unknown"]
    for metric in ("auc", "log_loss", "calibration"):
        for prefix in ("", "val_"):
            for scenario in scenarios:
                assert len(trained.history[f"{prefix}{metric}/{scenario}"]) == 4
            assert len(trained.history[f"{prefix}{metric}"]) == 4
    assert trained.history["val_auc/0/app"][-1] > 0.8
    assert trained.history["loss"][-1] < trained.history["loss"][0]
    # Scenario dropout blinds the model, not the metrics.
    assert np.isnan(trained.history["auc/unknown"]).all()
    assert np.isnan(trained.history["auc/3/web"]).all()


@some_models("midpg")
def test_evaluate_reports_the_figures_of_predict(trained, test_table) -> None:
    result = evaluate(trained.model, test_table.dataset(600))
    score = predict(trained.model, test_table.features)
    label = test_table.label
    assert result["auc"] == pytest.approx(roc_auc_score(label, score), abs=1e-3)
    assert result["log_loss"] == pytest.approx(log_loss(label, score), rel=1e-4)
    assert result["calibration"] == pytest.approx(score.sum() / label.sum(), rel=1e-4)


@some_models("midpg")
def test_arrays_and_datasets_are_the_same_rows(trained, test_table) -> None:
    features, label, _ = test_table
    ones = np.ones_like(label)
    results = [
        evaluate(trained.model, features, label, batch_size=500),
        evaluate(trained.model, test_table.dataset(500)),
        evaluate(trained.model, test_table.dataset(500, ones)),
        evaluate(trained.model, features, label, sample_weight=ones, batch_size=500),
    ]
    for result in results[1:]:
        assert result == pytest.approx(results[0], rel=1e-5, nan_ok=True)
    scores = [
        predict(trained.model, features),
        predict(trained.model, test_table.dataset(500)),
        trained.model(features).numpy(),
    ]
    for score in scores[1:]:
        np.testing.assert_allclose(score, scores[0], rtol=1e-4)


def test_score_does_not_depend_on_the_rest_of_the_batch(trained, test_table) -> None:
    together = predict(trained.model, test_table.features, batch_size=2_000)
    one_by_one = [
        trained.model({k: v[row : row + 1] for k, v in test_table.features.items()})
        for row in range(10)
    ]
    np.testing.assert_allclose(np.concatenate(one_by_one), together[:10], rtol=1e-4)


def test_accepts_trailing_axes_and_an_empty_batch(trained, test_table) -> None:
    features = test_table.features
    columns = {k: v if v.ndim == 2 else v[:, np.newaxis] for k, v in features.items()}
    expected = trained.model({k: v[:50] for k, v in features.items()})
    score = trained.model({k: v[:50] for k, v in columns.items()})
    np.testing.assert_array_equal(score, expected)
    assert trained.model({k: v[:0] for k, v in features.items()}).shape == (0,)


def test_names_the_missing_feature(trained, test_table) -> None:
    features = {k: v[:2] for k, v in test_table.features.items() if k != "age"}
    with pytest.raises(ValueError, match=r"missing: \['age'\]"):
        trained.model(features)


def test_takes_ids_of_any_integer_type_and_no_others(trained, test_table) -> None:
    features = {k: v[:50] for k, v in test_table.features.items()}
    expected = trained.model(features)
    for given in ("int8", "int16", "int32"):
        ids = {k: v.astype(given) for k, v in features.items() if k != "age"}
        np.testing.assert_array_equal(trained.model(features | ids), expected)
    told = "feature 'country': expected integer ids, found float32"
    with pytest.raises(ValueError, match=told):
        predict(trained.model, features | {"country": features["country"] / 1})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["midpg", "mlp"], scope="session")
def test_takes_ragged_and_sparse_ids(name: str, new_model, test_table) -> None:
    model = new_model(name, embedding_stddev=1.0, scenario_dropout=0.0)
    features = {k: v[:50] for k, v in test_table.features.items()}
    label, tags = test_table.label[:50], features["tags"]
    row, _ = places = np.nonzero(tags >= 0)
    ids = tags[tags >= 0]
    kinds = [
        tf.RaggedTensor.from_value_rowids(ids, row, nrows=50),
        tf.SparseTensor(np.stack(places, axis=1), ids, tags.shape),
    ]
    expected = model(features)
    keras.utils.set_random_seed(1)
    loss = model.compute_loss((features, label), training=True)
    for kind in kinds:
        rows = (features | {"tags": kind}, label)
        np.testing.assert_allclose(model(rows[0]), expected, rtol=1e-5)
        batches = tf.data.Dataset.from_tensor_slices(rows).batch(50)
        np.testing.assert_allclose(predict(model, batches), expected, rtol=1e-5)
        keras.utils.set_random_seed(1)
        np.testing.assert_allclose(
            model.compute_loss(rows, training=True), loss, rtol=1e-5
        )


def test_refuses_several_ids_for_each_row() -> None:
    # Of the only feature, they would be more rows.
    model = MODELS["mlp"]([CategoricalInput("item", 4)], ["item"])
    told = r"feature 'item': expected an id for each row, .* found \(2, 2\)"
    with pytest.raises(ValueError, match=told):
        model({"item": np.array([[1, 2], [3, 3]])})


def test_trains_on_its_features_alone(name: str, new_model, train_table) -> None:
    nothing_random = ONLY_CROSS_ENTROPY.get(name, {}) | {"scenario_dropout": 0.0}
    model = new_model(name, **nothing_random)
    features, label = train_table.features, train_table.label
    others = {"text": tf.sparse.from_dense([["a"]]), "version": tf.constant(3.0)}
    small = {k: v.astype("int8") for k, v in features.items() if k != "age"}
    np.testing.assert_allclose(
        model.compute_loss((features | others | small, label), training=True),
        model.compute_loss((features, label), training=True),
        rtol=1e-6,
    )


def test_does_not_retrace_for_every_batch_size(trained, test_table) -> None:
    model = trained.model
    # Two traces at most: `tf.function` relaxes the batch size that it saw first.
    # `fit` had 31 batches of 128 and one of 32 rows, four times.
    assert model.train_function.experimental_get_tracing_count() <= 2
    model.make_predict_function(force=True)
    model.make_test_function(force=True)
    for batch_size in (2_000, 700, 500, 300):
        predict(model, test_table.features, batch_size=batch_size)
        evaluate(model, test_table.dataset(batch_size))
    assert model.predict_function.experimental_get_tracing_count() <= 2
    assert model.test_function.experimental_get_tracing_count() <= 2


def test_scenarios_without_training_rows_are_scored_as_unknown_ones(
    name, trained, rows
) -> None:
    model = trained.model
    # Country 3 on device 1, which no row has, is one.
    scenario = model.scenario_index(rows).numpy()
    assert set(scenario) >= {7, 8}
    if name not in {"mlp", "midpg"}:
        assert not model.trained_scenarios.trained[7]
        scenario = np.where(scenario == 7, 8, scenario)
    logits, _ = model.tower(model.interact(rows), scenario, training=False)
    np.testing.assert_allclose(model(rows), tf.sigmoid(logits)[:, 0], rtol=1e-6)


def test_keras_file_gives_the_same_scores(trained, test_table, tmp_path: Path) -> None:
    trained.model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again) is type(trained.model)
    assert again.get_config() == trained.model.get_config()
    np.testing.assert_array_equal(
        again(test_table.features), trained.model(test_table.features)
    )
    # The optimizer's state and the metrics come along.
    assert evaluate(again, test_table.dataset(500)) == pytest.approx(
        evaluate(trained.model, test_table.dataset(500)), rel=1e-5, nan_ok=True
    )
    assert int(again.optimizer.iterations) == 4 * 32


@pytest.mark.slow
def test_saved_model_gives_the_same_scores(trained, test_table, tmp_path: Path) -> None:
    trained.model.save(tmp_path / "model", save_format="tf")
    # As a server does it, without this package's classes.
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    for rows in (500, 3):
        features = {k: v[:rows] for k, v in test_table.features.items()}
        (score,) = serve(**{k: tf.constant(v) for k, v in features.items()}).values()
        expected = predict(trained.model, features, batch_size=rows)
        np.testing.assert_array_equal(score, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["midpg", "mlp"], scope="session")
def test_saved_model_trains_on(name: str, new_model, train_table, tmp_path) -> None:
    model = new_model(name, scenario_dropout=0.0, **ONLY_CROSS_ENTROPY.get(name, {}))
    # Without a state, which Keras doesn't restore of a SavedModel.
    model.compile(keras.optimizers.SGD(0.1))
    rows = train_table.dataset(2_000)
    model.fit(rows, verbose=0)
    model.save(tmp_path / "model", save_format="tf")
    again = keras.models.load_model(tmp_path / "model")
    assert type(again) is type(model)
    losses = [one.fit(rows, verbose=0).history["loss"] for one in (model, again)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


@pytest.mark.slow
def test_a_model_is_saved_before_it_has_scored(
    new_model, train_table, tmp_path: Path
) -> None:
    model = new_model("mlp")
    model.compile("adam")
    model.fit(train_table.dataset(128).take(2), verbose=0)
    model.export(tmp_path / "export")
    model.save(tmp_path / "model")
    saved, exported = (
        tf.saved_model.load(str(tmp_path / folder)) for folder in ("model", "export")
    )
    features = {k: tf.constant(v[:2]) for k, v in train_table.features.items()}
    # The rows that it was fitted to have three tags, padding included.
    for tags in ([[0], [4]], [[0, 1, 2, 3], [4, -1, -1, -1]]):
        features["tags"] = tf.constant(tags, tf.int64)
        (score,) = saved.signatures["serving_default"](**features).values()
        np.testing.assert_array_equal(score, model(features))
        np.testing.assert_array_equal(exported.serve(features), model(features))


@pytest.mark.slow
def test_features_of_any_name_are_saved(tmp_path: Path) -> None:
    names = ("user id", "größe")
    features = [CategoricalInput(names[0], 4), NumericInput(names[1])]
    model = MODELS["mlp"](features, [names[0]], embedding_stddev=1.0)
    rows = {names[0]: tf.constant([0, 3], tf.int64), names[1]: tf.constant([0.5, -1.0])}
    model.save(tmp_path / "model", save_format="tf")
    model.export(tmp_path / "export")
    saved, exported = (
        tf.saved_model.load(str(tmp_path / folder)) for folder in ("model", "export")
    )
    (score,) = saved.signatures["serving_default"](
        **{safe_name(name): rows[name] for name in names}
    ).values()
    np.testing.assert_array_equal(score, model(rows))
    np.testing.assert_array_equal(exported.serve(rows), model(rows))


def test_a_copy_has_the_model_s_name(tmp_path: Path) -> None:
    # Widths as NumPy has them are saved, too.
    settings = {"hidden": np.array([4, 2]), "name": "shop"}
    model = MODELS["mlp"]([CategoricalInput("item", 3)], ["item"], **settings)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [loaded.name, keras.models.clone_model(model).name] == ["shop", "shop"]
    assert loaded.hidden == (4, 2)


@pytest.mark.parametrize("file", ["model.weights.h5", "model.h5"])
def test_weights_alone_can_be_restored(
    name: str, trained, new_model, test_table, tmp_path: Path, file: str
) -> None:
    path = str(tmp_path / file)
    trained.model.save_weights(path)
    again = new_model(name)
    again.load_weights(path)
    np.testing.assert_array_equal(
        again(test_table.features), trained.model(test_table.features)
    )


def test_weights_have_names_of_their_own(name: str, new_model) -> None:
    # Of metrics, Keras calls the weights of every mean `total` and `count`.
    layers = new_model(name, cross_layers=2).layers
    names = [weight.name for layer in layers for weight in layer.weights]
    assert len(set(names)) == len(names) > 10


def test_config_round_trip_keeps_every_setting(name: str, new_model) -> None:
    settings = {
        "cross_layers": 1,
        "dropout": 0.3,
        "embedding_stddev": 0.5,
        "l2": 0.25,
        "embedding_l2": 0.5,
        "kernel_initializer": "he_normal",
        "scenario_dropout": 0.125,
        "negative_rate": 0.5,
    }
    model = new_model(name, **settings)
    text = json.dumps(model.get_config())
    config = json.loads(text)
    assert hyperparameters(name).keys() <= config.keys()
    again = type(model).from_config(config)
    assert again.get_config() == model.get_config()
    assert config == json.loads(text)  # for another time
    assert (again.features, again.scenario) == (model.features, model.scenario)
    assert again.hidden == (16, 8)
    assert {key: getattr(again, key) for key in settings} == settings
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]


def test_all_weights_exist_from_construction_on(name: str, new_model, train_table):
    model = new_model(name, cross_layers=2)
    before = [weight.ref() for weight in model.weights]
    with tf.GradientTape() as tape:
        loss = model.compute_loss((train_table.features, train_table.label), True)
    assert [weight.ref() for weight in model.weights] == before
    # And each of them takes part.
    gradients = tape.gradient(loss, model.trainable_variables)
    assert len(gradients) > 10
    assert all(gradient is not None for gradient in gradients)


def test_keras_file_keeps_interactions(name, new_model, test_table, tmp_path) -> None:
    features = [
        dataclasses.replace(item, embedding=4)
        if isinstance(item, CategoricalInput)
        else item
        for item in new_model(name).features
    ]
    model = MODELS[name](
        features,
        ("country", "device"),
        hidden=(8,),
        cross_layers=2,
        dot_interactions=True,
        embedding_stddev=1.0,
    )
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        again(test_table.features), model(test_table.features)
    )


def test_loss_is_the_weighted_mean_of_the_cross_entropy(
    name: str, new_model, test_table
) -> None:
    settings = ONLY_CROSS_ENTROPY.get(name, {})
    model = new_model(name, embedding_stddev=1.0, **settings)
    features, label, _ = test_table
    weight = np.random.default_rng(1).random(len(label)).astype(np.float32)
    score = model(features).numpy().astype(float)
    entropy = -np.where(label == 1, np.log(score), np.log(1 - score))
    weighted = (weight * entropy).mean()
    for data, expected in (
        ((features, label), entropy.mean()),
        ((features, label, weight), weighted),
        ((features, label[:, np.newaxis], weight[:, np.newaxis]), weighted),
    ):
        np.testing.assert_allclose(model.compute_loss(data), expected, rtol=1e-4)


def test_mean_loss_does_not_depend_on_the_batches(
    name: str, new_model, test_table
) -> None:
    settings = ONLY_CROSS_ENTROPY.get(name, {})
    model = new_model(name, embedding_stddev=1.0, l2=0.0, **settings)
    model.compile("sgd", run_eagerly=True)
    for batch_size in (2_000, 1_900):
        result = evaluate(model, test_table.dataset(batch_size))
        assert result["loss"] == pytest.approx(result["log_loss"], rel=1e-5)
    # Of Keras' list, it is the first.
    assert model.evaluate(test_table.dataset(2_000), verbose=0)[0] == pytest.approx(
        result["loss"], rel=1e-5
    )


def test_evaluate_weighs_rows(new_model, test_table) -> None:
    model = new_model("mlp", embedding_stddev=1.0)
    model.compile("sgd", run_eagerly=True)
    features, label, _ = test_table
    weight = np.where(np.arange(2_000) < 500, 1.0, 0.0)
    some = {name: values[:500] for name, values in features.items()}
    result = evaluate(model, features, label, 500, sample_weight=weight)
    expected = evaluate(model, some, label[:500])
    for key in ("log_loss", "auc", "calibration"):
        assert result[key] == pytest.approx(expected[key], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("factors", "of_kernels", "of_embeddings"),
    [
        ({"l2": 0.01}, 0.01, 0.01),
        ({"l2": 0.01, "embedding_l2": 0.04}, 0.01, 0.04),
        ({"l2": 0.01, "embedding_l2": 0.0}, 0.01, 0.0),
        ({"l2": 0.0, "embedding_l2": 0.04}, 0.0, 0.04),
    ],
)
@pytest.mark.parametrize("name", ["midpg", "mlp"], scope="session")
def test_loss_contains_the_regularisation(
    name: str,
    new_model,
    test_table,
    factors: dict[str, float],
    of_kernels: float,
    of_embeddings: float,
) -> None:
    settings = ONLY_CROSS_ENTROPY.get(name, {})
    model = new_model(name, embedding_stddev=1.0, **factors, **settings)
    model.compile("sgd", run_eagerly=True)
    result = evaluate(model, test_table.dataset(2_000))
    kernels = sum(
        np.sum(np.square(layer.kernel)) for layer in [*model.denses, model.head]
    )
    embeddings = sum(
        np.sum(np.square(table)) for table in model.embedding.tables.values()
    )
    expected = of_kernels * kernels + of_embeddings * embeddings
    assert result["loss"] - result["log_loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["midpg", "mlp"], scope="session")
def test_a_loop_of_one_s_own_trains_as_fit_does(name: str, new_model, test_table):
    settings = {"mi_weight": 0.1} if name == "midpg" else {}
    settings |= {"l2": 0.01, "negative_rate": 0.5}
    model = new_model(name, embedding_stddev=1.0, **settings)
    features, label, _ = test_table
    start = model.get_weights()
    model.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
    keras.utils.set_random_seed(3)
    history = model.fit(features, label, batch_size=2_000, shuffle=False, verbose=0)
    fitted = model.get_weights()
    model.set_weights(start)
    keras.utils.set_random_seed(3)
    with tf.GradientTape() as tape:
        loss = model.compute_loss((features, label), training=True) + sum(model.losses)
    gradients = tape.gradient(loss, model.trainable_variables)
    keras.optimizers.SGD(1.0).apply_gradients(
        zip(gradients, model.trainable_variables, strict=True)
    )
    np.testing.assert_allclose(loss, history.history["loss"][0], rtol=1e-6)
    for ours, theirs in zip(model.get_weights(), fitted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert max(np.abs(a - b).max() for a, b in zip(start, fitted, strict=True)) > 0.1


# Of these, terms of the loss or statistics of their own are of the rows, too.
@some_models("midpg", "star", "adasparse")
def test_rows_of_no_weight_teach_nothing(name: str, new_model, train_table, test_table):
    features, label, _ = train_table
    # Every row a second time, with the wrong label and no weight.
    features = {k: np.concatenate([v, v]) for k, v in features.items()}
    labels = np.concatenate([label, 1 - label])
    weight = np.concatenate([np.ones_like(label), np.zeros_like(label)])
    model = new_model(name)
    model.compile(keras.optimizers.Adam(0.02))
    history = model.fit(
        features, labels, sample_weight=weight, batch_size=256, epochs=2, verbose=0
    ).history
    assert roc_auc_score(test_table.label, predict(model, test_table.features)) > 0.75
    # Nor do the metrics count them.
    assert history["auc"][-1] > 0.75


@pytest.fixture
def check_training(new_model, train_table, test_table):
    """Trains a model and checks that weights and scores are more exact than layers."""

    def check(name: str) -> RankingModel:
        model = new_model(name, hidden=(8,), cross_layers=1)
        model.compile(keras.optimizers.Adam(0.02))
        weights = model.trainable_variables
        assert all(weight.dtype == tf.float32 for weight in weights)
        rows = train_table.dataset(256, np.ones_like(train_table.label))
        losses = model.fit(rows, epochs=3, verbose=0).history["log_loss"]
        assert losses[2] < losses[1] < losses[0] - 0.02
        score = predict(model, test_table.features)
        assert score.dtype == np.float32
        assert roc_auc_score(test_table.label, score) > 0.8
        # Logits in half precision would give some hundreds of different scores.
        assert len(np.unique(score)) > 1_000
        return model

    return check


# On all models the stricter of the two: in it, small numbers vanish and large ones
# overflow.
def test_trains_in_mixed_float16(policy, name: str, check_training) -> None:
    policy("mixed_float16")
    optimizer = check_training(name).optimizer
    assert isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)


@some_models("midpg")
def test_trains_in_mixed_bfloat16(policy, name: str, check_training) -> None:
    policy("mixed_bfloat16")
    assert isinstance(check_training(name).optimizer, keras.optimizers.Adam)


def test_keras_file_keeps_the_precision(
    policy, name: str, new_model, test_table, tmp_path: Path
) -> None:
    policy("mixed_bfloat16")
    model = new_model(name, embedding_stddev=1.0)
    model.save(tmp_path / "model.keras")
    policy("float32")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert keras.mixed_precision.global_policy().name == "float32"
    np.testing.assert_array_equal(
        again(test_table.features), model(test_table.features)
    )


def test_a_copy_has_the_precision_of_the_layers(policy, new_model) -> None:
    policy("mixed_bfloat16")
    model = new_model("mlp")
    policy("float32")
    again = keras.models.clone_model(model)
    assert again.denses[0].compute_dtype == "bfloat16"
    with pytest.raises(ValueError, match="dropout: expected a share"):
        type(model).from_config(model.get_config() | {"dropout": 2.0})
    assert keras.mixed_precision.global_policy().name == "float32"


def test_inner_products_in_half_precision(policy, train_table) -> None:
    features = [
        CategoricalInput("country", 5, embedding=4),
        CategoricalInput("item", 21, embedding=4),
    ]
    settings = {"dot_interactions": True, "embedding_stddev": 1.0, "hidden": (8,)}
    model = MODELS["mlp"](features, ["country"], **settings)
    expected = model(train_table.features)
    policy("mixed_float16")
    half = MODELS["mlp"](features, ["country"], **settings)
    half.set_weights(model.get_weights())
    np.testing.assert_allclose(half(train_table.features), expected, atol=0.01)
    half.compile("adam")
    assert np.isfinite(half.train_on_batch(train_table.features, train_table.label)[0])


@pytest.mark.gpu
@pytest.mark.skipif(
    not tf.config.list_physical_devices("GPU"), reason="this machine has no GPU"
)
def test_trains_on_a_gpu(policy, name: str, new_model, train_table, test_table) -> None:
    policy("mixed_float16")
    model = new_model(name)
    assert all("GPU" in weight.device for weight in model.trainable_variables)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    model.fit(train_table.dataset(128), epochs=4, verbose=0)
    score = predict(model, test_table.features)
    assert roc_auc_score(test_table.label, score) > 0.8
    with tf.device("CPU:0"):
        expected = model(test_table.features)
    np.testing.assert_allclose(score, expected, atol=1e-2)


@pytest.mark.slow
def test_two_replicas_train_as_one() -> None:
    # A process of its own: logical devices can't be changed once TensorFlow runs.
    script = """
        import numpy as np, tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        from midpg_tf import CategoricalInput, NumericInput
        from midpg_tf.models import MODELS
        from midpg_tf.callbacks import RegularizationDelay
        import tf_keras as keras

        keras.utils.set_random_seed(2022)
        rng = np.random.default_rng(1)
        features = {"channel": rng.integers(0, 3, 256), "age": rng.normal(size=256)}
        label = (features["age"] * (features["channel"] - 1) > 0).astype("float32")
        rows = tf.data.Dataset.from_tensor_slices((features, label)).batch(64)

        def train(name, start):
            # Each replica estimates the information of its own half of a batch.
            settings = ONLY_CROSS_ENTROPY.get(name, {})
            model = MODELS[name](
                [CategoricalInput("channel", 4), NumericInput("age")], ["channel"],
                hidden=[8], dropout=0.0, scenario_dropout=0.0, l2=0.01,
                embedding_stddev=0.5, **settings,
            )
            model.compile(keras.optimizers.SGD(0.5))
            for weight, value in zip(model.trainable_variables, start or ()):
                weight.assign(value)
            start = [weight.numpy() for weight in model.trainable_variables]
            delay = RegularizationDelay()
            history = model.fit(rows, epochs=2, verbose=0, callbacks=[delay]).history
            end = [weight.numpy() for weight in model.trainable_variables]
            return history, start, end

        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        assert strategy.num_replicas_in_sync == 2
        for name in NAMES:
            one, start, end = train(name, None)
            with strategy.scope():
                both, _, end_of_both = train(name, start)
            assert one.keys() == both.keys() and "auc/2" in one
            for key in one.keys() - {"matrix_diversity"}:  # likewise of half a batch
                # A score on the edge of an AUC's bin may fall on either side of it.
                atol = 2e-3 if key.startswith(("auc", "gauc")) else 0.0
                np.testing.assert_allclose(
                    both[key], one[key], rtol=1e-4, atol=atol, err_msg=key
                )
            assert max(np.abs(a - b).max() for a, b in zip(end, start)) > 0.1
            for a, b in zip(end, end_of_both):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
            print(name, "agrees")
            # One replica gets no row of the last batch.
            few = rows.unbatch().take(65).batch(64)
            with strategy.scope():
                model = MODELS[name](
                    [CategoricalInput("channel", 4), NumericInput("age")], ["channel"],
                    hidden=[8],
                )
                model.compile(keras.optimizers.SGD(0.01))
            history = model.fit(few, validation_data=few, verbose=0).history
            assert 0.1 < history["loss"][0] < 2, history
            assert 0.1 < history["val_loss"][0] < 2, history
            if name == "star":
                # Each replica has rows of one channel.
                with strategy.scope():
                    model = MODELS[name](
                        model.features, ["channel"], hidden=[8], scenario_dropout=0.0,
                    )
                    model.compile("adam")
                two = {"channel": np.array([0, 0, 2, 2]), "age": np.ones(4)}
                model.fit(two, np.array([0, 1, 0, 1]), batch_size=4, verbose=0)
                marks = model.trained_scenarios.trained.numpy()
                assert marks.tolist() == [True, False, True, False]
    """
    # Without groups, with groups, with moving statistics, with shares of a batch.
    names = ["mlp", "midpg", "star", "adasparse"]
    constants = f"ONLY_CROSS_ENTROPY = {ONLY_CROSS_ENTROPY}\nNAMES = {names}\n"
    finished = subprocess.run(
        [sys.executable, "-c", constants + textwrap.dedent(script)],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3_000:]
    assert finished.stdout.splitlines() == [f"{name} agrees" for name in names]


def test_scenario_dropout_trains_the_unknown_value(name: str, new_model, train_table):
    for rate, is_trained in ((0.0, False), (0.5, True)):
        model = new_model(name, scenario_dropout=rate, l2=0.0)
        before = model.embedding.tables["country"].numpy()
        model.compile(keras.optimizers.SGD(1.0))
        model.run_eagerly = True
        model.train_on_batch(train_table.features, train_table.label)
        after = model.embedding.tables["country"].numpy()
        assert np.any(before[-1] != after[-1]) == is_trained


def test_dropout_acts_in_training_alone(name: str, new_model, train_table) -> None:
    rows = train_table[:2]
    nothing_random = ONLY_CROSS_ENTROPY.get(name, {}) | {"scenario_dropout": 0.0}
    for rate, is_random in ((0.0, False), (0.5, True)):
        model = new_model(name, embedding_stddev=1.0, dropout=rate, **nothing_random)
        losses = [model.compute_loss(rows, training=True).numpy() for _ in range(2)]
        assert (abs(losses[0] - losses[1]) > 1e-4) == is_random
        losses = [model.compute_loss(rows).numpy() for _ in range(2)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize(
    "field", ["age", "nowhere"], ids=["numeric", "no feature at all"]
)
def test_refuses_a_scenario_that_is_no_categorical_feature(name, field: str) -> None:
    features = [CategoricalInput("item", 3), NumericInput("age")]
    with pytest.raises(ValueError, match=rf"out of \['item'\], found '{field}'"):
        MODELS[name](features, [field])


@pytest.mark.parametrize(
    ("features", "scenario", "told"),
    [
        ("item item", "item", r"features: .*once, found \['item', 'item'\]"),
        ("item", "", r"scenario: expected at least one field, .*found \[\]"),
        ("item", "item item", r"scenario: .*each once, found \['item', 'item'\]"),
    ],
)
def test_refuses_names_that_repeat_and_no_scenario(features, scenario, told) -> None:
    inputs = [CategoricalInput(name, 3) for name in features.split()]
    with pytest.raises(ValueError, match=told):
        MODELS["mlp"](inputs, scenario.split())


def test_refuses_a_scenario_that_is_one_name() -> None:
    with pytest.raises(ValueError, match="scenario: expected a list, found 'item'"):
        MODELS["mlp"]([CategoricalInput("item", 3)], "item")


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (CategoricalInput("item", 3), "features: expected a list, found CategoricalI"),
        (["item"], "features: expected a CategoricalInput or .*, found 'item'"),
    ],
)
def test_refuses_what_are_no_features(features, told) -> None:
    with pytest.raises(ValueError, match=told):
        MODELS["mlp"](features, ["item"])


@some_models("midpg", "star")
def test_a_model_that_is_built_again_is_the_same(name: str, new_model) -> None:
    class Own(MODELS[name]):
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, **kwargs)
            self.build()

    model = new_model(name)
    again = Own(model.features, model.scenario)
    base = MODELS[name](model.features, model.scenario)
    assert again.count_params() == base.count_params()
    assert len(again.losses) == len(base.losses)
    again.set_weights(base.get_weights())


def test_a_subclass_makes_its_layers_in_build_tower() -> None:
    class Own(MODELS["mlp"]):
        def __init__(self, *args, steepness: float = 2.0, **kwargs) -> None:
            self.steepness = steepness
            super().__init__(*args, **kwargs)

        def build_tower(self, width: int) -> None:
            super().build_tower(width)
            self.scale = keras.layers.Dense(1, kernel_initializer="ones")
            self.scale.build((None, 1))

        def tower(self, embedded, scenario, training):
            logits, extra = super().tower(embedded, scenario, training)
            return self.steepness * self.scale(logits), extra

    features = [CategoricalInput("item", 3)]
    model = Own(features, ["item"], hidden=(4,))
    base = MODELS["mlp"](features, ["item"], hidden=(4,))
    assert model.count_params() == base.count_params() + 2
    model.compile("adam")
    model.fit({"item": np.array([0, 1])}, np.array([0.0, 1.0]), verbose=0)


def test_refuses_a_table_of_rows(new_model, test_table) -> None:
    frame = pd.DataFrame({"age": test_table.features["age"]})
    model = new_model("mlp")
    model.compile("adam")
    told = r"expected a dictionary of columns, found a \w*Tensor; .* give dict\(df\)"
    with pytest.raises(ValueError, match=told):
        model.fit(frame, test_table.label, verbose=0)
    with pytest.raises(ValueError, match=told):
        model.predict(frame, verbose=0)


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("hidden", [8, 0], r"hidden\[1\]: expected 1 or more, found 0"),
        ("cross_layers", -1, "cross_layers: expected 0 or more, found -1"),
        ("l2", -0.1, "l2: expected 0 or more, found -0.1"),
        ("embedding_l2", -0.1, "embedding_l2: expected 0 or more"),
        ("embedding_stddev", -1.0, "embedding_stddev: expected 0 or more"),
        ("dropout", 1.0, "dropout: expected a share from 0 to below 1, found 1"),
        ("scenario_dropout", -0.1, "scenario_dropout: expected a share from 0"),
        ("negative_rate", 0.0, "negative_rate: expected a share above 0"),
        ("l2", np.nan, "l2: expected a finite number, found nan"),
        ("embedding_l2", np.inf, "embedding_l2: expected a finite number, found inf"),
        ("dropout", np.nan, "dropout: expected a share from 0 to below 1, found nan"),
        ("negative_rate", np.nan, "negative_rate: expected a finite number, found nan"),
        ("hidden", 4, "hidden: expected a list, found 4"),
        ("hidden", (8.5, 4), r"hidden\[0\]: expected a whole number, found 8.5"),
        ("cross_layers", 0.5, "cross_layers: expected a whole number, found 0.5"),
        ("l2", None, "l2: expected a finite number, found None"),
        ("dropout", None, "dropout: expected a share from 0 to below 1, found None"),
        ("negative_rate", None, "negative_rate: expected a finite number, found None"),
        (
            "kernel_initializer",
            keras.initializers.HeNormal(),
            "kernel_initializer: expected Keras' name of one, such as 'he_normal'",
        ),
    ],
)
def test_refuses_settings_out_of_range(name, setting, value, told) -> None:
    with pytest.raises(ValueError, match=told):
        MODELS[name]([CategoricalInput("item", 3)], ["item"], **{setting: value})


@pytest.mark.parametrize(
    ("model", "settings", "told"),
    [
        ("midpg", {"auxiliary": 32}, "auxiliary: expected a list, found 32"),
        ("midpg", {"rank": 2.5}, "rank: expected a whole number, found 2.5"),
        ("star", {"auxiliary": 32}, "auxiliary: expected a list, found 32"),
        ("midpg", {"mi_weight": -1.0}, "mi_weight: expected 0 or more"),
        ("midpg", {"matrix_l2": -1.0}, "matrix_l2: expected 0 or more"),
        (
            "midpg",
            {"mi_weight": 0, "estimator": "mine"},
            "estimator: expected one of .*, found 'mine'",
        ),
        (
            "midpg",
            {"hidden": [], "modulated": "hidden"},
            "modulated: expected hidden layers for 'hidden', found none",
        ),
        ("m2m", {"tower_layers": -1}, "tower_layers: expected 0 or more, found -1"),
        ("adasparse", {"sparsity_weight": -1.0}, "sparsity_weight: expected 0 or more"),
    ],
)
def test_refuses_its_own_settings_out_of_range(model, settings, told) -> None:
    with pytest.raises(ValueError, match=told):
        MODELS[model]([CategoricalInput("item", 3)], ["item"], **settings)


def test_refuses_a_list_for_one_number_or_name(name) -> None:
    single = [
        key for key, value in defaults(name).items() if type(value) in (int, float, str)
    ]
    assert {"l2", "dropout", "kernel_initializer"} <= set(single)
    for key in single:
        with pytest.raises(ValueError, match=f"^{key}: expected"):
            MODELS[name]([CategoricalInput("item", 3)], ["item"], **{key: [1]})


def test_refuses_sizes_of_zero_by_their_own_names(name) -> None:
    sizes = {
        key: 0 if type(value) is int else [0]
        for key, value in defaults(name).items()
        if type(value) in (int, tuple) and value and key not in MAY_BE_ZERO
    }
    assert "hidden" in sizes
    for key, zero in sizes.items():
        told = key if zero == 0 else rf"{key}\[0\]"
        with pytest.raises(ValueError, match=f"^{told}: expected"):
            MODELS[name]([CategoricalInput("item", 3)], ["item"], **{key: zero})
