"""limbeck models"""

import json

import pytest
import timm

from limbeck.backbones import BACKBONES
from limbeck.commands.models import STUDENTS, Models, models, run
from limbeck.errors import UnknownName
from limbeck.images.cache import cache_root


def test_matching_students_with_their_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    listed = {each.name: each for each in models("resnet1*t")}
    assert set(listed) == {"resnet10t", "resnet14t"}
    assert (listed["resnet10t"].parameters, listed["resnet10t"].size) == (5_435_488, 176)
    lines = capsys.readouterr().out.splitlines()
    assert ["resnet10t", "5.44", "0.70", "176", "timm"] in [line.split() for line in lines]
    assert lines[-1].startswith("next: limbeck distill --images PHOTOS --teacher TEACHER --student resnet1")


def test_a_second_look_measures_nothing() -> None:
    first = run(Models("test_resnet"))
    (file,) = cache_root().glob("models-*.json")
    told = json.loads(file.read_text())
    told[0]["parameters"] = 1
    file.write_text(json.dumps(told))
    assert run(Models("test_resnet"))[0].parameters == 1
    file.write_text("{")
    assert run(Models("test_resnet")) == first


def test_the_paper_s_networks_are_listed_with_whose_definition_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    listed = {each.name: each for each in models("resne*t50*d")}
    assert {name: each.definition for name, each in listed.items() if name in ("resnet50_vd", "resnet50d")} == {
        "resnet50_vd": "PaddleClas", "resnet50d": "timm",
    }  # fmt: skip
    assert listed["resnet50_vd"].parameters == listed["resnet50d"].parameters
    assert any(line.split()[::4] == ["resnet50_vd", "PaddleClas"] for line in capsys.readouterr().out.splitlines())
    assert [each.definition for each in models("resnext101_32x16d")] == ["timm"]


def test_part_of_a_name_is_enough() -> None:
    assert all("test_vit" in each.name for each in models("test_vit"))


def test_an_unknown_pattern_lists_the_nearest() -> None:
    with pytest.raises(UnknownName, match="mobilenetv3_large_100"):
        models("mobilenet_v3_large_100")


def test_the_short_list_names_real_students() -> None:
    assert set(STUDENTS) <= set(timm.list_models())
    assert not set(STUDENTS) & set(BACKBONES)
    assert len(set(STUDENTS)) == len(STUDENTS) >= 30
