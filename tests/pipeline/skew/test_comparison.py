"""Distances, their bounds against chance, and verdicts, against plain arithmetic."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics.stats_impl import (
    generate_statistics_in_memory,
)

from midpg_tf.spec.source import Drift
from pipeline.chance import chance
from pipeline.skew.comparison import Comparison, compare

EVEN = {"a": 500, "b": 500}
PLAIN = {
    "channel": {"web": 1000},
    "device": {"desk": 1000},
    "item": EVEN,
    "price": {"0 to 1": 500, "1 to 2": 500},
    "tags": EVEN,
}


@pytest.fixture
def dataset(spec):
    """Statistics of 1,000 rows, given how often each feature has each value."""

    def make(*, most_values=10_000, **changes):
        columns = {
            name: pa.array(
                [
                    [value.encode()]
                    for value, count in (PLAIN | changes)[name].items()
                    for _ in range(count)
                ]
                or [None] * 1000,
                pa.list_(pa.binary()),
            )
            for name in spec.features
        }
        batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
        options = tfdv.StatsOptions(num_rank_histogram_buckets=most_values)
        (found,) = generate_statistics_in_memory(batch, options).datasets
        return found

    return make


@pytest.fixture
def report(spec, dataset):
    """Compares production with rows that are even in all, overall and in web/desk."""

    def run(bounds=None, min_requests=1, training=None, requests=None, **scenarios):
        datasets = {name.replace("_", "/"): d for name, d in scenarios.items()}
        datasets = {"overall": dataset()} | datasets
        training = training or dataset()
        rows = {name: found.num_examples for name, found in datasets.items()}
        return compare(
            spec,
            {"overall": training, "web/desk": training},
            {},
            datasets,
            rows if requests is None else dict.fromkeys(rows, requests),
            bounds=bounds or Drift(),
            min_requests=min_requests,
        )

    return run


def of(report, feature, scenario="overall"):
    (found,) = (
        one
        for one in report.comparisons
        if (one.feature, one.scenario) == (feature, scenario)
    )
    return found


def test_the_same_is_at_no_distance(report):
    found = report()
    assert [one.distance for one in found.comparisons] == [0.0] * 5
    assert found.drifted == []
    assert found.rows == 1000


@pytest.mark.parametrize("feature", ["item", "tags"])
def test_a_categorical_distance_is_the_largest_difference_of_shares(
    report, dataset, feature
):
    moved = {feature: {"a": 200, "b": 450, "c": 350}}
    found = of(report(overall=dataset(**moved)), feature)
    # 0.5 to 0.2, 0.5 to 0.45, 0 to 0.35.
    assert found.distance == pytest.approx(0.35)
    assert found.moved == "c"
    assert (found.share_in_training, found.share_in_production) == (0, 0.35)
    assert found.new == pytest.approx(0.35)


def test_a_numeric_distance_is_the_divergence_in_bits(report, dataset):
    moved = {"price": {"0 to 1": 100, "1 to 2": 700, "above 2": 200}}
    found = of(report(overall=dataset(**moved)), "price")
    p, q = np.array([0.5, 0.5, 0]), np.array([0.1, 0.7, 0.2])
    mean = (p + q) / 2

    def divergence(x):
        held = x > 0
        return float(np.sum(x[held] * np.log2(x[held] / mean[held])))

    assert found.distance == pytest.approx((divergence(p) + divergence(q)) / 2)
    assert found.moved == "0 to 1"
    assert found.new == pytest.approx(0.2)


def test_the_bound_is_what_is_allowed_and_chance(report, dataset):
    found = report(Drift(categorical=0.1, numeric=0.2), overall=dataset())
    assert of(found, "item").bound == pytest.approx(0.1 + chance(False, 1000, 1000, 2))
    assert of(found, "price").bound == pytest.approx(0.2 + chance(True, 1000, 1000, 2))


@pytest.mark.parametrize(
    ("requests", "candidates", "share", "drifted"),
    [
        (20, 200, 0.5, set()),
        (3000, 1, 0.5, set()),
        (3000, 1, 0.7, {"item", "tags", "price"}),
    ],
)
def test_rows_of_a_request_are_one_draw(
    report, dataset, requests, candidates, share, drifted
):
    draw = np.random.default_rng(1)
    rows = requests * candidates
    for _ in range(5):
        # The candidates of a request are all alike; training has a half of each kind.
        first = int(draw.binomial(requests, share)) * candidates
        shares = [first, rows - first]
        features = {
            name: dict(zip(PLAIN[name], shares, strict=True))
            for name in ("item", "tags", "price")
        }
        sent = dataset(channel={"web": rows}, device={"desk": rows}, **features)
        found = report(
            Drift(categorical=0.001, numeric=0.001), requests=requests, overall=sent
        )
        assert {one.feature for one in found.drifted} == drifted


def test_one_feature_of_one_scenario(report, dataset):
    found = report(web_desk=dataset(item={"a": 900, "c": 100}))
    (one,) = found.drifted
    assert (one.scenario, one.feature) == ("web/desk", "item")
    assert found.comparisons[0] == one
    assert one.distance == pytest.approx(0.5)
    assert str(one) == (
        f"scenario web/desk, feature item: the distance is 0.500, expected at most"
        f" {one.bound:.3f}; b went from 50.0% to 0.0%"
    )


def test_fields_of_the_scenario_are_compared_overall(report, dataset):
    found = report(
        overall=dataset(channel={"web": 300, "app": 700}), web_desk=dataset()
    )
    (one,) = found.drifted
    assert (one.scenario, one.feature) == ("overall", "channel")
    inside = {one.feature for one in found.comparisons if one.scenario == "web/desk"}
    assert inside == {"item", "price", "tags"}


def test_many_new_values_are_drift_also_if_each_is_rare(report, dataset):
    ids = {f"i{number}": 2 for number in range(500)}
    half = {f"{'x' if n % 2 else 'i'}{n}": 2 for n in range(500)}
    renamed = {f"x{number}": 2 for number in range(500)}
    training = dataset(item=ids)

    same = of(report(training=training, overall=dataset(item=half)), "item")
    assert same.new == pytest.approx(0.5)
    assert not same.drifted

    found = of(report(training=training, overall=dataset(item=renamed)), "item")
    assert found.distance == pytest.approx(0.002)
    assert found.new == 1
    assert found.drifted
    # Four deviations of the difference of two shares of 1,000 rows: 4 sqrt(0.0005).
    assert found.new_bound == pytest.approx(0.5 + 0.08944, abs=1e-5)
    assert "100.0% of the values are new, expected at most 58.9%" in str(found)


def test_first_time_customers_are_new_as_usual(spec, dataset):
    # A tenth of the rows is of customers who came once, and all of first's are.
    regular = {f"r{number}": 9 for number in range(100)}
    once = {f"f{number}": 1 for number in range(100)}
    training = {
        "overall": dataset(item=regular | once),
        "web/desk": dataset(
            channel={"web": 100},
            device={"desk": 100},
            item=once,
            price={"0 to 1": 100},
            tags={"a": 100},
        ),
    }
    sent = {"overall": dataset(item={f"n{n}": 1 for n in range(1000)})}
    sent["web/desk"] = sent["overall"]
    requests = dict.fromkeys(sent, 1000)
    found = compare(spec, training, {}, sent, requests, bounds=Drift(), min_requests=1)
    overall = of(found, "item")
    assert overall.new_bound == pytest.approx(0.1 + 0.45 + 0.08944, abs=1e-5)
    assert overall.drifted
    first = of(found, "item", "web/desk")
    assert (first.new, first.new_bound) == (1, 1)
    assert not first.drifted


def test_customers_of_several_rows_are_as_new_as_in_the_test_split(spec, dataset):
    # Each came with five rows, so that training has none of them once.
    training, later = (
        dataset(item={f"{name}{number}": 5 for number in range(200)})
        for name in ("a", "b")
    )
    sent = dataset(item={f"c{number}": 5 for number in range(200)})

    def compared(held_out):
        found = compare(
            spec,
            {"overall": training},
            {"overall": held_out},
            {"overall": sent},
            {"overall": 1000},
            bounds=Drift(),
            min_requests=1,
        )
        return of(found, "item")

    assert not compared(later).drifted
    assert compared(training).drifted


def test_no_bound_is_beyond_what_can_be(report):
    found = report(bounds=Drift(categorical=0.99, numeric=0.99), requests=10)
    assert {one.bound for one in found.comparisons} == {1.0}


def test_of_more_values_than_are_counted_none_is_new(report, dataset):
    ids = {f"i{number}": 1 for number in range(1000)}
    training = dataset(item=ids, most_values=400)
    found = report(training=training, overall=dataset(item=ids))
    assert of(found, "item").new is None
    assert found.drifted == []
    assert found.notes == [
        "feature item: training has more values than the 400 that are counted, so none"
        " can be told to be new"
    ]
    assert of(found, "price").new == 0


def test_a_value_of_another_scenario_is_not_new(spec, dataset):
    training = {
        "overall": dataset(item={"a": 400, "b": 400, "c": 200}),
        "web/desk": dataset(),
    }
    sent = {"overall": dataset(), "web/desk": dataset(item={"a": 600, "c": 400})}
    requests = dict.fromkeys(sent, 1000)
    found = compare(spec, training, {}, sent, requests, bounds=Drift(), min_requests=1)
    assert of(found, "item", "web/desk").new == 0


def test_scenarios_that_cannot_be_compared_are_named(report, dataset):
    few = {"channel": {"app": 99}, "device": {"desk": 99}}
    few |= {name: {"a": 99} for name in ("item", "tags")} | {"price": {"0 to 1": 99}}
    found = report(min_requests=100, app_desk=dataset(**few), app_phone=dataset())
    assert {one.scenario for one in found.comparisons} == {"overall"}
    assert found.notes == [
        "scenario app/phone: 1,000 rows in production, none in training",
        "not compared, with fewer than 100 requests (effective number): app/desk (99)",
    ]


def test_features_that_were_added_since_training_are_named(report, dataset):
    training = dataset(item={}, price={}, tags={"(none)": 1000})
    found = report(training=training, web_desk=dataset())
    told = "not compared, since training had none of it: item, price, tags"
    assert found.notes == [told]
    assert {one.feature for one in found.comparisons} == {"channel", "device"}


def test_the_worst_comes_first():
    def one(distance, bound, new=0.0):
        return Comparison(
            scenario="overall",
            feature="item",
            rows=1,
            distance=distance,
            bound=bound,
            moved="a",
            share_in_training=0,
            share_in_production=0,
            new=new,
            new_bound=0.5,
        )

    assert one(0.3, 0.2).drifted
    assert not one(0.2, 0.2).drifted
    assert one(0.3, 0.2).badness > one(0.5, 0.4).badness
    assert one(0.0, 0.2, new=1.0).badness == pytest.approx(2)
