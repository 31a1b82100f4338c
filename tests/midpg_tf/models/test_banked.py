"""What all models with parts of each scenario's own promise."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from midpg_tf.layers import DenseBank, StarDense
from midpg_tf.models.banked import BankedModel, mix

VARIANTS = {
    "shared_bottom": {},
    "scenario_mlp": {},
    "mmoe": {"experts": 3},
    "ple": {"hidden": (16, 12, 8), "levels": 2, "specific_experts": 2},
    "star": {"context": 3, "auxiliary": (5,)},
    "sar_net": {"shared_experts": 2, "specific_experts": 2},
}


@pytest.fixture(params=VARIANTS)
def model(request: pytest.FixtureRequest, new_model, randomised) -> BankedModel:
    """A model whose every weight is drawn at random, biases included."""
    return randomised(new_model(request.param, **VARIANTS[request.param]))


@pytest.fixture
def rows(test_table) -> dict[str, np.ndarray]:
    """Rows of each scenario, the one that the data don't have and unknown ones."""
    rows = {k: v[:500].copy() for k, v in test_table.features.items()}
    rows["country"][:40], rows["device"][:20] = 4, 2
    rows["country"][40:80], rows["device"][40:80] = 3, 1
    return rows


@pytest.mark.slow
def test_gradients_reach_every_part_of_every_scenario(model, rows) -> None:
    label = np.random.default_rng(1).integers(0, 2, 500)
    with tf.GradientTape() as tape:
        loss = model.compute_loss((rows, label), training=True)
    variables = model.trainable_variables
    for variable, gradient in zip(
        variables, tape.gradient(loss, variables), strict=True
    ):
        assert np.any(tf.convert_to_tensor(gradient) != 0), variable.name
    banks = [
        layer for layer in model.submodules if isinstance(layer, DenseBank | StarDense)
    ]
    # A star's kernel is its shared centre.
    kernels = [
        bank.factors if isinstance(bank, StarDense) else bank.kernel for bank in banks
    ]
    assert len(kernels) >= 2
    with tf.GradientTape() as tape:
        loss = model.compute_loss((rows, label), training=True)
    for kernel, gradient in zip(kernels, tape.gradient(loss, kernels), strict=True):
        per_copy = np.abs(tf.convert_to_tensor(gradient)).sum(axis=(1, 2))
        assert np.all(per_copy > 0), kernel.name


def test_unknown_scenarios_are_answered_by_parts_of_their_own(model, rows) -> None:
    rows = {k: np.repeat(v[:1], 4, axis=0) for k, v in rows.items()}
    # Unknown country, unknown device, both, none.
    rows["country"][:], rows["device"][:] = [4, 1, 4, 1], [0, 2, 2, 0]
    assert model.scenario_index(rows).numpy().tolist() == [8, 8, 8, 2]
    # The scenario as a feature makes no difference, so only the parts do.
    for name in ("country", "device"):
        model.embedding.tables[name].assign(
            np.zeros(model.embedding.tables[name].shape)
        )
    score = model(rows).numpy()
    assert np.isfinite(score).all()
    np.testing.assert_allclose(score[:3], score[0], rtol=1e-5)
    assert abs(score[3] - score[0]) > 1e-3


def test_scenarios_without_training_rows_get_the_parts_of_unknown_ones(
    model, rows, train_table
) -> None:
    model(train_table.features, training=True)
    # Country 3 on device 1, which no row has, is one.
    scenario = model.scenario_index(rows).numpy()
    assert sorted(set(scenario)) == list(range(9))
    logits, _ = model.tower(
        model.interact(rows), np.where(scenario == 7, 8, scenario), training=False
    )
    np.testing.assert_array_equal(model(rows), tf.sigmoid(logits)[:, 0])


def test_a_row_meets_no_other_scenarios_parts(model, rows) -> None:
    before = model(rows).numpy()
    scenario = model.scenario_index(rows).numpy()
    for layer in model.submodules:
        if isinstance(layer, StarDense):
            layer.factors[2].assign(tf.fill(layer.kernel.shape, np.nan))
        elif (
            isinstance(layer, DenseBank)
            and layer.copies % model.scenario_index.size == 0
        ):
            own = layer.copies // model.scenario_index.size
            layer.kernel[2 * own : 3 * own].assign(
                tf.fill(layer.kernel[:own].shape, np.nan)
            )
    after = model(rows).numpy()
    np.testing.assert_array_equal(np.isnan(after), scenario == 2)
    np.testing.assert_allclose(after[scenario != 2], before[scenario != 2], rtol=1e-5)


def test_same_hidden_widths_as_the_mlp(new_model) -> None:
    mlp = new_model("mlp")
    width, copies = mlp.embedding.width, 4 * 2 + 1
    first, second, output = width * 16 + 16, 16 * 8 + 8, 8 + 1
    tower = second + output
    # Each scenario's gate of four experts.
    gates = copies * (width * 4 + 4)
    experts = (3 + copies) * (first + second)
    expected = {
        "shared_bottom": first + copies * tower,
        "scenario_mlp": copies * (first + tower),
        "mmoe": 4 * first + gates + copies * tower,
        "ple": (3 + copies) * first + gates + copies * tower,
        "sar_net": copies * 2 * width + experts + gates + output,
        # Scale and shift, and the network; the auxiliary one: embeddings of width 8,
        # a hidden layer of 32, and the output.
        "star": (1 + copies) * (2 * width + first + tower)
        + (copies * 8 + (8 + width) * 32 + 32 + 32 + 1),
    }
    tables = sum(np.size(table) for table in mlp.embedding.tables.values())
    for kind, size in expected.items():
        model = new_model(kind)
        assert sum(map(np.size, model.trainable_weights)) == tables + size, kind


@pytest.mark.parametrize("kind", VARIANTS)
def test_kernels_start_and_are_regularised_as_settings_tell(new_model, kind) -> None:
    settings = {"kernel_initializer": "ones", "l2": 0.5, "embedding_l2": 0.0}
    model = new_model(kind, **VARIANTS[kind], **settings)
    weights = {weight.name: weight.numpy() for weight in model.trainable_variables}
    kernels = [value for name, value in weights.items() if name.endswith("/kernel:0")]
    assert all((kernel == 1).all() for kernel in kernels)
    assert sum(model.losses).numpy() == 0.5 * sum(map(np.size, kernels))


def test_shared_experts_drop_units_in_training(new_model, rows) -> None:
    settings = {"specific_experts": 0, "dropout": 0.5, "scenario_dropout": 0.0}
    model = new_model("sar_net", embedding_stddev=1.0, **settings)
    label = np.random.default_rng(1).integers(0, 2, 500)
    losses = [model.compute_loss((rows, label), training=True) for _ in range(2)]
    assert abs(losses[0] - losses[1]) > 1e-4


def test_mix_is_the_weighted_sum() -> None:
    weights = tf.constant([[0.25, 0.75], [1.0, 0.0]])
    outputs = [tf.constant([[4.0, 8.0], [1.0, 2.0]]), tf.constant([[0.0, 4.0], [9, 9]])]
    # (1 + 0, 2 + 3); (1, 2)
    np.testing.assert_allclose(mix(weights, outputs), [[1.0, 5.0], [1.0, 2.0]])


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        ("mmoe", {"hidden": ()}, "hidden: expected at least one layer, found none"),
        ("ple", {"specific_experts": -1}, "specific_experts: expected 0 or more"),
        ("sar_net", {"specific_experts": -1}, "specific_experts: expected 0 or more"),
    ],
)
def test_refuses_to_mix_nothing(new_model, kind, settings, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        new_model(kind, **settings)
