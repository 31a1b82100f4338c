"""A benchmark's data: what the pipeline's own code gives, made once a state of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from midpg_tf.spec import DatasetSpec
from pipeline.benchmark import data
from pipeline.benchmark.data import digest, prepare, with_seed
from transform.errors import IngestError

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(write_dataset, make_rows, content):
    """Writes rows and gives their description."""

    def write(count=300, **changes):
        content.update(changes)
        return DatasetSpec.load(write_dataset(make_rows(count)))

    return write


def test_the_digest_is_of_the_data_alone(shop):
    spec = shop()
    gates = spec.gates.model_copy(update={"confidence": 0.5})
    other = spec.model_copy(update={"training": None, "model": None, "gates": gates})
    assert digest(other) == digest(spec)


def test_the_digest_changes_with_description_and_files(shop, tmp_path):
    spec = shop()
    before = digest(spec)
    features = {**spec.features}
    del features["tags"]
    assert digest(spec.model_copy(update={"features": features})) != before
    rows = tmp_path / "rows.csv"
    os.utime(rows, (1, 1))
    touched = digest(spec)
    assert touched != before
    text = rows.read_text()
    rows.write_text(text + text.splitlines()[-1] + "\n")
    os.utime(rows, (1, 1))
    assert digest(spec) != touched


def test_the_digest_changes_with_the_code(shop, monkeypatch):
    spec = shop()
    before = digest(spec)
    read = Path.read_bytes

    def edited(file):
        return read(file) + b"# edited" * (file.name == "splits.py")

    monkeypatch.setattr(Path, "read_bytes", edited)
    assert digest(spec) != before


def test_a_seed_draws_splits_by_hash_only(shop, content):
    spec = shop()
    assert with_seed(spec, 7) == spec
    content["data"]["split"] = {"by": "hash"}
    by_hash = shop()
    assert with_seed(by_hash, 7).data.split.seed == 7
    assert digest(with_seed(by_hash, 7)) != digest(with_seed(by_hash, 8))


def test_rows_of_a_split(prepared_shop, shop_rows):
    assert [prepared_shop.row_count(s) for s in ("train", "eval", "test")] == [
        240,
        80,
        80,
    ]
    rows = prepared_shop.rows("test")
    # Sorted, since Beam leaves the order to chance.
    source = shop_rows[320:]
    names = sorted(f"{row['channel']}/{row['device']}" for row in source)
    assert sorted(rows.scenarios) == names
    assert rows.labels.sum() == sum(row["liked"] for row in source)
    assert (rows.weights == 1).all()
    # The clusters are the values of `gates.resample_by`, which training hasn't seen.
    items = [row["item"] for row in source]
    sizes = np.unique(rows.clusters, return_counts=True)[1]
    assert sorted(sizes) == sorted(map(items.count, set(items)))
    _, labels, _ = next(iter(prepared_shop.dataset("test", 80)))
    np.testing.assert_array_equal(labels, rows.labels)


@pytest.mark.e2e
def test_rows_without_a_value(write_dataset, make_rows, tmp_path):
    rows = make_rows(200)
    for row in rows[::2]:
        row |= {"item": "", "channel": ""}
    spec = DatasetSpec.load(write_dataset(rows))
    found = prepare(spec, tmp_path / "cache").rows("train")
    # Guests are each their own cluster.
    _, sizes = np.unique(found.clusters, return_counts=True)
    assert (sizes == 1).sum() >= len(found.clusters) // 2
    assert max(sizes) < len(found.clusters) // 2
    # A scenario field without a value is no scenario that training never saw.
    names = {name.split("/")[0] for name in found.scenarios}
    assert names == {"(empty)", "app", "web"}


def test_without_clusters_each_row_is_its_own(prepared_shop):
    gates = prepared_shop.spec.gates.model_copy(update={"resample_by": None})
    spec = prepared_shop.spec.model_copy(update={"gates": gates})
    rows = prepared_shop._replace(spec=spec).rows("eval")
    np.testing.assert_array_equal(rows.clusters, np.arange(80))


@pytest.mark.e2e
def test_bad_rows_leave_nothing_that_would_be_taken(write_dataset, make_rows, tmp_path):
    rows = make_rows(50)
    rows[3]["price"] = "cheap"
    spec = DatasetSpec.load(write_dataset(rows))
    with pytest.raises(IngestError, match=r"row 5, column 'price'"):
        prepare(spec, tmp_path / "cache")
    assert not (tmp_path / "cache" / digest(spec)).exists()


def test_a_fingerprint_of_rows_in_their_order(prepared_shop, tmp_path):
    root = shutil.copytree(prepared_shop.root, tmp_path / "copy")
    found = data._fingerprint(root)
    assert prepared_shop.fingerprint == found
    first, second, *_ = sorted((root / "test").iterdir())
    one, other = first.read_bytes(), second.read_bytes()
    assert one != other
    first.write_bytes(other)
    second.write_bytes(one)
    assert data._fingerprint(root) != found


def test_two_benchmarks_prepare_the_same_data_at_once(
    prepared_shop, tmp_path, monkeypatch
):
    spec, cache = prepared_shop.spec, tmp_path / "cache"
    overtaking = []

    def transform(spec, folder):
        shutil.copytree(prepared_shop.root, folder, dirs_exist_ok=True)
        (folder / "temp").mkdir()

    def overtaken(spec, folder):
        monkeypatch.setattr(data, "_transform", transform)
        transform(spec, folder)
        overtaking.append(prepare(spec, cache))

    monkeypatch.setattr(data, "_transform", overtaken)
    assert prepare(spec, cache).root == overtaking[0].root
    assert overtaking[0].row_count("train") > 0
    assert [one.name for one in cache.iterdir()] == [digest(spec)]
