"""When rows are read again, and where from."""

from __future__ import annotations

import pytest

from pipeline.components.example_gen import DatasetExampleGen


def described(spec, path):
    data = spec.data.model_copy(update={"path": path})
    return DatasetExampleGen(spec.model_copy(update={"data": data})).exec_properties


def test_a_file_in_a_folder_of_a_folder_makes_other_rows(spec, tmp_path):
    day = tmp_path / "2026" / "11" / "26.csv"
    day.parent.mkdir(parents=True)
    day.write_text("a\n1\n")
    pattern = str(tmp_path / "**" / "*.csv")
    first = described(spec, pattern)
    assert described(spec, pattern) == first
    (day.parent / "27.csv").write_text("a\n2\n")
    assert described(spec, pattern) != first


@pytest.mark.parametrize("error", [ValueError, OSError])
def test_remote_files_may_be_out_of_sight(spec, monkeypatch, error):
    def unreachable(_):
        raise error("no such bucket")

    monkeypatch.setattr("pipeline.components.example_gen.files_digest", unreachable)
    found = described(spec, "gs://bucket/orders/*.csv")
    assert found["input_base"] == "gs://bucket/orders"
    assert '"pattern": "*.csv"' in found["input_config"]
