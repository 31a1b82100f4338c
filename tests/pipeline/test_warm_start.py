"""Warm starts move embeddings to the ids that their values have now."""

import numpy as np
import pytest

from midpg_tf import MIDPG, MLP, CategoricalInput, NumericInput
from midpg_tf.models import APG, MODELS
from pipeline.training_run import save_run
from pipeline.warm_start import warm_start

OLD = {"channel": ["web", "app"], "item": ["a", "b", "c"]}
NEW = {"channel": ["app", "web", "mail"], "item": ["c", "d", "a"]}


def build(vocabularies, model=MIDPG, oov_buckets=2, width=3, **settings):
    items = len(vocabularies["item"]) + oov_buckets
    features = [
        CategoricalInput("channel", len(vocabularies["channel"]) + 1, embedding=2),
        CategoricalInput("item", items, width, oov_buckets=oov_buckets),
        NumericInput("price"),
    ]
    settings = {"hidden": (4,), "embedding_stddev": 1.0} | settings
    return model(features, ["channel"], **settings)


def table(model, name):
    return model.embedding.tables[name].numpy()


def test_embeddings_follow_their_values(tmp_path):
    old, new = build(OLD), build(NEW)
    initial = table(new, "item").copy()
    save_run(tmp_path, old, OLD)
    warm_start(tmp_path, new, NEW)
    # Now: c d a oov oov; before: a b c oov oov.
    before, now = table(old, "item"), table(new, "item")
    np.testing.assert_array_equal(now[[0, 2, 3, 4]], before[[2, 0, 3, 4]])
    np.testing.assert_array_equal(now[1], initial[1])
    # Now: app web mail oov; before: web app oov. The auxiliary network's too.
    for tables in (lambda m: m.embedding, lambda m: m.context_embedding):
        before = tables(old).tables["channel"].numpy()
        now = tables(new).tables["channel"].numpy()
        np.testing.assert_array_equal(now[[0, 1, 3]], before[[1, 0, 2]])


def test_more_buckets_for_unknown_values_start_anew(tmp_path):
    old, new = build(OLD, oov_buckets=1), build(OLD, oov_buckets=3)
    initial = table(new, "item").copy()
    save_run(tmp_path, old, OLD)
    warm_start(tmp_path, new, OLD)
    np.testing.assert_array_equal(table(new, "item")[:4], table(old, "item"))
    np.testing.assert_array_equal(table(new, "item")[4:], initial[4:])


def test_fewer_buckets_for_unknown_values(tmp_path):
    old, new = build(OLD, oov_buckets=3), build(OLD, oov_buckets=1)
    save_run(tmp_path, old, OLD)
    warm_start(tmp_path, new, OLD)
    np.testing.assert_array_equal(table(new, "item"), table(old, "item")[:4])


@pytest.mark.parametrize(
    ("channels", "is_kept"),
    # In another order, its outputs would stand for other values.
    [(["web", "app"], True), (["app", "web"], False)],
)
@pytest.mark.parametrize("estimator", ["barber_agakov", "infonce"])
def test_the_estimator_stays_if_the_scenarios_do(
    tmp_path, channels, is_kept, estimator
):
    vocabularies = OLD | {"channel": channels}
    old, new = (build(OLD, estimator=estimator) for _ in range(2))
    # The random projection that the others were trained for is among them.
    for number, weight in enumerate(old.mutual_information.weights):
        weight.assign(np.full(weight.shape, number + 7.0))
    initial = [w.numpy() for w in new.mutual_information.weights]
    save_run(tmp_path, old, OLD)
    warm_start(tmp_path, new, vocabularies)
    before = [w.numpy() for w in old.mutual_information.weights]
    for weight, expected in zip(
        new.mutual_information.weights,
        before if is_kept else initial,
        strict=True,
    ):
        np.testing.assert_array_equal(weight, expected)


