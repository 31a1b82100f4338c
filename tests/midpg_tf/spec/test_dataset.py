from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from midpg_tf import MIDPG, MLP, CategoricalInput, DatasetSpec, NumericInput
from midpg_tf.models import MODELS
from midpg_tf.spec import ModelSpec, SpecError
from midpg_tf.spec.errors import shown

VOCABULARIES = {
    "country": ["at", "be", "ch"],
    "device": ["app", "web"],
    "tags": ["new", "sale"],
}


def test_loads_every_section(spec: DatasetSpec) -> None:
    assert spec.name == "shop-2022"
    assert spec.data.format == "csv"
    assert (spec.data.split.by, spec.data.split.column) == ("time", "day")
    assert (spec.data.split.eval, spec.data.split.test) == (0.2, 0.1)
    assert (spec.data.drift.categorical, spec.data.drift.numeric) == (0.2, 0.4)
    assert spec.data.min_scenario_rows == 50
    assert (spec.label.name, spec.label.column) == ("bought", "amount")
    assert spec.weight == "importance"
    assert spec.targets == ("bought", "importance")
    assert spec.scenario == ("country", "device")
    assert list(spec.features) == ["country", "device", "tags", "age", "price"]
    assert spec.features["tags"].separator == ";"
    assert spec.features["age"].default == 30
    assert (spec.training.epochs, spec.training.seed) == (2, 7)
    assert spec.training.learning_rate == 0.01
    assert spec.gates.auc.min == 0.6
    assert spec.gates.per_scenario.min_rows == 100
    assert spec.gates.calibration.max_error == 0.3
    assert (spec.gates.confidence, spec.gates.resamples) == (0.9, 200)


def test_the_least_file_gets_the_documented_defaults(tmp_path: Path) -> None:
    path = tmp_path / "least.yaml"
    path.write_text(
        "name: least\n"
        "data: {format: parquet, path: rows}\n"
        "label: {name: y}\n"
        "scenario: [c]\n"
        "features: {c: {kind: categorical}}\n"
    )
    spec = DatasetSpec.load(path)
    assert (spec.model.name, spec.baseline.name) == ("midpg", "mlp")
    assert (spec.data.split.by, spec.data.split.eval, spec.data.split.test) == (
        "hash",
        0.1,
        0.1,
    )
    assert spec.label.column == "y"
    assert spec.weight is None
    assert spec.targets == ("y",)
    assert spec.multivalued == set()
    assert (spec.training.epochs, spec.training.batch_size) == (20, 1024)


def test_relative_paths_start_at_the_file(write, tmp_path: Path, monkeypatch) -> None:
    path = write("training.warm_start", "models/3")
    monkeypatch.chdir(tmp_path.parent)
    spec = DatasetSpec.load(path.relative_to(tmp_path.parent))
    assert spec.data.path == str(tmp_path / "rows.csv")
    assert spec.data.schema_file == str(tmp_path / "schema.pbtxt")
    assert spec.training.warm_start == str(tmp_path / "models/3")


@pytest.mark.parametrize("where", ["/data/rows-*.csv", "gs://bucket/rows-*.csv"])
def test_absolute_and_remote_paths_stay(write, where: str) -> None:
    assert DatasetSpec.load(write("data.path", where)).data.path == where


def test_json_round_trip(spec: DatasetSpec) -> None:
    assert DatasetSpec.from_json(spec.to_json()) == spec


def test_cannot_change(spec: DatasetSpec) -> None:
    with pytest.raises(ValueError, match="frozen"):
        spec.name = "other"
    with pytest.raises(ValueError, match="frozen"):
        spec.training.epochs = 3


UNKNOWN_KEYS = {
    "": ("feature", "features"),
    "data": ("formt", "format"),
    "data.split": ("colum", "column"),
    "data.drift": ("numerical", "numeric"),
    "label": ("nmae", "name"),
    "label.from": ("greater", "greater_than"),
    "features.country": ("min_coutn", "min_count"),
    "features.tags": ("seperator", "separator"),
    "features.price": ("bucket", "buckets"),
    "model": ("ranks", "rank"),
    "baseline": ("drop_out", "dropout"),
    "training": ("epoch", "epochs"),
    "gates": ("callibration", "calibration"),
    "gates.auc": ("mingain", "min_gain"),
}


@pytest.mark.parametrize(
    ("section", "key", "meant"), [(s, *keys) for s, keys in UNKNOWN_KEYS.items()]
)
def test_unknown_key(write, section: str, key: str, meant: str) -> None:
    path = write(f"{section}.{key}" if section else key, 1)
    with pytest.raises(SpecError) as caught:
        DatasetSpec.load(path)
    where = f"{path}: {section}: " if section else f"{path}: "
    message = str(caught.value)
    assert message.startswith(f"{where}expected keys out of [")
    assert f"found the unknown key {key!r}; did you mean {meant!r}?" in message


