"""The command `predict` on a table of rows, and a server to ask."""

from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from serving.commands.predict import predict
from serving.embedded.server import ModelServer


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    """The ranker of conftest as model shop: position of kind in a, b, c, plus x."""
    base = tmp_path_factory.mktemp("served")
    (base / "4").symlink_to(models.ranker)
    with ModelServer("shop", base, port=-1, isolate_models=False) as server:
        yield server


@pytest.fixture
def spec_file(tmp_path):
    path = tmp_path / "shop.yaml"
    content = {
        "name": "shop",
        "data": {"format": "csv", "path": "rows.csv", "split": {"by": "hash"}},
        "label": {"name": "bought"},
        "scenario": ["kind"],
        "features": {
            "kind": {"kind": "categorical"},
            "x": {"kind": "numeric", "default": 0},
            "tags": {"kind": "multivalued", "separator": ";"},
        },
    }
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.fixture
def command(spec_file, server, tmp_path):
    """Runs the command on a table of rows; gives exit code and lines of the output."""

    def run(rows, *arguments, kind="csv", server=server):
        path = tmp_path / f"rows.{kind}"
        if isinstance(rows, str):
            path.write_text(rows)
        elif kind == "csv":
            pd.DataFrame(rows).to_csv(path, index=False)
        else:
            pd.DataFrame(rows).to_parquet(path)
        target = [f"--server={server.target}"] if server else []
        found = CliRunner().invoke(
            predict,
            [str(spec_file), f"--rows={path}", *target, *map(str, arguments)],
        )
        assert isinstance(found.exception, SystemExit | None), found.exception
        assert "Traceback" not in found.output
        return SimpleNamespace(code=found.exit_code, out=found.output)

    return run


@pytest.fixture
def rows():
    """Two rows, of the scores 0.25 and 3, with a column that is no feature."""
    return [
        {"kind": "a", "x": 0.25, "tags": "n;s", "note": "first"},
        {"kind": "c", "x": 1.0, "tags": "", "note": "second, with a comma"},
    ]
