"""The runner that is in this process."""

from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.runners.portability.prism_runner import PrismRunner

from transform.runner import IN_PROCESS


@pytest.fixture
def prism(monkeypatch):
    """The pipelines that Prism was asked to run."""
    found = []

    def fail(self, pipeline, options):
        found.append(pipeline)
        raise RuntimeError("can't be downloaded")

    monkeypatch.setattr(PrismRunner, "run_pipeline", fail)
    return found


@pytest.mark.parametrize(("runner", "asked"), [("DirectRunner", 1), (IN_PROCESS, 0)])
def test_prism_is_asked_by_beams_default_alone(prism, runner, asked):
    rows = []
    with beam.Pipeline(runner=runner) as pipeline:
        _ = pipeline | beam.Create([1, 2]) | beam.Map(rows.append)
    assert len(prism) == asked