def test_unknown_key_unlike_any_other_has_no_suggestion(write) -> None:
    with pytest.raises(SpecError, match=r"unknown key 'zzz'$"):
        DatasetSpec.load(write("data.zzz", 1))


@pytest.mark.parametrize(
    "key",
    ["name", "label", "scenario", "data.path", "label.from.column", "model.name"],
)
def test_missing_key(write, key: str) -> None:
    path = write(key)
    with pytest.raises(SpecError) as caught:
        DatasetSpec.load(path)
    expected = f"{path}: {key}: expected a value, found none; add this key"
    assert expected in str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("key", "value", "place", "fragments"),
    [
        (
            "name",
            "my shop",
            "name",
            ["letters, digits, - and _, a letter or a digit first, found 'my shop'"],
        ),
        ("data.format", "xls", "data.format", ["'csv'", "'tfrecord'", "found 'xls'"]),
        (
            "data.split.by",
            "tme",
            "data.split.by",
            ["expected 'time', 'hash', 'column' or 'files', found 'tme'"],
        ),
        (
            "features.age.kind",
            "number",
            "features.age.kind",
            ["expected 'categorical', 'multivalued' or 'numeric', found 'number'"],
        ),
        ("features.device", {}, "features.device", ["expected the key 'kind'"]),
        (
            "features.device",
            "app",
            "features.device",
            ["expected a mapping, such as {kind: categorical}, found 'app'"],
        ),
        ("features", ["age"], "features", ["such as {country: {kind: categorical}}"]),
        ("label", "bought", "label", ["a mapping, such as {name: bought}, found"]),
        ("data.split", "time", "data.split", ["such as {by: time, column: shown_at}"]),
        ("model", "mlp", "model", ["a mapping, such as {name: midpg}, found 'mlp'"]),
        ("training", 3, "training", ["expected a mapping, found 3"]),
        ("scenario", "age", "scenario", ["expected a list, such as [age], found 'age"]),
        ("scenario", None, "scenario", ["expected a list, found None"]),
        (
            "features.tags.separator",
            "",
            "features.tags.separator",
            ["expected at least 1 character, found ''"],
        ),
        (
            "features.price.buckets",
            1,
            "features.price.buckets",
            ["expected greater than or equal to 2", "found 1"],
        ),
        (
            "features.age.default",
            float("nan"),
            "features.age.default",
            ["expected a finite number", "found nan"],
        ),
        (
            "scenario",
            ["country", "region"],
            "scenario",
            ["expected the name of a feature", "found 'region'", "add it under"],
        ),
        (
            "scenario",
            ["age"],
            "scenario",
            ["expected a categorical feature", "found 'age' of kind 'numeric'"],
        ),
        ("scenario", ["tags"], "scenario", ["categorical", "of kind 'multivalued'"]),
        ("scenario", ["device", "device"], "scenario", ["each field once", "found"]),
        ("scenario", [], "scenario", ["at least 1", "found []"]),
        ("weight", "", "weight", ["expected at least 1 character, found ''"]),
        ("weight", True, "weight", ["string, found True; put it in quotes"]),
        ("label.name", "", "label.name", ["expected at least 1 character, found ''"]),
        (
            "label.from.column",
            "",
            "label.from.column",
            ["expected at least 1 character, found ''"],
        ),
        (
            "data.split.column",
            "",
            "data.split.column",
            ["expected at least 1 character, found ''"],
        ),
        (
            "data.split",
            {"by": "hash", "columns": ["user", ""]},
            "data.split.columns.1",
            ["expected at least 1 character, found ''"],
        ),
        ("features.amount", {"kind": "numeric"}, "label", ["found 'amount'", "away"]),
        ("features.bought", {"kind": "numeric"}, "label", ["found 'bought'"]),
        ("weight", "price", "weight", ["expected a column that is no feature"]),
        ("weight", "bought", "weight", ["column that isn't the label", "'bought'"]),
        (
            "data.schema_file",
            "gs://bucket/s.pbtxt",
            "data.schema_file",
            ["expected a local path, found 'gs://bucket/s.pbtxt'; copy it here first"],
        ),
        (
            "training.warm_start",
            "gs://bucket/run",
            "training.warm_start",
            ["expected a local path, found 'gs://bucket/run'; copy it here first"],
        ),
        ("data.split.eval", 0.95, "data.split", ["a sum below 1", "found 1.05"]),
        ("data.split.test", 0, "data.split.test", ["greater than 0", "found 0"]),
        (
            "label.from.equals",
            "yes",
            "label.from",
            ["expected either greater_than or equals"],
        ),
        ("model.name", "midgp", "model", ["'midpg', 'mlp',", "found 'midgp'"]),
        ("model.name", ["mlp"], "model", ["'midpg', 'mlp',", "found ['mlp']"]),
        ("baseline.rank", 4, "baseline", ["'hidden'", "unknown key 'rank'"]),
        ("model.rank", "big", "model", ["rank: expected a valid integer", "'big'"]),
        ("model.hidden", 256, "model", ["hidden: expected a list, such as [256], fou"]),
        (
            "model.dot_interactions",
            "maybe",
            "model",
            ["dot_interactions: expected true or false, found 'maybe'"],
        ),
        ("model.activation", "relu", "model", ["'sigmoid' or 'linear'", "'relu'"]),
        ("training.epochs", 0, "training.epochs", ["greater than 0", "found 0"]),
        ("training.epochs", "few", "training.epochs", ["integer", "found 'few'"]),
        (
            "gates.resample_by",
            "region",
            "gates.resample_by",
            ["expected the name of a feature", "found 'region'", "add it under"],
        ),
        (
            "gates.resample_by",
            "age",
            "gates.resample_by",
            ["expected a categorical feature", "found 'age' of kind 'numeric'"],
        ),
        ("gates.auc.min", 60, "gates.auc.min", ["less than or equal to 1", "found 60"]),
    ],
)
def test_error_names_file_key_expected_and_found(
    write, key: str, value: object, place: str, fragments: list[str]
) -> None:
    path = write(key, value)
    with pytest.raises(SpecError) as caught:
        DatasetSpec.load(path)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{path}: {place}: ")
    for fragment in fragments:
        assert fragment in line


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ("", "expected at least 1 character, found ''"),
        (False, "expected names that are text, found False; put it in quotes"),
    ],
)
def test_columns_of_features_have_names(write, spec, column, problem: str) -> None:
    features = {name: {"kind": spec.features[name].kind} for name in spec.scenario}
    path = write("features", features | {column: {"kind": "numeric"}})
    with pytest.raises(SpecError) as caught:
        DatasetSpec.load(path)
    assert str(caught.value) == f"{path}: features: {problem}"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("features.examples", {"kind": "numeric"}),
        ("label", {"name": "examples"}),
        ("weight", "examples"),
    ],
)
def test_no_column_has_the_name_of_the_served_model_s_input(write, key, value) -> None:
    with pytest.raises(SpecError, match=r"expected another name .* than 'examples'"):
        DatasetSpec.load(write(key, value))


