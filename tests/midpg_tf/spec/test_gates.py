import pytest
from pydantic import ValidationError

from midpg_tf.spec import Gates
from midpg_tf.spec.gates import AUCGate, CalibrationGate, ScenarioBounds


def test_the_designs_defaults() -> None:
    gates = Gates()
    assert gates.auc == AUCGate(min=0.5, min_gain=-0.002)
    assert gates.per_scenario == ScenarioBounds(min_rows=500, max_loss=0.01)
    assert gates.calibration == CalibrationGate(max_error=0.2)
    assert (gates.confidence, gates.resamples) == (0.95, 1000)


@pytest.mark.parametrize(
    ("gate", "bounds"),
    [
        (AUCGate, {"min": 1.01}),
        (AUCGate, {"min": -0.1}),
        (AUCGate, {"min_gain": 1.5}),
        (ScenarioBounds, {"min_rows": 0}),
        (ScenarioBounds, {"max_loss": -0.01}),
        (CalibrationGate, {"max_error": 0}),
        (Gates, {"confidence": 0.3}),
        (Gates, {"confidence": 1.0}),
        (Gates, {"resamples": 10}),
    ],
)
def test_refuses_bounds_that_mean_nothing(gate: type, bounds: dict) -> None:
    (name,) = bounds
    with pytest.raises(ValidationError, match=name):
        gate(**bounds)


@pytest.mark.parametrize(("confidence", "least"), [(0.99, 400), (0.999, 4_000)])
def test_a_confidence_needs_resamples(confidence: float, least: int) -> None:
    assert Gates(confidence=confidence, resamples=least).resamples == least
    told = f"at least {least:,} for a confidence of {confidence}, found {least - 1:,}"
    with pytest.raises(ValidationError, match=told):
        Gates(confidence=confidence, resamples=least - 1)
