"""The notebook of the examples, cell by cell as it stands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

NOTEBOOK = Path(__file__).parents[2] / "examples/nine_scenarios.ipynb"

# What the text between the cells claims.
CLAIMS = """
assert 0 < low[0] and table["gain"]["all"] > 0
assert np.all(midpg.generate(unknown)[0] == 1)
assert auc(boutique, "MI-DPG") > auc(boutique, "MLP") + 0.01
assert np.all(loaded.predict(some, verbose=0) == midpg.predict(some, verbose=0))
"""


def test_what_it_says_holds(tmp_path):
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    script = tmp_path / "notebook.py"
    script.write_text("\n".join([*code, CLAIMS]), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script],
        env=os.environ | {"MPLBACKEND": "Agg"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
