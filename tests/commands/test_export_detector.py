"""Detectors as ONNX files: what onnxruntime finds is what PyTorch finds."""

from pathlib import Path

import pytest
import torch

from limbeck.checkpoints.detector_card import assembled
from limbeck.classification.models import build
from limbeck.commands.export_detector import ExportedDetector, agreement, compared, drifts
from limbeck.deploy.onnx_detector import answers, write_detector
from limbeck.detection.batch import Found, Targets, stacked
from limbeck.errors import ImagesError
from limbeck.records import Frame


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gfl", "retinanet"])
def test_what_a_detector_finds_is_the_same(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    model = assembled(name, 3, build("test_resnet")).eval()
    torch.nn.init.zeros_(model.class_head.bias)  # type: ignore[arg-type, union-attr]
    torch.nn.init.normal_(model.class_head.weight, std=0.05)  # type: ignore[arg-type, union-attr]
    images, frames = torch.rand(1, 3, 96, 128), stacked([Frame(90, 128, 180, 256)])
    write_detector(model, images, frames, tmp_path / "found.onnx", {})
    other = torch.rand(1, 3, 96, 128)
    for pixels in (images, other):
        with torch.inference_mode():
            own = model.boxes(model(pixels), frames)
        (found,) = answers(tmp_path / "found.onnx", [(pixels, frames)])
        total, same, apart = compared(own, found)
        assert total > 10
        assert same >= 0.99 * total
        assert apart < 1e-4
    truth = Targets(torch.tensor([[[5.0, 5, 60, 60]]]), torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, 1) > 0)
    losses = model.train().losses(model(images), truth, frames)  # what was traced has left no values behind
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(bool(value.isfinite()) for value in losses.values())


def found(scores: list[float], *, first: int = 0) -> Found:
    """Boxes of these scores that do not touch, from a place on."""
    at = 20.0 * torch.arange(first, first + len(scores))
    boxes = torch.stack([at, at, at + 10, at + 10], 1)
    labels = torch.zeros(1, len(scores), dtype=torch.int64)
    return Found(boxes[None], torch.tensor([scores]), labels, torch.tensor([len(scores)]))


def joined(*parts: Found) -> Found:
    boxes, scores, labels = (torch.cat([part[column] for part in parts], 1) for column in range(3))
    return Found(boxes, scores, labels, torch.tensor([scores.shape[1]]))


OWN = found([0.9] * 40 + [0.03] * 5)
NOTHING = found([])


def drifted(own: Found, theirs: Found) -> bool:
    return drifts(agreement(Path("a.onnx"), [NOTHING, own], [NOTHING, theirs]), 1e-4)


def test_the_same_answer_does_not_drift() -> None:
    assert compared(OWN, OWN) == (40, 40, 0.0)
    assert not drifted(OWN, OWN)
    assert not drifted(OWN, found([0.9] * 40))  # what is not sure may stay away
    assert not drifted(found([0.9, 0.04999]), found([0.9, 0.05001]))


@pytest.mark.parametrize(
    "theirs",
    [
        joined(OWN, found([0.9] * 49, first=100)),
        joined(OWN, OWN),
        joined(OWN, found([float("nan")] * 9, first=100)),
        found([0.9] * 39),
        found([0.9] * 45),
        found([0.89] * 40),
        OWN._replace(labels=OWN.labels + 1),
        OWN._replace(boxes=OWN.boxes + 1),
        OWN._replace(scores=OWN.scores * torch.nan),
        NOTHING,
    ],
)
def test_a_tampered_answer_drifts(theirs: Found) -> None:
    assert drifted(OWN, theirs)
    assert drifted(theirs, OWN)


def test_where_nothing_is_sure_the_unsure_are_compared() -> None:
    unsure = found([0.03, 0.02, 0.01])
    exported = agreement(Path("a.onnx"), [unsure], [unsure])
    assert (exported.found, exported.same) == (3, 3)
    assert not drifted(unsure, unsure)
    assert drifted(unsure, found([0.03, 0.02, 0.02]))
    assert drifted(unsure, NOTHING)
    assert drifted(NOTHING, unsure)


def test_nothing_at_all_is_no_agreement() -> None:
    with pytest.raises(ImagesError, match=r"not compared: nothing is found on 1 photo\n(.*\n)+.*--images PHOTOS"):
        agreement(Path("a.onnx"), [NOTHING], [NOTHING])
    assert drifts(ExportedDetector(Path("a.onnx"), 1, 0, 0, 0.0), 1e-4)
