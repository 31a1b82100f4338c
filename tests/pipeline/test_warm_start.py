"""Warm starts move embeddings to the ids that their values have now."""

import numpy as np
import pytest

from midpg_tf import MIDPG, MLP, CategoricalInput, NumericInput
from pipeline.warm_start import save_run, warm_start

OLD = {"channel": ["web", "app"], "item": ["a", "b", "c"]}
NEW = {"channel": ["app", "web", "mail"], "item": ["c", "d", "a"]}


def build(vocabularies, model=MIDPG, **settings):
    features = [
        CategoricalInput("channel", len(vocabularies["channel"]) + 1, embedding=2),
        CategoricalInput("item", len(vocabularies["item"]) + 2, 3, oov_buckets=2),
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


def test_same_rows_score_the_same(tmp_path):
    old, new = build(OLD), build(NEW)
    save_run(tmp_path, old, OLD)
    warm_start(tmp_path, new, NEW)
    price = np.array([0.5, -1.0, 2.0], "float32")
    # web/a, app/c, unknown/unknown by the ids of each vocabulary.
    before = old({"channel": [0, 1, 2], "item": [0, 2, 4], "price": price})
    now = new({"channel": [1, 0, 3], "item": [2, 0, 4], "price": price})
    np.testing.assert_allclose(now, before, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"hidden": (8,)}, r"expected a model with hidden=\[8\], found \[4\]"),
        ({"model": MLP}, "expected a model with name=MLP, found MIDPG"),
    ],
)
def test_another_model_is_refused(tmp_path, other, message):
    save_run(tmp_path, build(OLD), OLD)
    with pytest.raises(ValueError, match=message):
        warm_start(tmp_path, build(NEW, **other), NEW)


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"found no model.keras in {tmp_path}"):
        warm_start(tmp_path, build(NEW), NEW)
