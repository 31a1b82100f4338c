import pytest

from midpg_tf import DatasetSpec
from midpg_tf.spec import SpecError


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ({"by": "time", "column": "day"}, {"column": "day", "eval": 0.1, "test": 0.1}),
        (
            {"by": "hash", "columns": ["user"], "test": 0.3},
            {"columns": ("user",), "eval": 0.1, "test": 0.3},
        ),
        ({"by": "column", "column": "part"}, {"column": "part"}),
        (
            {"by": "files", "train": "a-*", "eval": "b", "test": "c"},
            {"train": "a-*", "eval": "b", "test": "c"},
        ),
    ],
    ids=lambda value: value.get("by"),
)
def test_ways_to_split(write, split: dict, expected: dict) -> None:
    loaded = DatasetSpec.load(write("data.split", split)).data.split
    assert loaded.by == split["by"]
    assert {key: getattr(loaded, key) for key in expected} == expected


def test_keys_of_another_split_are_unknown(write) -> None:
    split = {"by": "column", "column": "part", "eval": 0.1}
    with pytest.raises(SpecError, match=r"data\.split: .*unknown key 'eval'"):
        DatasetSpec.load(write("data.split", split))
    # `column` is a way to split and a key of it.
    with pytest.raises(SpecError, match=r"data\.split\.column: .*string, found 3"):
        DatasetSpec.load(write("data.split", {"by": "column", "column": 3}))


def test_a_missing_file_of_a_split(write) -> None:
    split = {"by": "files", "train": "a", "eval": "b"}
    with pytest.raises(SpecError, match=r"data\.split\.test: expected a value"):
        DatasetSpec.load(write("data.split", split))
