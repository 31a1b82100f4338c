"""`pip install .` in a new environment: the library, and nothing of the pipeline."""

import importlib.util
import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("midpg_tf", "pipeline", "serving", "transform")
NOTEBOOK = """
    import importlib.metadata
    import json
    import sys

    import numpy as np
    from midpg_tf import MIDPG, CategoricalInput, NumericInput
    from midpg_tf.spec import DatasetSpec

    rng = np.random.default_rng(0)
    rows = {
        "channel": rng.integers(0, 3, 512),
        "price": rng.normal(size=512).astype("float32"),
    }
    bought = (rng.random(512) < 0.3).astype("float32")
    model = MIDPG(
        [CategoricalInput("channel", 4), NumericInput("price")],
        scenario=["channel"],
        hidden=(8,),
    )
    model.compile(optimizer="adam")
    history = model.fit(rows, bought, epochs=1, batch_size=256, verbose=0).history
    found = {
        "name": DatasetSpec.load(sys.argv[1]).name,
        "auc": history["auc"],
        "installed": [d.metadata["Name"] for d in importlib.metadata.distributions()],
        "files": list(map(str, importlib.metadata.files("midpg_tf"))),
    }
    print(json.dumps(found))
"""


@pytest.fixture
def pip():
    """`python -m uv pip` or `python -m pip`, for another environment's Python."""
    if importlib.util.find_spec("uv"):
        return lambda python, *arguments: [
            *(sys.executable, "-m", "uv", "pip", *arguments, "--python", python)
        ]
    return lambda python, *arguments: [
        *(sys.executable, "-m", "pip", "--python", python, *arguments)
    ]


def test_the_core_trains_without_the_pipeline(pip, environment, tmp_path):
    # setuptools builds next to the sources, where nothing should be left.
    shutil.copytree(
        REPOSITORY,
        tmp_path / "sources",
        ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__"),
    )
    new = tmp_path / "venv"
    python = str(new / "bin" / "python")

    def call(*command):
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    made = call(sys.executable, "-m", "venv", "--without-pip", str(new))
    assert made.returncode == 0, made.stderr
    probe = call(*pip(python, "install", "--dry-run", "--no-deps", "tf-keras"))
    if probe.returncode:
        pytest.skip(f"needs a package index: {probe.stderr.strip()}")
    installed = call(*pip(python, "install", str(tmp_path / "sources")))
    assert installed.returncode == 0, installed.stderr

    example = REPOSITORY / "examples" / "movielens-100k.yaml"
    trained = call(python, "-c", textwrap.dedent(NOTEBOOK), str(example))
    assert trained.returncode == 0, trained.stderr
    found = json.loads(trained.stdout.splitlines()[-1])
    assert found["name"] == "movielens-100k"
    assert 0 <= found["auc"][0] <= 1
    # setup.py lists packages by hand.
    files = {name for name in found["files"] if name.split("/")[0] in PACKAGES}
    assert {name for name in files if not name.endswith(".pyc")} == {
        file.relative_to(tmp_path / "sources").as_posix()
        for package in PACKAGES
        for file in (tmp_path / "sources" / package).rglob("*")
        if file.is_file()
    }
    packages = {name.lower().replace("_", "-") for name in found["installed"]}
    assert {"midpg-tf", "tensorflow", "tf-keras", "tensorflow-recommenders"} <= packages
    assert not packages & {
        "apache-beam",
        "ml-metadata",
        "tensorflow-data-validation",
        "tensorflow-model-analysis",
        "tensorflow-serving-api",
        "tensorflow-transform",
        "tfx",
        "tfx-bsl",
    }
