"""Models bring their own loss and metrics, and train as Keras' do."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tf_keras as keras


def test_a_factor_weighs_the_regularisation_of_training(new_model, test_table) -> None:
    model = new_model("mlp", embedding_stddev=1.0, l2=0.01, scenario_dropout=0.0)
    weights, file = model.get_weights(), len(model.weights)
    model.regularization_factor.assign(0.25)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    rows = test_table.dataset(2_000)
    whole = model.evaluate(rows, verbose=0, return_dict=True)
    found = model.train_on_batch(*test_table[:2], return_dict=True)
    assert whole["loss"] - whole["log_loss"] > 0.1
    assert found["loss"] - found["log_loss"] == pytest.approx(
        0.25 * (whole["loss"] - whole["log_loss"]), rel=1e-4
    )
    # Loading and copying know nothing of it.
    again = new_model("mlp")
    again.set_weights(weights)
    assert again.regularization_factor.numpy() == 1
    assert len(again.weights) == file


def test_trains_with_a_legacy_optimizer(new_model, train_table) -> None:
    model = new_model("mlp", scenario_dropout=0.0)
    start = model.get_weights()
    moved = []
    for optimizer in (keras.optimizers.SGD(0.1), keras.optimizers.legacy.SGD(0.1)):
        model.set_weights(start)
        model.compile(optimizer, run_eagerly=True)
        model.fit(train_table.dataset(4_000), verbose=0)
        moved.append(model.head.kernel.numpy())
    assert np.abs(moved[0] - start[-2]).max() > 1e-4
    np.testing.assert_allclose(moved[1], moved[0], rtol=1e-5)


@pytest.mark.slow
def test_compiles_with_xla_unless_it_groups_rows(
    name: str, new_model, train_table
) -> None:
    model = new_model(name, hidden=(4,))
    if model.has_dynamic_shapes:
        told = f"jit_compile: expected False for {type(model).__name__}, whose groups"
        with pytest.raises(ValueError, match=told):
            model.compile("adam", jit_compile=True)
    else:
        model.compile("sgd", jit_compile=True)
        history = model.fit(train_table.dataset(4_000), verbose=0).history
        assert 0.1 < history["loss"][0] < 2


@pytest.mark.parametrize(
    "given",
    [
        {"loss": "mse"},
        {"loss_weights": [2.0]},
        {"metrics": ["accuracy"]},
        {"weighted_metrics": ["mse"]},
    ],
    ids=lambda given: next(iter(given)),
)
def test_refuses_another_loss_and_other_metrics(new_model, given: dict) -> None:
    ((key, _),) = given.items()
    with pytest.raises(ValueError, match=f"{key}: expected none, since the model"):
        new_model("mlp").compile("adam", **given)


def test_metrics_are_no_weights(name: str, new_model, train_table) -> None:
    model = new_model(name, hidden=(4,))
    model.compile("adam", run_eagerly=True)
    model.fit(train_table.dataset(4_000), verbose=0)
    counted = sum(np.size(weight) for weight in model.get_weights())
    assert model.count_params() == counted
    kept = {id(weight) for weight in model.weights}
    counters = [value for metric in model.metrics for value in metric.variables]
    assert len(counters) > 6
    assert not kept & {id(value) for value in counters}


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([1.0, 5.0], "1 to 5"),
        ([-1, 1], "-1 to 1"),
        ([np.nan, 1.0], "nan to nan"),
        (["0", "1"], "text; make them numbers"),
        (pd.Series(["0", "1"], dtype="category"), "text; make them numbers"),
    ],
)
def test_refuses_labels_that_are_no_probabilities(new_model, labels, found) -> None:
    model = new_model("mlp")
    model.compile("adam")
    told = f"labels: expected numbers from 0 to 1, found {found}"
    with pytest.raises(ValueError, match=told):
        model.fit({}, np.array(labels))


def test_refuses_such_labels_of_a_data_set(new_model, test_table) -> None:
    features, label, _ = test_table
    model = new_model("mlp")
    model.compile("adam")
    start = model.get_weights()
    told = "labels: expected numbers from 0 to 1, found"
    for wrong in (5.0, -1.0, np.nan):
        labels = np.where(np.arange(len(label)) == 7, wrong, label).astype("float32")
        batches = tf.data.Dataset.from_tensor_slices((features, labels)).batch(64)
        with pytest.raises(tf.errors.InvalidArgumentError, match=told):
            model.fit(batches, verbose=0)
        assert all(map(np.array_equal, model.get_weights(), start))


def test_refuses_labels_of_a_data_set_that_are_text(new_model, test_table) -> None:
    model = new_model("mlp")
    model.compile("adam")
    labels = test_table.label.astype(int).astype(str)
    rows = (test_table.features, labels)
    batches = tf.data.Dataset.from_tensor_slices(rows).batch(64)
    with pytest.raises(ValueError, match=r"labels: .* found text"):
        model.fit(batches, verbose=0)


def test_refuses_rows_without_a_label_each(new_model, test_table) -> None:
    features, label, _ = test_table
    model = new_model("mlp")
    model.compile("adam")
    with pytest.raises(ValueError, match=r"rows with labels, .* found none"):
        model.fit(features, verbose=0)
    told = r"of the shape \(batch,\) or \(batch, 1\), found \(None, 2\)"
    with pytest.raises(ValueError, match=told):
        model.fit(features, np.stack([label, 1 - label], axis=1), verbose=0)
    told = r"found a dictionary of \['bought', 'viewed'\]; give one"
    with pytest.raises(ValueError, match=told):
        model.fit(features, {"viewed": label, "bought": label}, verbose=0)
    rows = tf.data.Dataset.from_tensor_slices((features, label))
    with pytest.raises(ValueError, match=r"found \(\); batch the data set"):
        model.fit(rows, verbose=0)


def test_weights_of_rows_bring_no_warning(new_model, train_table, caplog) -> None:
    features, label, _ = train_table
    model = new_model("mlp")
    model.compile("adam", run_eagerly=True)
    rows = (features, label, np.ones(len(label), np.float32))
    model.fit(
        *rows[:2],
        sample_weight=rows[2],
        validation_data=rows,
        batch_size=4_000,
        verbose=0,
    )
    assert "weighted_metrics" not in caplog.text


def test_refuses_a_precision_that_layers_do_not_have(policy, new_model) -> None:
    told = "dtype: expected none, or 'float32', .* found 'mixed_bfloat16'"
    with pytest.raises(ValueError, match=told):
        new_model("mlp", dtype="mixed_bfloat16")
    policy("mixed_bfloat16")
    assert new_model("mlp", dtype="mixed_bfloat16").compute_dtype == "bfloat16"


def shown(printed: str) -> dict[str, float]:
    """The figures at the end of a progress bar."""
    last = re.split(r"[\r\b\n]+", printed.strip())[-1]
    return {key: float(value) for key, value in re.findall(r"- (\S+): (\S+)", last)}


def same(figures: dict[str, float]) -> object:
    """What equals figures of four digits."""
    return pytest.approx(figures, abs=6e-5, nan_ok=True)


@pytest.fixture
def noisy_model(new_model):
    model = new_model("mlp", embedding_stddev=1.0)
    model.compile("adam")
    return model


@pytest.mark.slow
@pytest.mark.parametrize("verbose", ["auto", 1, 2])
def test_evaluate_shows_what_it_returns(
    noisy_model, test_table, capsys, verbose
) -> None:
    # Of each scenario, most batches have no row.
    rows = test_table.dataset(8).take(40)
    for size in ({}, {"steps": 30}):
        found = noisy_model.evaluate(rows, verbose=verbose, return_dict=True, **size)
        assert {"auc/0/app", "gauc", "loss"} < found.keys()
        assert shown(capsys.readouterr().out) == same(found)


def test_fit_shows_what_it_returns(noisy_model, train_table, test_table, capsys):
    rows, validation = train_table.dataset(8), test_table.dataset(100)
    unknown = rows.take(30).filter(lambda *_: True)
    for data, size in ((rows, {"steps_per_epoch": 30}), (unknown, {})):
        history = noisy_model.fit(
            data, epochs=2, verbose=1, validation_data=validation, **size
        ).history
        printed = capsys.readouterr().out
        figures = {key: values[-1] for key, values in history.items()}
        assert {"auc/0/app", "val_auc/0/app"} < figures.keys()
        assert shown(printed) == same(figures)
        # One bar an epoch.
        assert re.findall("Epoch ./2", printed) == ["Epoch 1/2", "Epoch 2/2"]
        assert len(re.findall("val_gauc", printed)) == 2


def test_shows_no_bar_if_none_is_wanted(noisy_model, test_table, capsys) -> None:
    rows = test_table.dataset(100)
    noisy_model.fit(rows, validation_data=rows, verbose=0)
    noisy_model.evaluate(rows, verbose=0)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_a_caller_s_progress_bar_is_the_only_one(noisy_model, test_table, capsys):
    rows = test_table.dataset(100)
    # By position; one that was in `fit` shows no evaluation any more.
    given = [keras.callbacks.ProgbarLogger("steps")]
    noisy_model.fit(rows, None, None, 1, 2, given)
    bar = keras.callbacks.ProgbarLogger("steps")
    noisy_model.evaluate(rows, None, None, 2, None, None, bar)
    whole = keras.callbacks.CallbackList([bar], model=noisy_model, verbose=2, epochs=1)
    noisy_model.evaluate(rows, callbacks=whole)
    assert capsys.readouterr().out.count(" gauc") == 3
    assert len(given) == 1


@pytest.mark.slow
def test_tensorboard_shows_weights_as_images(new_model, test_table, tmp_path) -> None:
    # Among its weights are marks of the scenarios that it has met.
    model = new_model("star")
    model.compile("adam", run_eagerly=True)
    board = keras.callbacks.TensorBoard(tmp_path, histogram_freq=1, write_images=True)
    rows = test_table.dataset(2_000)
    assert model.fit(rows, callbacks=[board], verbose=0).history["loss"][0] > 0
