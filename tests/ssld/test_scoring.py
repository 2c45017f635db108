"""A shard of scores on disk: what it is named by, what is looked at again, what is told when it is damaged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from limbeck.errors import RunError, TeacherError
from limbeck.images.imageset import ImageSet
from limbeck.ssld.gallery import Gallery
from limbeck.ssld.scoring import Asked, Excluding, best_classes, score_gallery, shards_of
from limbeck.ssld.teacher import TeacherSpec
from tests.commands.tiny import draw


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    return Gallery.of(ImageSet.open(draw(tmp_path_factory.mktemp("scoring"), 2), workers=0, shown=False))


@pytest.fixture(scope="module")
def asked() -> Asked:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 4))
    return Asked(TeacherSpec.parse(module, size=32), "cpu", "float32")


def test_a_file_is_named_by_all_that_its_scores_depend_on(gallery: Gallery, asked: Asked, tmp_path: Path) -> None:
    side = Excluding(tmp_path / "side", "abc", "hash")
    others = [
        (asked, None),
        (replace(asked, precision="bfloat16"), None),
        (replace(asked, spec=TeacherSpec.parse("test_resnet", pretrained=False)), None),
        (asked, side),
        (asked, replace(side, identity="abd")),
        (asked, replace(side, signature="local")),
        (asked, replace(side, thorough=True)),
        (asked, replace(side, thresholds=replace(side.thresholds, candidates=3))),
    ]
    names = [next(iter(shards_of(gallery, one, excluding, tmp_path))).result for one, excluding in others]
    assert len(set(names)) == len(names)
    moved = replace(side, home=tmp_path / "elsewhere")
    assert next(iter(shards_of(gallery, asked, moved, tmp_path))).result == names[3]


def test_a_photo_that_was_away_is_looked_at_again(asked: Asked, tmp_path: Path) -> None:
    root = draw(tmp_path / "photos", 2)
    gallery = Gallery.of(ImageSet.open(root, workers=0, shown=False))
    away = root / "disc_1.jpg"
    data = away.read_bytes()
    away.unlink()
    scores = score_gallery(gallery, asked, None, tmp_path / "home", workers=0, shown=False)
    assert list(scores.unreadable.values()) == ["no such file or directory"]
    (row,) = scores.unreadable
    assert (scores.best[row], scores.score[row]) == (-1, -1)
    away.write_bytes(data)
    again = score_gallery(gallery, asked, None, tmp_path / "home", workers=0, shown=False)
    assert again.unreadable == {}
    there = np.arange(len(gallery)) != row
    assert (again.score[there] == scores.score[there]).all()


def test_a_damaged_file_is_named(gallery: Gallery, asked: Asked, tmp_path: Path) -> None:
    score_gallery(gallery, asked, None, tmp_path, workers=0, shown=False)
    (file,) = tmp_path.glob("*.arrow")
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(RunError, match=r"cannot be read.*") as caught:
        score_gallery(gallery, asked, None, tmp_path, workers=0, shown=False)
    assert f"rm {file}, then the same command again" in str(caught.value)


def test_scores_are_whole_millionths() -> None:
    logits = torch.tensor([[0.0, 0.0], [50.0, -50.0], [1.0, 2.0]])
    assert best_classes(logits.log_softmax(1)) == [(0, 500_000), (0, 1_000_000), (1, 731_059)]
    with pytest.raises(TeacherError, match="not a number"):
        best_classes(torch.tensor([[float("nan"), 0.0]]))