@pytest.mark.parametrize(
    "line",
    [
        "name: *long",
        "label: {name: bought, from: {column: bought, equals: *long}}",
        "model: {name: *long}",
        "model: {name: midpg, rank: *long}",
        "model: {name: midpg, hidden: [true, *long]}",
        "scenario: [*long]",
        "data: {path: rows.csv, format: csv, split: {by: *long}}",
        "features: {device: {kind: *long}}",
        "training: *long",
        "zzz: *long",
    ],
)
def test_what_is_long_in_few_lines_is_cut_short(tmp_path, line: str) -> None:
    lists = ["x0: &x0 [" + ", ".join(["a text"] * 10) + "]"]
    for level in range(1, 5):
        name = "long" if level == 4 else f"x{level}"
        lists.append(f"x{level}: &{name} [" + f"*x{level - 1}, " * 10 + "]")
    path = tmp_path / "long.yaml"
    path.write_text("\n".join([*lists, line]))
    with pytest.raises(SpecError) as caught:
        DatasetSpec.load(path)
    assert max(map(len, str(caught.value).splitlines())) < 2000


def test_a_value_is_shown_as_it_is_unless_it_is_long() -> None:
    short = {"b": [1, 2.5, None, "text"], "a": {"deep": [[[[["list"]]]]]}}
    assert shown(short) == repr(short)
    assert shown("x" * 1000) == repr("x" * 1000)
    assert shown([*range(1000)]) == "[0, 1, 2, 3, ...]"
    endless: list[object] = []
    endless.append(endless)
    assert shown(endless) == "[[[...]]]"


def test_tells_all_problems_at_once(write) -> None:
    path = write("training", {"epochs": 0, "patience": -1})
    with pytest.raises(SpecError) as caught:
        DatasetSpec.load(path)
    epochs, patience = str(caught.value).splitlines()
    assert epochs.startswith(f"{path}: training.epochs: ")
    assert patience.startswith(f"{path}: training.patience: ")


