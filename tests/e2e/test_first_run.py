"""A first run: what it writes, and that its parts agree."""

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_serving.apis import prediction_log_pb2

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("shop")]

MIDPG = Path(sys.executable).with_name("midpg")


@pytest.fixture(scope="module")
def version(shop, first):
    """The folder that was pushed."""
    return shop.paths.serving / str(first.outcome.version)


@pytest.fixture(scope="module")
def gates(first):
    """The report of the gates."""
    return json.loads(
        (first.outputs["ScenarioGate", "report"].uri / "gates.json").read_text()
    )


def test_it_puts_a_version_in_production(first, version):
    assert set(first.states.values()) == {"COMPLETE"}
    assert first.outcome.pushed
    assert first.before == set()
    assert first.after == {int(version.name)}
    assert first.outputs["NewModelPusher", "pushed_model"].properties["pushed"] == 1
    assert (version / "saved_model.pb").stat().st_size > 0


def test_the_version_has_warm_up_requests_of_real_rows(version):
    file = version / "assets.extra" / "tf_serving_warmup_requests"
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record)
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    ]
    kinds = ["predict_log"] * 100 + ["regress_log"] * 100
    assert sorted(log.WhichOneof("log_type") for log in logs) == kinds
    predict = next(log.predict_log for log in logs if log.HasField("predict_log"))
    (example,) = predict.request.inputs["examples"].string_val
    assert {"channel", "country", "item", "age"} <= set(
        tf.train.Example.FromString(example).features.feature
    )


def test_the_version_has_its_four_signatures(version):
    signatures = tf.saved_model.load(str(version)).signatures
    found = {
        name: (
            {
                key: (spec.dtype, spec.shape.as_list())
                for key, spec in signature.structured_input_signature[1].items()
            },
            {
                key: (spec.dtype, spec.shape.as_list())
                for key, spec in signature.structured_outputs.items()
            },
        )
        for name, signature in signatures.items()
    }
    text, number, index = (
        (dtype, [None]) for dtype in (tf.string, tf.float32, tf.int64)
    )
    assert found == {
        "serving_default": ({"examples": text}, {"score": number}),
        "regress": ({"inputs": text}, {"outputs": number}),
        "predict_raw": (
            {"channel": text, "country": text, "item": text, "age": number},
            {"score": number},
        ),
        "transform_features": (
            {"examples": text},
            {"channel": index, "country": index, "item": index, "age": number},
        ),
    }


def test_the_schema_is_kept_for_later_runs(shop, first):
    kept = (shop.paths.schema / "schema.pbtxt").read_text()
    schema = text_format.Parse(kept, schema_pb2.Schema())
    assert {feature.name for feature in schema.feature} == {
        *("channel", "country", "item", "age", "bought")
    }
    used = first.outputs["DatasetSchemaGen", "schema"].uri / "schema.pbtxt"
    assert used.read_text() == kept


def test_the_gates_report_each_scenario_with_intervals(gates, rows):
    test = rows[3000:]
    expected = {"overall": len(test)}
    for row in test:
        name = f"{row['channel']}/{row['country']}"
        expected[name] = expected.get(name, 0) + 1

    assert {one["name"]: one["rows"] for one in gates["slices"]} == expected
    assert len(expected) == 5
    for one in gates["slices"]:
        assert one["judged"]
        assert set(one["models"]) == {"candidate", "baseline"}
        for figures in one["models"].values():
            for interval in figures.values():
                assert interval["low"] < interval["value"] < interval["high"]
        assert set(one["gains"]) == {"baseline"}
        assert one["models"]["candidate"]["auc"]["value"] > 0.75
    assert gates["refusals"] == gates["notes"] == []


def test_model_analysis_shows_the_same_scenarios_and_figures(first, gates):
    folder = first.outputs["Evaluator", "evaluation"].uri
    for model in ("candidate", "baseline"):
        result = tfma.load_eval_result(str(folder), model_name=model)
        found = {}
        for key, outputs in result.slicing_metrics:
            values = outputs[""][""]
            names = dict(key)
            name = f"{names['channel']}/{names['country']}" if names else "overall"
            found[name] = (
                values["example_count"]["doubleValue"],
                values["auc"]["doubleValue"],
                values["calibration"]["doubleValue"],
            )
        assert set(found) == {one["name"] for one in gates["slices"]}
        for one in gates["slices"]:
            rows, auc, calibration = found[one["name"]]
            figures = one["models"][model]
            assert rows == one["rows"]
            # TFMA's AUC is an integral over 1,000 thresholds.
            assert math.isclose(auc, figures["auc"]["value"], abs_tol=1e-3)
            assert math.isclose(
                calibration, figures["calibration"]["value"], rel_tol=1e-4
            )


def test_a_version_is_judged_on_later_rows_as_the_gates_judged_it(
    shop, first, version, gates, rows, environment, tmp_path
):
    # The newest, which are the test split.
    count = gates["slices"][0]["rows"]
    later = tmp_path / "later.csv"
    with later.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows[-count:])
    options = ["--root", shop.home, "--version", version.name, "--json"]
    shown = subprocess.run(
        [MIDPG, "evaluate", shop.file, "--rows", later, *options],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(shown.stdout)
    assert found["version"] == int(version.name)
    expected = {one["name"]: one["models"]["candidate"] for one in gates["slices"]}
    assert len(found["report"]["slices"]) == len(expected)
    for one in found["report"]["slices"]:
        for figure, interval in one["models"]["candidate"].items():
            assert interval["value"] == pytest.approx(
                expected[one["name"]][figure]["value"], abs=1e-6
            )
