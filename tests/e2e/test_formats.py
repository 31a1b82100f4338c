"""A run on Parquet, with all kinds of feature and with weights."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from rich.console import Console
from sklearn.metrics import roc_auc_score

from pipeline.evaluation.scoring import read_rows, score
from pipeline.serving_check import check_serving
from transform.summary import read_summary

pytestmark = pytest.mark.e2e

PARTS = {"train": 2600, "eval": 400, "test": 1000}


@pytest.fixture(scope="module")
def parquet(make_shop, rows):
    """A shop whose rows are in Parquet: the item is one of several tags."""
    shop = make_shop(
        name="parquet",
        data={
            "format": "parquet",
            "path": "rows-*.parquet",
            "split": {"by": "column", "column": "part"},
        },
        weight="importance",
        features={
            "channel": {"kind": "categorical", "embedding": 4},
            "country": {"kind": "categorical", "embedding": 4},
            "tags": {"kind": "multivalued", "embedding": 4},
            "age": {"kind": "numeric", "transform": "bucketize", "buckets": 8},
            "visits": {"kind": "numeric", "transform": "log", "default": 0},
        },
    )
    rng = np.random.default_rng(3)
    parts = np.repeat(list(PARTS), list(PARTS.values()))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    table = pa.table(
        {
            "part": rng.permutation(parts),
            "channel": columns["channel"],
            "country": pa.array(columns["country"]).dictionary_encode(),
            "tags": [
                [item, "sale"] if moment % 3 else [item]
                for moment, item in enumerate(columns["item"])
            ],
            "age": pa.array(columns["age"], pa.float64()),
            "visits": [
                None if moment % 5 == 0 else int(visits)
                for moment, visits in enumerate(rng.lognormal(2, 1, len(rows)))
            ],
            "bought": pa.array(columns["bought"], pa.int8()),
            # Those whose age says much count more: the AUC is higher with weights.
            "importance": [
                5.0 if abs(age - 40) > 10 else 0.5 for age in columns["age"]
            ],
        }
    )
    half = len(rows) // 2
    pa.parquet.write_table(table[:half], shop.folder / "rows-1.parquet")
    pa.parquet.write_table(table[half:], shop.folder / "rows-2.parquet")
    return shop


@pytest.fixture(scope="module")
def run(parquet):
    run = parquet.run()
    if run.error:
        raise run.error
    return run


def test_a_column_splits_the_rows(run):
    summary = read_summary(str(run.outputs["DatasetExampleGen", "examples"].uri))
    assert {part: summary.rows(part) for part in PARTS} == PARTS


def test_the_pushed_model_takes_what_the_rows_have(parquet, run):
    assert run.outcome.pushed
    version = parquet.paths.serving / str(run.outcome.version)
    raw = tf.saved_model.load(str(version)).signatures["predict_raw"]
    rows = {
        "channel": tf.constant(["app", "web"]),
        "country": tf.constant(["de", "nowhere"]),
        "tags": tf.constant([["i1", "sale"], ["", ""]]),
        "age": tf.constant([30.0, 1e9]),
        "visits": tf.constant([0.0, -1.0]),
    }
    scores = raw(**rows)["score"].numpy()
    assert scores.shape == (2,)
    assert ((scores > 0) & (scores < 1)).all()


def test_weights_count_in_gates_and_model_analysis(parquet, run):
    examples = run.outputs["DatasetExampleGen", "examples"].uri / "Split-test"
    rows, serialized = read_rows([str(examples / "*")], parquet.spec, None)
    version = parquet.paths.serving / str(run.outcome.version)
    scores = score(str(version), serialized)
    weighted = roc_auc_score(rows.labels, scores, sample_weight=rows.weights)
    assert weighted > roc_auc_score(rows.labels, scores) + 0.01

    overall = run.outcome.report.slices[0]
    assert overall.models["candidate"].auc.value == pytest.approx(weighted, abs=1e-6)
    evaluation = run.outputs["Evaluator", "evaluation"].uri
    result = tfma.load_eval_result(str(evaluation), model_name="candidate")
    (values,) = [outputs[""][""] for key, outputs in result.slicing_metrics if not key]
    assert values["auc"]["doubleValue"] == pytest.approx(weighted, abs=1e-3)


def test_served_scores_are_the_offline_ones(parquet, run):
    compared = check_serving(parquet.spec, parquet.paths, Console())
    assert compared.rows == PARTS["test"]
    assert compared.scenarios == 4
    assert compared.difference <= 1e-5