def test_tells_all_unknown_keys_at_once(write) -> None:
    path = write("features.price", {"kind": "numeric", "transfrom": "log", "zzz": 1})
    path.write_text(path.read_text().replace("training:", "trainning:"))
    with pytest.raises(SpecError) as caught:
        DatasetSpec.load(path)
    training, price = str(caught.value).splitlines()
    assert training.startswith(f"{path}: expected keys out of ['baseline', ")
    assert training.endswith("'trainning'; did you mean 'training'?")
    assert price.startswith(f"{path}: features.price: expected keys out of ['buckets',")
    assert price.endswith(
        "found the unknown key 'transfrom'; did you mean 'transform'? and the unknown"
        " key 'zzz'"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a\n- b\n", "expected a mapping with the keys .*'features'.*found list"),
        ("", "expected a mapping .*found NoneType"),
        ("a: [1\n", "expected YAML, found"),
        ("a: b: c", "expected YAML, found mapping values .*\n  in line 1, column 5"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "expected YAML, found the key 'c' twice"),
        ("a: {{ b }}", "expected YAML, found while constructing a mapping"),
        ("a: 0x_", "expected YAML, found invalid literal for int"),
    ],
)
def test_what_is_no_mapping(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(content)
    with pytest.raises(SpecError, match=f"broken.yaml: {message}"):
        DatasetSpec.load(path)


@pytest.mark.parametrize("day", ["2024-02-28", "2024-02-30", "2024-02-28 12:00:00"])
def test_days_are_the_text_that_is_written(write, day: str) -> None:
    path = write("label.from", {"column": "day", "equals": "DAY"})
    path.write_text(path.read_text().replace("DAY", day))
    assert DatasetSpec.load(path).label.rule.equals == day


def test_what_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "table.yaml"
    path.write_bytes(b"PAR1\xff\xfe")
    with pytest.raises(SpecError, match=r"table.yaml: expected YAML, found"):
        DatasetSpec.load(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"none\.yaml: expected a data-set file, found"):
        DatasetSpec.load(tmp_path / "none.yaml")


def test_inputs_follow_from_features_and_vocabularies(spec: DatasetSpec) -> None:
    assert spec.inputs(VOCABULARIES) == [
        # Three values and two other ids; a scenario field keeps its values.
        CategoricalInput("country", 5, 4, oov_buckets=2, values=("at", "be", "ch")),
        CategoricalInput("device", 3, 16, oov_buckets=1, values=("app", "web")),
        CategoricalInput("tags", 3, 6, oov_buckets=1, multivalued=True),
        NumericInput("age"),
        CategoricalInput("price", 5, 3, oov_buckets=0),
    ]


def test_vocabularies_are_those_of_categorical_and_multivalued(spec) -> None:
    assert list(spec.vocabulary_features) == ["country", "device", "tags"]
    assert spec.multivalued == {"tags"}


def test_baseline_inherits_what_it_also_has(spec: DatasetSpec) -> None:
    assert spec.settings(spec.model) == {
        "hidden": [16, 8],
        "rank": 4,
        "dropout": 0.1,
        "l2": 1e-4,
    }
    # Its own dropout; no rank.
    assert spec.settings(spec.baseline) == {
        "hidden": [16, 8],
        "dropout": 0.3,
        "l2": 1e-4,
    }


def test_a_model_of_the_candidate_s_name_inherits_all(spec: DatasetSpec) -> None:
    settings = spec.settings(ModelSpec(name="midpg", dropout=0.3))
    assert settings == spec.settings(spec.model) | {"dropout": 0.3}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_no_model_inherits_what_another_means_by_its_own(spec, name):
    settings = spec.settings(ModelSpec(name=name))
    # MI-DPG's rank is that of weights; APG and HAMUR have ranks of other things.
    assert settings.get("rank") == (4 if name == "midpg" else None)
    assert (settings["hidden"], settings["dropout"]) == ([16, 8], 0.1)


def test_builds_candidate_and_baseline(spec: DatasetSpec) -> None:
    model = spec.build_model(spec.model, VOCABULARIES)
    baseline = spec.build_model(spec.baseline, VOCABULARIES)
    assert isinstance(model, MIDPG)
    assert isinstance(baseline, MLP)
    assert (model.hidden, model.rank, model.dropout) == ((16, 8), 4, 0.1)
    assert (baseline.hidden, baseline.dropout, baseline.l2) == ((16, 8), 0.3, 1e-4)
    assert model.scenario_index.names[:3] == ["at/app", "at/web", "be/app"]
    rows = {
        "country": np.array([0, 4]),
        "device": np.array([1, 0]),
        "tags": np.array([[0, 1], [2, -1]]),
        "age": np.array([0.1, -0.2], np.float32),
        "price": np.array([4, 0]),
    }
    for each in (model, baseline):
        score = each(rows).numpy()
        assert score.shape == (2,)
        assert np.all((score > 0) & (score < 1))
