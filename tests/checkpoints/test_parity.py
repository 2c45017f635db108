"""Weights of Paddle's, converted, give the reference's numbers."""

from pathlib import Path

import pytest

from tests.backbones.fixtures import fixture
from tests.checkpoints.parity import CLASSIFIERS, DETECTORS, LARGE, classifier_errors, detector_errors, tolerance

QUICK = {"yolov3_mobilenet_v1_ssld", "yolov3_mobilenet_v3_large_ssld", "retinanet_r50_fpn"}
pytestmark = pytest.mark.shared


def marked(names: object, slow: set[str]) -> list[object]:
    return [pytest.param(name, marks=pytest.mark.slow) if name in slow else name for name in names]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", marked(CLASSIFIERS, LARGE))
def test_a_converted_classifier_answers_as_the_reference(shared: Path, tmp_path: Path, name: str) -> None:
    errors = classifier_errors(shared, name, tmp_path)
    assert set(errors) == set(fixture(shared, name).told["arrays"]) | {"logits"}
    assert max(errors.values()) < tolerance(name), errors


@pytest.mark.parametrize("name", marked(DETECTORS, set(DETECTORS) - QUICK))
def test_a_detector_s_backbone_sees_as_the_reference(shared: Path, tmp_path: Path, name: str) -> None:
    errors = detector_errors(shared, name, tmp_path)
    assert len(errors) == len(DETECTORS[name])
    assert max(errors.values()) < tolerance(name), errors
