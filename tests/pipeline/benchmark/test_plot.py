"""The picture of gains."""

from __future__ import annotations

import math

import pytest

from pipeline.benchmark.comparison import Line, Spread
from pipeline.benchmark.statistics import Gains
from pipeline.evaluation.bootstrap import Interval

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

from pipeline.benchmark import plot
from pipeline.benchmark.plot import plot_gains


def line(scenario, model, gain, verdict="cannot tell"):
    known = Spread(0.7, 0.01)
    gains = gain and Gains(gain, gain)
    return Line(scenario, model, 10.0, known, known, known, known, gains, verdict)


@pytest.mark.parametrize("scenarios", [1, 300])
def test_a_png(tmp_path, scenarios):
    gains = [
        None,
        Interval(value=0.01, low=-0.02, high=0.04),
        Interval(value=0.03, low=0.01, high=0.02),  # beside a bootstrap's interval
        Interval(value=math.nan, low=math.nan, high=math.nan),
    ]
    lines = [
        line(f"s{index}", f"m{number}", gain)
        for index in range(scenarios)
        for number, gain in enumerate(gains)
    ]
    lines.append(line("$50_$", "m1", gains[1]))  # no formula
    plot_gains(lines, "test", "gains of $x_$", tmp_path / "gains.png")
    assert (tmp_path / "gains.png").read_bytes().startswith(b"\x89PNG")


def test_there_is_no_picture_of_nothing(tmp_path):
    file = tmp_path / "gains.png"
    file.write_text("of an earlier comparison")
    plot_gains([line("a", "m", None)], "test", "gains", file)
    assert not file.exists()


@pytest.fixture
def drawn(monkeypatch):
    """The figures that have been drawn."""
    drawn = []

    def figure(**settings):
        drawn.append(Figure(**settings))
        return drawn[-1]

    monkeypatch.setattr(plot, "Figure", figure)
    return drawn


def test_the_axis_names_the_split(tmp_path, drawn):
    gain = Interval(value=0.01, low=-0.02, high=0.04)
    plot_gains([line("a", "m", gain)], "eval", "gains", tmp_path / "gains.png")
    (axes,) = drawn[0].axes
    assert axes.get_xlabel() == "gain in eval AUC over the baseline"


@pytest.mark.parametrize(
    ("verdict", "limits"), [("too few", (-0.023, 0.043)), ("gains", (-0.0575, 0.5475))]
)
def test_what_has_too_few_rows_does_not_widen_the_axis(
    tmp_path, drawn, verdict, limits
):
    narrow = line("a", "m", Interval(value=0.01, low=-0.02, high=0.04))
    wide = line("b", "m", Interval(value=0.1, low=-0.03, high=0.52), verdict)
    plot_gains([narrow, wide], "test", "gains", tmp_path / "gains.png")
    (axes,) = drawn[0].axes
    assert axes.get_xlim() == pytest.approx(limits)
