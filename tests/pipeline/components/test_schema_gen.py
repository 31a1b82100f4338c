"""The schema is inferred once and then kept, unless somebody curates one."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format

from midpg_tf.spec.source import Drift
from pipeline.components.schema_gen import (
    KEPT_STATISTICS,
    NEWEST_STATISTICS,
    SCHEMA_FILE,
    STATISTICS_FILE,
)


def feature(schema, name):
    (found,) = [one for one in schema.feature if one.name == name]
    return found


def values(schema, name):
    return set(tfdv.get_domain(schema, name).value)


def describe(checks, **changes):
    data = checks.spec.data.model_copy(update=changes)
    checks.spec = checks.spec.model_copy(update={"data": data})


def curated(checks, path):
    describe(checks, schema_file=str(path))


def test_the_first_schema_is_kept_for_later_data(checks, make_statistics, make_rows):
    checks.gate(make_statistics(make_rows()))
    first = checks.read_schema(make_statistics(make_rows()))
    assert values(first, "channel") == {"web", "app"}
    later = [row | {"channel": "mail"} for row in make_rows()]
    assert checks.read_schema(make_statistics(later)) == first


def test_a_deleted_schema_is_inferred_anew(checks, make_statistics, make_rows):
    checks.gate(make_statistics(make_rows()))
    for file in checks.kept.iterdir():
        file.unlink()
    later = [row | {"channel": "mail"} for row in make_rows()]
    schema = checks.read_schema(make_statistics(later))
    assert values(schema, "channel") == {"mail"}


@pytest.mark.parametrize("writer", ["write_schema_text", "write_stats_text"])
def test_a_first_run_that_was_killed_keeps_a_whole_schema_or_none(
    checks, make_statistics, make_rows, monkeypatch, writer
):
    write = getattr(tfdv, writer)

    def killed(content, path):
        if Path(path).parent != checks.kept:
            return write(content, path)
        Path(path).write_text("feature { na")
        raise KeyboardInterrupt

    statistics = make_statistics(make_rows())
    with monkeypatch.context() as patch:
        patch.setattr(tfdv, writer, killed)
        with pytest.raises(KeyboardInterrupt):
            checks.gate(statistics)
    checks.gate(statistics)
    first = checks.read_schema(statistics)
    assert {file.name for file in checks.kept.iterdir()} == {
        SCHEMA_FILE,
        KEPT_STATISTICS,
        NEWEST_STATISTICS,
    }
    later = [row | {"channel": "mail"} for row in make_rows()]
    assert checks.read_schema(make_statistics(later)) == first


def test_only_the_train_split_is_inferred_from(checks, make_statistics, make_rows):
    other = [row | {"channel": "mail"} for row in make_rows()]
    schema = checks.read_schema(make_statistics(make_rows(), eval=other, test=other))
    assert values(schema, "channel") == {"web", "app"}


def test_what_the_description_knows_is_in_the_schema(
    checks, make_statistics, make_rows
):
    describe(checks, drift=Drift(categorical=0.2, numeric=0.4))
    schema = checks.read_schema(make_statistics(make_rows()))
    assert list(schema.default_environment) == ["TRAINING", "SERVING"]
    for name in ("channel", "device", "item"):
        drift = feature(schema, name).drift_comparator
        assert drift.infinity_norm.threshold == 0.2
    price = feature(schema, "price")
    assert price.drift_comparator.jensen_shannon_divergence.threshold == 0.4
    assert price.presence.min_fraction == 1.0
    assert price.HasField("shape")
    assert len(price.shape.dim) == 0
    for name in ("liked", "importance"):
        target = feature(schema, name)
        assert list(target.not_in_environment) == ["SERVING"]
        assert not target.HasField("drift_comparator")


def test_requests_are_held_to_the_same_schema_without_label_and_weight(
    checks, make_statistics, make_rows
):
    schema = checks.read_schema(make_statistics(make_rows()))
    rows = [row | {"liked": None, "importance": None} for row in make_rows()]
    folder = Path(make_statistics(rows).uri) / "Split-test"
    requests = tfdv.load_stats_binary(str(folder / STATISTICS_FILE))
    missing = {
        environment: set(
            tfdv.validate_statistics(
                requests, schema, environment=environment
            ).anomaly_info
        )
        for environment in ("TRAINING", "SERVING")
    }
    assert missing == {"TRAINING": {"liked", "importance"}, "SERVING": set()}


def test_multivalued_features_have_any_number_of_values(
    checks, make_statistics, make_rows
):
    # TFDV would infer that there is always exactly one.
    rows = [row | {"tags": "x"} for row in make_rows()]
    tags = feature(checks.read_schema(make_statistics(rows)), "tags")
    assert not tags.HasField("shape")
    assert not tags.HasField("value_count")


def test_a_curated_schema_is_used_as_it_is_now(
    checks, make_statistics, make_rows, tmp_path
):
    statistics = make_statistics(make_rows())
    checks.gate(statistics)
    schema = checks.read_schema(statistics)
    path = tmp_path / "curated.pbtxt"
    curated(checks, path)
    for channels in (["web", "app", "fax"], ["web", "app", "telex"]):
        tfdv.get_domain(schema, "channel").value[:] = channels
        path.write_text(text_format.MessageToString(schema))
        assert values(checks.read_schema(statistics), "channel") == set(channels)
    assert values(tfdv.load_schema_text(str(checks.kept / SCHEMA_FILE)), "channel") == {
        "web",
        "app",
    }


def test_a_curated_schema_needs_no_word_on_shapes_and_drift(
    checks, make_statistics, make_rows, tmp_path
):
    path = tmp_path / "curated.pbtxt"
    path.write_text('feature { name: "price" type: FLOAT }')
    curated(checks, path)
    schema = checks.read_schema(make_statistics(make_rows()))
    price = feature(schema, "price")
    assert price.HasField("shape")
    assert price.drift_comparator.jensen_shannon_divergence.threshold == 0.3


def test_a_curated_schema_has_its_own_bounds_on_drift(
    checks, make_statistics, make_rows, tmp_path
):
    statistics = make_statistics(make_rows())
    schema = checks.read_schema(statistics)
    device = feature(schema, "device").drift_comparator.infinity_norm
    price = feature(schema, "price").drift_comparator.jensen_shannon_divergence
    device.threshold, price.threshold = 0.05, 0.0
    feature(schema, "item").ClearField("drift_comparator")
    path = tmp_path / "curated.pbtxt"
    path.write_text(text_format.MessageToString(schema))
    curated(checks, path)
    describe(checks, drift=Drift(categorical=0.2, numeric=0.4))
    found = {
        name: feature(checks.read_schema(statistics), name).drift_comparator
        for name in ("device", "item", "price")
    }
    assert found["device"].infinity_norm.threshold == 0.05
    assert found["item"].infinity_norm.threshold == 0.2
    assert found["price"].jensen_shannon_divergence.threshold == 0.0


def test_a_kept_schema_has_the_bounds_of_the_description(
    checks, make_statistics, make_rows
):
    statistics = make_statistics(make_rows())
    checks.gate(statistics)
    describe(checks, drift=Drift(categorical=0.2, numeric=0.4))
    schema = checks.read_schema(statistics)
    device = feature(schema, "device").drift_comparator
    price = feature(schema, "price").drift_comparator
    assert device.infinity_norm.threshold == 0.2
    assert price.jensen_shannon_divergence.threshold == 0.4


@pytest.mark.parametrize("text", [b"feature { nome: 'x' }", b"\xff\xfe"])
def test_what_is_no_schema_is_named(checks, make_statistics, make_rows, tmp_path, text):
    path = tmp_path / "curated.pbtxt"
    path.write_bytes(text)
    curated(checks, path)
    with pytest.raises(ValueError, match="expected a TFDV schema in text") as caught:
        checks.schema(make_statistics(make_rows()))
    assert str(caught.value).startswith(f"{path}: ")
    assert not checks.kept.exists()
