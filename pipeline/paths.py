"""Where a data set's runs keep their files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

ROOT_VARIABLE = "MIDPG_ROOT"


def home(spec_file: Path) -> Path:
    """The folder of all runs: beside the data-set file, unless `MIDPG_ROOT` is set.

    Args:
        spec_file: The data-set file.
    """
    named = os.environ.get(ROOT_VARIABLE)
    return (Path(named) if named else spec_file.parent / ".midpg").resolve()


class RunPaths(NamedTuple):
    """The files of a data set's runs.

    Attributes:
        root: The folder of them all.
        described_in: The data-set file, to which runs keep the folder; None for no
            such check.
    """

    root: Path
    described_in: Path | None = None

    @property
    def artifacts(self) -> Path:
        """What the components write."""
        return self.root / "artifacts"

    @property
    def metadata(self) -> Path:
        """The metadata store, SQLite."""
        return self.root / "metadata.sqlite"

    @property
    def reports(self) -> Path:
        """A page for each run that has come to the gates."""
        return self.root / "reports"

    @property
    def lock(self) -> Path:
        """What a run holds for as long as it lasts."""
        return self.root / "run.lock"

    @property
    def data_set_file(self) -> Path:
        """The path of the data-set file whose runs these are, as text."""
        return self.root / "data_set_file"

    @property
    def serving(self) -> Path:
        """Pushed models, a folder a version."""
        return self.root / "serving"

    @property
    def models_config(self) -> Path:
        """The model configuration file of the server, if it has labels."""
        return self.root / "models.config"

    @property
    def rolled_back(self) -> Path:
        """The versions that `midpg rollback` took back, a line each with digests."""
        return self.root / "rolled_back"

    @property
    def schema(self) -> Path:
        """The schema and the statistics of the first data."""
        return self.root / "schema"
