from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from transform import dataset as dataset_module
from transform.dataset import transformed_dataset, vocabularies

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("transformed")]


def labels_by_age(dataset):
    return [
        (round(float(age), 3), float(y))
        for features, label, _ in dataset
        for age, y in zip(features["age"], label, strict=True)
    ]


def test_vocabularies_are_in_the_order_of_ids(transformed):
    assert vocabularies(transformed.output, transformed.spec) == {
        "city": ["a", "b"],
        "item id": ["7", "8", "07"],
        "item-id": ["w", "v"],
        "größe": ["ß"],
        "tags": ["x", "y"],
    }


def test_batches(transformed):
    dataset = transformed_dataset(
        transformed.files,
        transformed.output,
        transformed.spec,
        4,
    )
    sizes = []
    for features, label, weight in dataset:
        sizes.append(label.shape[0])
        assert set(features) == set(transformed.spec.features)
        for name, value in features.items():
            assert value.shape[0] == sizes[-1]
            assert value.shape.rank == (2 if name == "tags" else 1)
        assert label.dtype == weight.dtype == np.float32
    assert sizes == [4, 2]


def test_weight_only_if_the_description_names_one(transformed):
    spec = transformed.spec.model_copy(update={"weight": None})
    dataset = transformed_dataset(transformed.files, transformed.output, spec, 4)
    _, label = next(iter(dataset))
    assert label.shape == (4,)


def test_shuffling_changes_the_order_by_epoch_and_keeps_rows_whole(transformed):
    def make(seed=None):
        return transformed_dataset(
            transformed.files,
            transformed.output,
            transformed.spec,
            4,
            seed=seed,
        )

    plain = labels_by_age(make())
    assert labels_by_age(make()) == plain
    shuffled = make(1)
    epochs = [labels_by_age(shuffled) for _ in range(5)]
    assert all(sorted(epoch) == sorted(plain) for epoch in epochs)
    assert len(set(map(tuple, epochs))) > 1
    assert labels_by_age(make(1)) == epochs[0]


@pytest.mark.parametrize("in_memory", [True, False])
def test_negatives_are_drawn_anew_in_each_epoch(transformed, monkeypatch, in_memory):
    if not in_memory:
        monkeypatch.setattr(dataset_module, "_BYTES_IN_MEMORY", 0)

    def rows(**arguments):
        batches = transformed_dataset(
            transformed.files, transformed.output, transformed.spec, 4, **arguments
        )
        return [labels_by_age(batches) for _ in range(60)]

    everything = labels_by_age(
        transformed_dataset(
            transformed.files,
            transformed.output,
            transformed.spec,
            4,
            negative_rate=0.5,  # of no effect without a seed
        )
    )
    epochs = rows(seed=1, negative_rate=0.5)
    positives = sorted(row for row in everything if row[1] > 0)
    negatives = len(everything) - len(positives)
    assert positives
    assert negatives
    assert all(sorted(r for r in e if r[1] > 0) == positives for e in epochs)
    kept = [sum(row[1] == 0 for row in epoch) for epoch in epochs]
    assert len(set(kept)) > 1
    # A binomial's mean, give or take four standard errors of 60 epochs.
    assert abs(np.mean(kept) - negatives / 2) < 4 * np.sqrt(negatives / 4 / 60)


@pytest.mark.parametrize("in_memory", [True, False])
def test_nothing_is_tuned_that_an_epoch_would_wait_for(
    transformed, monkeypatch, in_memory
):
    if not in_memory:
        monkeypatch.setattr(dataset_module, "_BYTES_IN_MEMORY", 0)
    batches = transformed_dataset(
        transformed.files,
        transformed.output,
        transformed.spec,
        4,
        seed=0,
    )
    assert batches.options().autotune.enabled is False
    assert len(list(batches)) == len(list(batches)) > 1


def test_no_file(transformed, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\*"):
        transformed_dataset(
            str(tmp_path / "missing*"),
            transformed.output,
            transformed.spec,
            4,
        )


def test_a_seed_gives_one_order_whatever_the_order_in_the_files(transformed, tmp_path):
    paths = tf.io.gfile.glob(transformed.files)
    records = list(tf.data.TFRecordDataset(paths, "GZIP").as_numpy_iterator())

    def order(name, rows, seed):
        path = str(tmp_path / name)
        with tf.io.TFRecordWriter(path, "GZIP") as writer:
            for row in rows:
                writer.write(row)
        return labels_by_age(
            transformed_dataset(
                path, transformed.output, transformed.spec, 4, seed=seed
            )
        )

    assert order("as-is", records, 3) == order("reversed", records[::-1], 3)
    assert any(order("as-is", records, 3) != order("as-is", records, s) for s in (4, 5))
