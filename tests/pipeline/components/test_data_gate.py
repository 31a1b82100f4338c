"""Which data stops a run, and what the message says about it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from midpg_tf.spec import SPLITS, Gates, MultivaluedFeature, NumericFeature
from midpg_tf.spec.features import CategoricalFeature
from pipeline.components.data_gate import ANOMALIES_FILE, DataError
from pipeline.components.schema_gen import KEPT_STATISTICS, SCHEMA_FILE


def every(count, rows, **changes):
    """Changes one row in `count`."""
    return [
        row | changes if number % count == 0 else row for number, row in enumerate(rows)
    ]


def curate(checks, schema, folder):
    """Lets the description name a schema."""
    path = folder / "curated.pbtxt"
    path.write_text(text_format.MessageToString(schema))
    data = checks.spec.data.model_copy(update={"schema_file": str(path)})
    checks.spec = checks.spec.model_copy(update={"data": data})


@pytest.fixture
def refused(checks, make_statistics, make_rows):
    """The message about data that comes after `make_rows()`."""
    checks.gate(make_statistics(make_rows()))

    def refused(rows, **others):
        with pytest.raises(DataError) as caught:
            checks.gate(make_statistics(rows, **others))
        *lines, advice = str(caught.value).splitlines()
        assert advice.startswith("no model was trained; correct the data, or ")
        assert "data.schema_file" in advice
        assert f"delete {checks.kept} and run with --no-cache" in advice
        return lines

    return refused


def test_the_same_data_passes(checks, make_statistics, make_rows):
    statistics = make_statistics(make_rows())
    checks.gate(statistics)
    checks.gate(statistics)
    for split in SPLITS:
        content = (checks.anomalies / f"Split-{split}" / ANOMALIES_FILE).read_bytes()
        found = anomalies_pb2.Anomalies.FromString(content)
        assert found.baseline.feature
        assert not found.anomaly_info


def test_other_data_of_the_same_kind_passes(checks, make_statistics, make_rows):
    checks.gate(make_statistics(make_rows()))
    checks.gate(make_statistics(make_rows(seed=1)))


def test_a_new_value_now_and_then_passes(checks, make_statistics, make_rows):
    checks.gate(make_statistics(make_rows()))
    checks.gate(make_statistics(every(20, make_rows(), channel="mail")))


NEW_VALUES = (
    "feature 'channel': Unexpected string values: Examples contain values missing from"
    " the schema: mail (~20%)."
)


def test_too_many_new_values(refused, make_rows):
    rows = every(5, make_rows(), channel="mail")
    assert refused(rows) == [f"split 'train', {NEW_VALUES}"]


def test_a_market_that_starts_in_the_newest_rows_is_noted(
    checks, make_statistics, make_rows
):
    newest = every(5, make_rows(), channel="mail")
    for _ in ("inferred", "kept"):
        assert checks.gate(make_statistics(make_rows(), test=newest)) == [
            f"split 'test' against the train split, {NEW_VALUES}"
        ]


def test_values_that_a_curated_schema_lacks_are_refused_in_any_split(
    checks, make_statistics, make_rows, tmp_path
):
    statistics = make_statistics(make_rows())
    curate(checks, checks.read_schema(statistics), tmp_path)
    newest = every(5, make_rows(), channel="mail")
    with pytest.raises(DataError) as caught:
        checks.gate(make_statistics(make_rows(), test=newest))
    assert str(caught.value).splitlines()[0] == f"split 'test', {NEW_VALUES}"


def test_every_split_is_held_to_the_schema(refused, make_rows, checks):
    lines = refused(make_rows(), test=every(5, make_rows(), channel=None))
    assert {line.split(":")[0] for line in lines} == {"split 'test', feature 'channel'"}
    assert any("Column dropped" in line for line in lines)
    for split, anomalous in (("train", False), ("test", True)):
        content = (checks.anomalies / f"Split-{split}" / ANOMALIES_FILE).read_bytes()
        found = anomalies_pb2.Anomalies.FromString(content)
        assert ("channel" in found.anomaly_info) == anomalous


def test_missing_values(refused, make_rows):
    lines = refused(every(4, make_rows(), price=None))
    for split in SPLITS:
        assert (
            f"split '{split}', feature 'price': Column dropped: The feature was present"
            " in fewer examples than expected: minimum fraction = 1.000000, actual ="
            " 0.750000"
        ) in lines


def test_missing_feature(refused, make_rows):
    lines = refused(every(1, make_rows(), device=None))
    assert [line.split(":")[0] for line in lines] == [
        f"split '{split}', feature 'device'" for split in SPLITS
    ]
    assert "Column dropped" in lines[0]


def test_new_feature(refused, make_rows):
    lines = refused(make_rows(), extra="discount")
    assert [line.split(":")[0] for line in lines] == [
        f"split '{split}', feature 'discount'" for split in SPLITS
    ]
    assert "New column" in lines[0]


@pytest.mark.parametrize("others", ["x|y", "x"])
def test_rows_without_any_tag_pass(checks, make_statistics, make_rows, others):
    rows = every(3, every(1, make_rows(), tags="x|y"), tags=others)
    checks.gate(make_statistics(rows))
    checks.gate(make_statistics(every(5, rows, tags="")))


def test_drift_of_a_categorical_feature(refused, make_rows):
    (line,) = refused(
        every(1, make_rows(), item="i1"), eval=make_rows(), test=make_rows()
    )
    assert line.startswith("split 'train', feature 'item': High Linfty distance")
    assert "above the threshold 0.3" in line


@pytest.fixture
def few_mails(make_rows):
    """Rows of which every 20th came by mail."""
    return every(20, make_rows(), channel="mail")


def test_a_scenario_field_loses_no_value_that_many_rows_had(
    checks, make_statistics, make_rows, few_mails
):
    checks.gate(make_statistics(few_mails))
    with pytest.raises(DataError) as caught:
        checks.gate(make_statistics(make_rows()))
    line, advice = str(caught.value).splitlines()
    assert line == (
        "split 'train', feature 'channel': expected rows with 'mail' (5 % of the first"
        " data), found none"
    )
    assert f"delete {checks.kept} and run with --no-cache" in advice
    # One row is enough, and in the other splits there needs to be none.
    checks.gate(make_statistics([*make_rows(), few_mails[0]], test=make_rows()))


def test_a_value_that_came_later_may_not_vanish_either(
    checks, make_statistics, make_rows, few_mails, tmp_path
):
    checks.gate(make_statistics(make_rows()))
    statistics = make_statistics(few_mails)
    checks.gate(statistics)
    with pytest.raises(DataError) as caught:
        checks.gate(make_statistics(make_rows()))
    line, advice = str(caught.value).splitlines()
    assert line == (
        "split 'train', feature 'channel': expected rows with 'mail' (5 % of the last"
        " data that passed), found none"
    )
    assert f"delete {checks.kept} and run with --no-cache" in advice
    # The first data's schema, which doesn't have it, is curated now.
    curate(checks, checks.read_schema(statistics), tmp_path)
    checks.gate(make_statistics(make_rows()))
    checks.gate(make_statistics(make_rows()))


def test_a_value_of_all_earlier_data_is_missed_once(
    checks, make_statistics, make_rows, few_mails
):
    for _ in range(2):
        checks.gate(make_statistics(few_mails))
    with pytest.raises(DataError) as caught:
        checks.gate(make_statistics(make_rows()))
    assert str(caught.value).count("'mail'") == 1


def test_the_empty_value_that_moved_most_is_called_empty(refused, make_rows):
    rows = every(1, make_rows(), item="")
    lines = refused(rows, eval=make_rows(), test=make_rows())
    (drift,) = (line for line in lines if "Linfty" in line)
    assert drift.endswith("The feature value with maximum difference is: (empty)")


def test_a_value_may_vanish_by_chance(checks, make_statistics, make_rows, few_mails):
    checks.gate(make_statistics(few_mails))
    checks.gate(make_statistics(make_rows(190)))  # 9.5 by mail


def test_a_rare_value_may_vanish(checks, make_statistics, make_rows):
    checks.gate(make_statistics(every(150, make_rows(2000), channel="mail")))
    checks.gate(make_statistics(make_rows(2000)))


def test_a_value_that_the_schema_lacks_may_vanish(
    checks, make_statistics, make_rows, few_mails, tmp_path
):
    statistics = make_statistics(few_mails)
    checks.gate(statistics)
    schema = checks.read_schema(statistics)
    tfdv.get_domain(schema, "channel").value.remove("mail")
    curate(checks, schema, tmp_path)
    checks.gate(make_statistics(make_rows()))


def test_a_value_that_is_a_whole_number_may_not_vanish(
    checks, make_statistics, make_rows
):
    # Of such texts TFDV infers no list of values.
    rows = [row | {"device": f"{number % 3}"} for number, row in enumerate(make_rows())]
    checks.gate(make_statistics(rows))
    left = [row for row in rows if row["device"] != "2"]
    with pytest.raises(DataError, match="expected rows with '2'"):
        checks.gate(make_statistics(left))


def test_an_item_may_vanish(checks, make_statistics, make_rows):
    checks.gate(make_statistics(every(20, make_rows(), item="i9")))
    checks.gate(make_statistics(make_rows()))


def test_drift_of_a_numeric_feature(refused, make_rows):
    moved = [row | {"price": row["price"] + 20} for row in make_rows()]
    (line,) = refused(moved)
    assert line.startswith(
        "split 'train', feature 'price': High approximate Jensen-Shannon divergence"
    )
    assert "above the threshold 0.3" in line


def test_prices_with_a_long_tail_drift_by_their_bulk(
    checks, make_statistics, make_rows
):
    def priced(seed, factor=1.0):
        rng = np.random.default_rng(seed)
        return make_statistics(
            [row | {"price": factor * (1 + rng.pareto(1))} for row in make_rows()]
        )

    checks.gate(priced(0))
    for seed in range(1, 6):
        checks.gate(priced(seed))
    with pytest.raises(DataError, match="feature 'price'"):
        checks.gate(priced(6, factor=5))


FIRST_STARS = [40, 40, 80, 120, 120]


@pytest.mark.parametrize(
    "counts",
    [
        [41, 40, 79, 120, 120],  # the third decile ends at 3, not at 2
        [80, 80, 80, 80, 80],
        [20, 20, 40, 120, 200],
    ],
)
def test_numbers_that_repeat_drift_by_their_shares(
    checks, make_statistics, make_rows, counts
):
    def rated(counts):
        stars = np.repeat(np.arange(1, 6), counts)
        return make_statistics(
            [row | {"price": n} for row, n in zip(make_rows(), stars, strict=True)]
        )

    checks.gate(rated(FIRST_STARS))
    checks.gate(rated(counts))
    content = (checks.anomalies / "Split-train" / ANOMALIES_FILE).read_bytes()
    (measured,) = (
        info.drift_measurements[0].value
        for info in anomalies_pb2.Anomalies.FromString(content).drift_skew_info
        if info.path.step[0] == "price"
    )
    p, q = np.array(FIRST_STARS) / 400, np.array(counts) / 400
    mean = (p + q) / 2
    divergence = (p @ np.log2(p / mean) + q @ np.log2(q / mean)) / 2
    assert measured == pytest.approx(divergence, abs=0.02)


def test_the_bounds_on_drift_are_the_descriptions(checks, make_statistics, make_rows):
    checks.gate(make_statistics(make_rows()))
    share = sum(row["item"] == "i1" for row in make_rows()) / 400
    rows = every(1, make_rows(), item="i1")  # moves by 1 - share
    for bound, passes in ((1 - share + 0.01, True), (1 - share - 0.01, False)):
        drift = checks.spec.data.drift.model_copy(update={"categorical": bound})
        data = checks.spec.data.model_copy(update={"drift": drift})
        checks.spec = checks.spec.model_copy(update={"data": data})
        if passes:
            checks.gate(make_statistics(rows))
        else:
            with pytest.raises(DataError, match="feature 'item': High Linfty"):
                checks.gate(make_statistics(rows))


def test_drift_is_measured_against_the_first_data(checks, make_statistics, make_rows):
    def moved(step):
        return make_statistics(
            [row | {"price": row["price"] + step} for row in make_rows()]
        )

    checks.gate(moved(0))
    for step in (0.5, 1.0):
        checks.gate(moved(step))
    # A step as small as those before, but far from the start.
    with pytest.raises(DataError, match="feature 'price'"):
        checks.gate(moved(8))


def test_several_problems_are_all_told(refused, make_rows):
    moved = [row | {"price": row["price"] + 20} for row in make_rows()]
    lines = refused(every(4, moved, channel="mail"))
    assert [line.split(":")[0] for line in lines] == [
        "split 'train', feature 'channel'",
        "split 'train', feature 'price'",
    ]


def test_without_a_reference_new_data_becomes_it(checks, make_statistics, make_rows):
    checks.gate(make_statistics(make_rows()))
    for file in checks.kept.iterdir():
        file.unlink()
    moved = make_statistics([row | {"price": row["price"] + 20} for row in make_rows()])
    checks.gate(moved)
    checks.gate(moved)
    with pytest.raises(DataError, match="feature 'price'"):
        checks.gate(make_statistics(make_rows()))


def test_refused_first_data_is_no_reference(checks, make_statistics, make_rows):
    other = every(5, make_rows(), channel=None)
    with pytest.raises(DataError, match=r"test.*channel") as caught:
        checks.gate(make_statistics(make_rows(), test=other))
    # There is nothing to delete, and nothing else would be inferred.
    assert "--no-cache" not in str(caught.value)
    assert not checks.kept.exists()
    moved = [row | {"price": row["price"] + 20} for row in make_rows()]
    checks.gate(make_statistics(moved))


def test_features_of_the_description_may_come_and_go(
    checks, make_statistics, make_rows
):
    whole = checks.spec
    features = {k: v for k, v in whole.features.items() if k not in ("tags", "price")}
    checks.spec = whole.model_copy(update={"features": features})
    rows = [row | {"tags": None, "price": None} for row in make_rows()]
    checks.gate(make_statistics(rows))
    checks.spec = whole
    checks.gate(make_statistics(make_rows()))
    checks.spec = whole.model_copy(update={"features": features})
    checks.gate(make_statistics(rows))


@pytest.fixture
def retold(checks, make_statistics, make_rows):
    """Lets data pass with price as one kind, and then tells another one.

    Gives what makes the statistics of later rows, each with one of two prices.
    """

    def told(kind):
        features = checks.spec.features | {"price": KINDS[kind]}
        checks.spec = checks.spec.model_copy(update={"features": features})

    def make(prices, **changes):
        rows = [
            row | {"price": prices[number % 2]} | changes
            for number, row in enumerate(make_rows())
        ]
        return make_statistics(rows, described=checks.spec)

    def retold(before, now, prices):
        told(before)
        checks.gate(make(prices))
        told(now)
        return make

    return retold


KINDS = {
    "numeric": NumericFeature(kind="numeric"),
    "categorical": CategoricalFeature(kind="categorical"),
    "multivalued": MultivaluedFeature(kind="multivalued"),
}


@pytest.mark.parametrize(
    ("before", "now", "prices", "others"),
    [
        ("numeric", "categorical", "01", "55"),
        ("categorical", "numeric", "01", "55"),
        ("categorical", "multivalued", ["x|y", "x|z"], ["v", "v|w"]),
        ("multivalued", "categorical", ["x|y", "x|z"], ["x|w", "x|w"]),
    ],
)
def test_a_feature_of_another_kind_is_held_to_its_first_data_as_that(
    checks, retold, before, now, prices, others
):
    make = retold(before, now, prices)
    assert checks.gate(make(prices)) == [
        f"feature 'price': {before} in the first data, {now} now; held to drift from"
        " the next run on"
    ]
    assert checks.gate(make(prices)) == []
    with pytest.raises(DataError, match="'train', feature 'price': High"):
        checks.gate(make(others))


def test_when_a_feature_is_of_another_kind_all_others_are_held_to_the_first_data(
    checks, retold
):
    make = retold("numeric", "categorical", "01")
    firsts = (SCHEMA_FILE, KEPT_STATISTICS)
    kept = {checks.kept / name: (checks.kept / name).read_bytes() for name in firsts}
    with pytest.raises(DataError) as caught:
        checks.gate(make("01", item="i1"))
    line, _ = str(caught.value).splitlines()
    assert line.startswith("split 'train', feature 'item': High Linfty distance")
    assert {file: file.read_bytes() for file in kept} == kept
    checks.gate(make("01"))
    for file in kept:
        assert file.read_bytes() != kept[file]
    with pytest.raises(DataError, match="'train', feature 'item': High Linfty"):
        checks.gate(make("01", item="i1"))


def test_values_of_a_scenario_field_do_not_vanish_with_its_kind(checks, retold):
    make = retold("multivalued", "categorical", ["x|y", "x|z"])
    checks.spec = checks.spec.model_copy(update={"scenario": ("price",)})
    checks.gate(make(["x|y", "x|z"]))
    with pytest.raises(DataError, match=r"expected rows with 'x\|z' \(50 %"):
        checks.gate(make(["x|y", "x|y"]))


def test_a_curated_schema_says_which_kind_is_right(checks, retold, tmp_path):
    make = retold("numeric", "categorical", "01")
    schema = tfdv.load_schema_text(str(checks.kept / SCHEMA_FILE))
    curate(checks, schema, tmp_path)
    with pytest.raises(DataError, match="Expected data of type: FLOAT but got STRING"):
        checks.gate(make("01"))
    (price,) = (feature for feature in schema.feature if feature.name == "price")
    price.type = schema_pb2.BYTES
    price.ClearField("drift_comparator")
    curate(checks, schema, tmp_path)
    (note,) = checks.gate(make("01"))
    assert note.startswith("feature 'price': numeric in the first data, categorical")
    assert checks.gate(make("01")) == []
    with pytest.raises(DataError, match="'train', feature 'price': High Linfty"):
        checks.gate(make("55"))


@pytest.mark.parametrize("writer", ["write_schema_text", "write_stats_text"])
def test_a_run_of_another_kind_that_was_killed_is_done_again(
    checks, retold, monkeypatch, writer
):
    make = retold("numeric", "categorical", "01")
    write = getattr(tfdv, writer)

    def killed(content, path):
        if Path(path).parent != checks.kept:
            return write(content, path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tfdv, writer, killed)
        with pytest.raises(KeyboardInterrupt):
            checks.gate(make("01"))
    assert len(checks.gate(make("01"))) == 1
    assert checks.gate(make("01")) == []


@pytest.fixture
def added(checks, make_statistics, make_rows, caplog):
    """Lets data pass, and then fewer rows, with two new features."""
    whole = checks.spec
    features = {k: v for k, v in whole.features.items() if k not in ("item", "price")}
    checks.spec = whole.model_copy(update={"features": features, "gates": Gates()})
    first = [row | {"item": None, "price": None} for row in make_rows(1000)]
    checks.gate(make_statistics(first))
    checks.spec = whole
    with caplog.at_level(logging.INFO, "midpg.data"):
        checks.gate(make_statistics(make_rows()))
    return [line for line in caplog.messages if "drift" in line]


def test_a_new_feature_is_held_to_its_first_data(
    added, checks, make_statistics, make_rows
):
    assert added == ["new, and so not held to drift in this run: item, price"]
    checks.gate(make_statistics(make_rows(seed=1)))
    moved = [row | {"price": row["price"] + 20} for row in make_rows()]
    with pytest.raises(DataError, match="'train', feature 'price': High approximate"):
        checks.gate(make_statistics(moved))
    others = every(5, make_rows(), item="i9")
    with pytest.raises(DataError, match="'item': Unexpected string values"):
        checks.gate(make_statistics(others))


def test_a_new_field_of_the_scenario_is_held_to_its_first_data(
    added, checks, make_statistics, make_rows
):
    checks.spec = checks.spec.model_copy(update={"scenario": ("channel", "item")})
    items = [row["item"] for row in make_rows()]
    share = 100 * items.count("i0") / 400
    with pytest.raises(DataError) as caught:
        checks.gate(make_statistics([r for r in make_rows() if r["item"] != "i0"]))
    line, _ = str(caught.value).splitlines()
    assert f"expected rows with 'i0' ({share:.3g} % of the first data)" in line


def test_a_flag_may_have_another_value_now_and_then(checks, make_statistics, make_rows):
    rows = [row | {"device": str(number % 2)} for number, row in enumerate(make_rows())]
    checks.gate(make_statistics(rows))
    checks.gate(make_statistics(every(200, rows, device="")))


@pytest.mark.parametrize("rows", [5, 30, 100])
def test_what_chance_does_to_few_rows_is_not_noted(
    checks, make_statistics, make_rows, rows
):
    few = {"eval": make_rows(rows, seed=1), "test": make_rows(rows, seed=2)}
    assert checks.gate(make_statistics(make_rows(), **few)) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        # What empty cells become: the default, and the empty text.
        ({"price": 0.0}, "'price': High approximate Jensen-Shannon divergence"),
        ({"device": ""}, "'device': High Linfty distance"),
    ],
)
def test_drift_of_later_rows_is_noted(
    checks, make_statistics, make_rows, changes, told
):
    newest = every(1, make_rows(), **changes)
    notes = checks.gate(make_statistics(make_rows(), test=newest))
    assert any(
        note.startswith(f"split 'test' against the train split, feature {told}")
        for note in notes
    )
    assert all("split 'eval'" not in note for note in notes)


def test_a_market_that_is_gone_in_later_rows_is_noted(
    checks, make_statistics, make_rows, few_mails
):
    none = (
        "against the train split, feature 'channel': expected rows with 'mail' (5 % of"
        " the train split), found none"
    )
    statistics = make_statistics(few_mails, eval=make_rows(), test=make_rows(190))
    assert checks.gate(statistics) == [f"split 'eval' {none}"]


def customers(rows, suffix=""):
    """Rows by more customers than TFDV lists by default, two rows each."""
    return [
        row | {"item": f"c{number % (len(rows) // 2)}{suffix}"}
        for number, row in enumerate(rows)
    ]


def test_a_feature_of_many_more_rows_than_the_first_data_has_known_values(
    checks, make_statistics, make_rows
):
    whole = checks.spec
    features = {k: v for k, v in whole.features.items() if k != "item"}
    checks.spec = whole.model_copy(update={"features": features, "gates": Gates()})
    checks.gate(make_statistics([row | {"item": None} for row in make_rows(100)]))
    checks.spec = whole
    for _ in range(2):
        assert checks.gate(make_statistics(make_rows(4000))) == []


@pytest.fixture
def many(make_rows):
    return make_rows(3000)


def test_ids_that_are_written_in_another_way_are_noted(checks, make_statistics, many):
    statistics = make_statistics(
        customers(many),
        eval=[*customers(many)[:750], *customers(many, ".0")[750:]],
        test=customers(many, ".0"),
    )
    assert checks.gate(statistics) == [
        "split 'test' against the train split, feature 'item': expected 1 values a row"
        " that the train split had, too, found 0; the others are new or empty"
    ]


def test_ids_that_the_first_data_wrote_in_another_way_are_noted(
    checks, make_statistics, many
):
    checks.gate(make_statistics(customers(many)))
    assert checks.gate(make_statistics(customers(many, ".0"))) == [
        "split 'train' against the first data, feature 'item': expected 1 values a row"
        " that the first data had, too, found 0; the others are new or empty"
    ]


@pytest.mark.parametrize(("usual", "other"), [("", ".0"), (".0", "")])
@pytest.mark.parametrize(("rows", "noted"), [(9, False), (200, True), (3000, True)])
def test_whole_numbers_that_are_written_in_another_way_are_noted(
    checks, make_statistics, many, usual, other, rows, noted
):
    ids = [row | {"item": row["item"][1:] + usual} for row in customers(many)]
    wrong = [row | {"item": row["item"][1:] + other} for row in customers(many)]
    # Customers that are new are no other way to write one.
    new = [row | {"item": f"9{number}"} for number, row in enumerate(many[:100], 4000)]
    newest = [*wrong[:rows], *ids[rows:], *new]
    notes = checks.gate(make_statistics(ids, test=newest))
    told = [note for note in notes if "another way" in note]
    assert len(told) == noted
    for note in told:
        assert note.startswith("split 'test' against the train split, feature 'item': ")
        number = note.split("'")[5].removesuffix(".0")
        assert note.endswith(
            f"such as '{number}{usual}', found {rows:,} in another way, such as"
            f" '{number}{other}', which is another value; write them alike"
        )


def test_whole_numbers_that_are_categories_may_be_empty(
    checks, make_statistics, make_rows
):
    rows = [row | {"item": str(number % 7)} for number, row in enumerate(make_rows())]
    gaps = every(20, rows, item="")
    checks.gate(make_statistics(rows))
    assert checks.gate(make_statistics(gaps, test=every(20, rows, item="b"))) == []


@pytest.mark.parametrize(("rows", "noted"), [(198, False), (400, True)])
def test_few_rows_may_all_be_of_new_customers(
    checks, make_statistics, many, rows, noted
):
    newest = customers(many, ".0")[:rows]
    notes = checks.gate(make_statistics(customers(many), test=newest))
    assert bool(notes) == noted


@pytest.mark.parametrize("feature", ["item", "tags"])
def test_a_feature_that_is_empty_in_later_rows_is_noted(
    checks, make_statistics, many, feature
):
    rows = customers(many)
    newest = every(1, rows, **{feature: ""})
    notes = checks.gate(make_statistics(rows, test=newest))
    assert any(
        f"split 'test' against the train split, feature {feature!r}: expected 1" in note
        and note.endswith("found 0; the others are new or empty")
        for note in notes
    )