def test_same_rows_score_the_same(tmp_path):
    old, new = build(OLD), build(NEW)
    save_run(tmp_path, old, OLD)
    warm_start(tmp_path, new, NEW)
    price = np.array([0.5, -1.0, 2.0], "float32")
    # web/a, app/c, unknown/unknown by the ids of each vocabulary.
    before = old({"channel": [0, 1, 2], "item": [0, 2, 4], "price": price})
    now = new({"channel": [1, 0, 3], "item": [2, 0, 4], "price": price})
    np.testing.assert_allclose(now, before, rtol=0, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {}) for name in sorted(MODELS)),
        ("midpg", {"estimator": "infonce"}),
        ("ple", {"specific_experts": 2}),
        ("sar_net", {"specific_experts": 2}),
    ],
)
def test_scenarios_keep_what_is_theirs(tmp_path, name, settings):
    settings = {"hidden": (16,)} | settings
    old, new = (build(values, MODELS[name], **settings) for values in (OLD, NEW))
    rng = np.random.default_rng(0)
    for weight in old.weights:
        if weight.dtype.is_integer:
            continue
        low = 0.1 if "moving" in weight.name else -0.2
        weight.assign(rng.uniform(low, 0.2, weight.shape))
    save_run(tmp_path, old, OLD)
    warm_start(tmp_path, new, NEW)
    price = np.array([0.5, -1.0, 2.0, 0.1], "float32")
    # a in web and in app, c in app, unknown in unknown.
    before = old({"channel": [0, 1, 1, 2], "item": [0, 0, 2, 4], "price": price})
    now = new({"channel": [1, 0, 0, 3], "item": [2, 2, 0, 4], "price": price})
    np.testing.assert_allclose(now, before, rtol=0, atol=1e-6)
    assert before[0] != before[1]


def test_which_scenarios_have_rows_is_found_anew(tmp_path):
    old, new = (build(values, MODELS["ple"]) for values in (OLD, NEW))
    old.trained_scenarios.trained.assign([1, 1, 1])
    save_run(tmp_path, old, OLD)
    warm_start(tmp_path, new, NEW)
    assert not new.trained_scenarios.trained.numpy().any()


def test_scenarios_of_two_fields(tmp_path):
    def make(channels, devices):
        fields = [
            CategoricalInput("channel", len(channels) + 1, embedding=2),
            CategoricalInput("device", len(devices) + 1, embedding=2),
        ]
        return APG(fields, ["channel", "device"], hidden=(4,), context=3)

    old = {"channel": ["web", "app"], "device": ["desk", "phone", "tv"]}
    new = {"channel": ["app", "mail", "web"], "device": ["phone", "desk", "watch"]}
    source, model = make(*old.values()), make(*new.values())
    initial = model.scenario_embedding.table.numpy()
    save_run(tmp_path, source, old)
    warm_start(tmp_path, model, new)
    before, now = (one.scenario_embedding.table.numpy() for one in (source, model))
    # Before: web/desk, /phone, /tv, app/desk, /phone, /tv, unknown.
    # Now: app/phone, /desk, /watch, the same of mail and of web, unknown.
    np.testing.assert_array_equal(now[[0, 1, 6, 7, 9]], before[[4, 3, 1, 0, 6]])
    anew = [2, 3, 4, 5, 8]
    np.testing.assert_array_equal(now[anew], initial[anew])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"hidden": (8,)}, r"expected a model with hidden=\[8\], found \[4\]"),
        ({"model": MLP}, "expected a model with name=MLP, found MIDPG"),
        ({"width": 5}, r"features=.*'item', 'CategoricalInput', 5\), .* found"),
    ],
)
def test_another_model_is_refused(tmp_path, other, message):
    save_run(tmp_path, build(OLD), OLD)
    with pytest.raises(ValueError, match=message):
        warm_start(tmp_path, build(NEW, **other), NEW)


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"found no model.keras in {tmp_path}"):
        warm_start(tmp_path, build(NEW), NEW)
