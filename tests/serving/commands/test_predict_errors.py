"""`midpg predict`: what it says about what is wrong, and how it ends."""

import subprocess
import sys

import pytest
import tensorflow as tf
import yaml
from click.testing import CliRunner

from serving.commands.predict import predict
from serving.embedded.server import ModelServer


@pytest.mark.parametrize(
    ("rows", "kind", "message"),
    [
        ("kind,x,tags\na,1,\na,many,\n", "csv", "rows.csv, line 3: column 'x': expect"),
        (
            [{"kind": 1.5, "x": 1, "tags": ""}],
            "parquet",
            "rows.parquet, row 1: column 'k",
        ),
        ("kind,x,tags\na,1\n", "csv", "rows.csv, line 2: expected 3 cells, found 2"),
        (
            "kind,price\na,1\n",
            "csv",
            "rows.csv: expected the columns kind, x, tags; found kind, price; missing:"
            " x, tags",
        ),
        ("no parquet", "parquet", "rows.parquet: expected a Parquet file, found:"),
    ],
)
def test_a_wrong_file(command, tmp_path, rows, kind, message):
    output = tmp_path / "scores.csv"

    found = command(rows, f"--output={output}", kind=kind)

    assert found.code == 1
    assert f"Error: {tmp_path}/{message}" in found.out
    assert not list(tmp_path.glob("*scores*"))


def test_a_failure_leaves_the_last_output_as_it_was(command, tmp_path, rows):
    output = tmp_path / "scores.csv"
    good = "".join("a,1,\n" for _ in range(1500))
    command(rows, f"--output={output}")
    before = output.read_text()

    # The first 1,000 rows have been scored and written by then.
    found = command(f"kind,x,tags\n{good}a,many,\n", f"--output={output}")

    assert found.code == 1
    assert "line 1502: column 'x'" in found.out
    assert output.read_text() == before
    assert not list(tmp_path.glob("*.part"))


def test_a_column_that_the_output_adds(command, tmp_path, rows):
    rows = [row | {"score": 1} for row in rows]

    assert command(rows).code == 0
    found = command(rows, f"--output={tmp_path / 'scores.csv'}")
    assert found.code == 1
    assert "expected rows without a column 'score'" in found.out


def test_an_output_in_no_folder(command, tmp_path, rows):
    found = command(rows, f"--output={tmp_path / 'absent' / 'scores.csv'}")

    assert found.code == 1
    assert "scores.csv: expected a folder" in found.out


def test_files_that_are_not_there(command, spec_file, tmp_path):
    for arguments in (
        [spec_file, "--rows=absent.csv"],
        ["absent.yaml", "--rows=a.csv"],
    ):
        found = CliRunner().invoke(predict, [str(one) for one in arguments])
        assert found.exit_code == 1
        assert "Error: " in found.output
        assert "absent." in found.output


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_that_are_not_there(spec_file, suffix):
    found = CliRunner().invoke(predict, [str(spec_file), f"--rows=absent.{suffix}"])
    assert found.output.splitlines()[-1] == (
        f"Error: absent.{suffix}: expected a file of rows, found No such file or"
        " directory"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model_name=other"], "model other at 127.0.0.1:"),
        (
            ["--version=9"],
            "NOT_FOUND: Servable not found for request: Specific(shop, 9)",
        ),
        (["--label=beta"], "Unrecognized servable version label: beta"),
    ],
)
def test_what_the_server_refuses(command, arguments, message, rows):
    found = command(rows, *arguments)

    assert found.code == 1
    assert found.out.startswith("Error: model ")
    assert message in found.out


class Exported(tf.Module):
    """Scores each row with x; says that it takes more, as exported models do."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def score(self, examples):
        parse = {"x": tf.io.FixedLenFeature([], tf.float32)}
        return {"score": tf.io.parse_example(examples, parse)["x"]}

    def save(self, folder, **features):
        raw = tf.function(lambda **tensors: {"score": tensors["x"]})
        signatures = {
            "serving_default": self.score,
            "predict_raw": raw.get_concrete_function(**features),
        }
        tf.saved_model.save(self, str(folder), signatures=signatures)


@pytest.fixture(scope="module")
def exporting(tmp_path_factory):
    """A server of a model that takes the data-set file's features."""
    base = tmp_path_factory.mktemp("exported")
    Exported().save(
        base / "1",
        kind=tf.TensorSpec([None], tf.string),
        x=tf.TensorSpec([None], tf.float32),
        tags=tf.TensorSpec([None, None], tf.string),
    )
    with ModelServer("shop", base, port=-1, isolate_models=False) as server:
        yield server


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({}, None),
        ({"colour": {"kind": "categorical"}}, None),
        ({"tags": None}, "tags (multivalued)"),
        (
            {"tags": {"kind": "categorical"}, "x": {"kind": "categorical"}},
            "tags (multivalued), x (numeric)",
        ),
    ],
)
def test_a_model_of_features_that_the_data_set_file_lacks(
    command, exporting, spec_file, rows, tmp_path, changes, lost
):
    content = yaml.safe_load(spec_file.read_text())
    features = content["features"] | changes
    content["features"] = {k: v for k, v in features.items() if v is not None}
    spec_file.write_text(yaml.safe_dump(content))
    output = tmp_path / "scores.csv"

    rows = [row | {"colour": "red"} for row in rows]
    found = command(rows, f"--output={output}", server=exporting)

    assert (found.code, output.exists()) == ((1, False) if lost else (0, True))
    if lost:
        assert found.out == (
            f"Error: model shop at {exporting.target}: expected one that takes features"
            f" of {spec_file}, found that it takes {lost}, which the file doesn't have,"
            " or has as another kind; take the file that the version was trained with"
            "\n"
        )


def test_nobody_answers(command, rows):
    found = command(rows, "--server=127.0.0.1:1", server=None)

    assert found.code == 1
    assert found.out.startswith("Error: model shop at 127.0.0.1:1: UNAVAILABLE: ")


def test_certificates(command, tmp_path, rows):
    found = command(rows, f"--root_certificate={tmp_path / 'absent.pem'}")
    assert found.code == 1
    assert "absent.pem" in found.out
    (tmp_path / "bad.pem").write_text("no certificate")
    found = command(rows, f"--root_certificate={tmp_path / 'bad.pem'}")
    assert found.code == 1
    assert found.out.startswith("Error: tls: expected certificates in PEM")
    # The server speaks no TLS.
    assert command(rows, "--tls", "--timeout=1").code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows=rows.txt"], "expected a name ending in .csv or .parquet"),
        (["--rows=a.csv", "--output=a.json"], "expected a name ending in .csv or"),
        (["--rows=a.csv", "--version=1", "--label=x"], "--version or --label"),
        ([], "--rows"),
    ],
)
def test_wrong_usage(spec_file, arguments, message):
    found = CliRunner().invoke(predict, [str(spec_file), *arguments])

    assert found.exit_code == 2
    assert message in found.output


@pytest.mark.e2e
def test_an_error_is_all_that_a_process_writes(spec_file, tmp_path):
    (tmp_path / "rows.csv").write_text("kind,x\na,1\n")
    code = "from serving.commands.predict import predict; predict()"

    found = subprocess.run(
        [sys.executable, "-c", code, spec_file, "--rows", tmp_path / "rows.csv"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == (
        f"Error: {tmp_path}/rows.csv: expected the columns kind, x, tags; found kind,"
        " x; missing: tags\n"
    )
