"""Why a store is refused: what differs, and nothing else."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from limbeck.errors import StoreError
from limbeck.images.view import ViewPolicy
from limbeck.records import Preprocess
from limbeck.ssld.stamp import Stamp, read_stamp, stamped
from limbeck.ssld.teaching import TeacherFacts


def stamp(
    policy: ViewPolicy, *looks: Preprocess, teacher: str = "t", views: str = "", name: str = "resnet50d"
) -> Stamp:
    facts = TeacherFacts(name, 10, None, looks or (Preprocess((224, 224)),), 224, None, 1, 1.0)
    extra: dict[str, Any] = {"teacher": facts.to_dict(), "views": asdict(policy)}
    return Stamp(teacher, views or repr(policy), 10, 0, name, str(policy), extra=extra)


def refusal(root: Path, mine: Stamp, its: Stamp) -> tuple[str, str]:
    stamped(root, mine)
    kept = read_stamp(root)
    assert kept is not None
    with pytest.raises(StoreError) as error:
        kept.refuse_other(root, its)
    return error.value.found.removeprefix(f"the soft labels in {root} are of "), error.value.expected


def test_other_views(tmp_path: Path) -> None:
    large, small = ViewPolicy(224), ViewPolicy(64, scale=(0.4, 1.0))
    assert refusal(tmp_path, stamp(large, views="v1"), stamp(small, views="v2")) == (
        "views size 224, crop scale 0.08 1.0 (v1)",
        "views size 64, crop scale 0.4 1.0 (v2)",
    )


def test_the_same_views_of_other_libraries(tmp_path: Path) -> None:
    policy = ViewPolicy(224)
    assert refusal(tmp_path, stamp(policy, views="v1"), stamp(policy, views="v2")) == (
        "views made by other versions of libraries (v1)",
        "views made by those that are installed (v2)",
    )


def test_other_teachers(tmp_path: Path) -> None:
    policy, look = ViewPolicy(224), Preprocess((224, 224))
    grey = replace(look, mean=(0.5, 0.5, 0.5))
    assert refusal(tmp_path / "a", stamp(policy, look), stamp(policy, look, teacher="u", name="resnet18")) == (
        "teacher resnet50d (t)",
        "teacher resnet18 (u)",
    )
    assert refusal(tmp_path / "b", stamp(policy, look), stamp(policy, grey, teacher="u")) == (
        "teacher resnet50d with mean 0.485 0.456 0.406 (t)",
        "teacher resnet50d with mean 0.5 0.5 0.5 (u)",
    )
    assert refusal(tmp_path / "c", stamp(policy, look), stamp(policy, look, teacher="u")) == (
        "teacher resnet50d (t)",
        "teacher resnet50d with other weights (u)",
    )


def test_both(tmp_path: Path) -> None:
    mine, its = stamp(ViewPolicy(224), views="v1"), stamp(ViewPolicy(224, flip=0.0), teacher="u", views="v2", name="b")
    assert refusal(tmp_path, mine, its) == (
        "teacher resnet50d (t), views flip 0.5 (v1)",
        "teacher b (u), views flip 0.0 (v2)",
    )


def test_a_store_that_tells_less(tmp_path: Path) -> None:
    mine = replace(stamp(ViewPolicy(32), views="v1"), extra={}, about_views="crops")
    assert refusal(tmp_path, mine, stamp(ViewPolicy(64), views="v2"))[0] == "views crops (v1)"
