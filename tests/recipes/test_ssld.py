"""A recipe says all that was published, and limbeck's defaults say none of it."""

import ast
import inspect
from typing import Any

import pytest

import limbeck
from limbeck.backbones import BACKBONES
from limbeck.errors import CheckpointError, OptionError, UnknownName
from limbeck.recipes import RECIPES, running, ssld
from limbeck.recipes.published import TABLE_2, recipe, recipes
from limbeck.ssld.job import make_plan
from limbeck.ssld.options import Distill

PAPER: dict[str, Any] = {
    "loss": "js",
    "epochs": 360,
    "batch": 256,
    "lr": 0.1,
    "warmup_epochs": 5.0,
    "momentum": 0.9,
    "crop_scale": (0.08, 1.0),
    "crop_ratio": (3 / 4, 4 / 3),
    "flip": 0.5,
    "ema": 0.0,
    "views": 0,
}
SMALL = PAPER | {"weight_decay": 1e-5, "colour": "none"}
LARGE = PAPER | {"weight_decay": 4e-5, "colour": "autoaugment"}
MOBILE = ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large")
SECOND = {"epochs": 30, "lr": 0.001, "student": ""}
CODE = {
    "loss": "jeffreys",
    "loss_eps": 1e-10,
    "teacher_norm": "batch",
    "colour": "none",
    "crop_scale": (0.08, 1.0),
    "flip": 0.5,
    "warmup_epochs": 5.0,
    "ema": 0.0,
    "views": 0,
}
# student: (epochs, decay, batch, rate) of stage one and, after it, (epochs, batch, rate) of stage two
RELEASED = {
    "mobilenet_v1": ((360, 3e-5, 4096, 1.6), (30, 4096, 0.016)),
    "mobilenet_v2": ((360, 1e-5, 3072, 0.54), (30, 3072, 0.0054)),
    "mobilenet_v3_small": ((360, 1e-5, 5760, 3.65625), (30, 6400, 0.025)),
    "mobilenet_v3_large": ((360, 1e-5, 5760, 3.65625), (30, 2048, 0.008)),
    "resnet50_vd": ((360, 7e-5, 1024, 0.4), (60, 1024, 0.004)),
    "resnet101_vd": ((360, 7e-5, 1024, 0.4), (30, 1024, 0.004)),
}


def of(name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    chosen = vars(recipe(name).options)
    return {option: chosen[option] for option in wanted}


def test_the_general_recipes() -> None:
    assert of("ssld_small", SMALL) == SMALL
    assert of("ssld_large", LARGE) == LARGE


@pytest.mark.parametrize("student", TABLE_2)
def test_a_row_of_table_2(student: str) -> None:
    row = SMALL if student in MOBILE else LARGE
    assert of(f"ssld/{student}", row) == row
    assert of(f"ssld/{student}-stage2", row | SECOND) == row | SECOND
    options = recipe(f"ssld/{student}").options
    assert options.student == student
    assert options.teacher == ("resnet50_vd" if student in MOBILE else "resnext101_32x16d.fb_wsl_ig1b_ft_in1k")
    assert options.decay_norm == (student not in ("mobilenet_v3_small", "mobilenet_v3_large"))


@pytest.mark.parametrize("student", RELEASED)
def test_a_row_of_what_was_released(student: str) -> None:
    (epochs, decay, batch, rate), (epochs2, batch2, rate2) = RELEASED[student]
    for name, wanted, resolved in (
        (f"ssld/{student}-released", CODE | {"epochs": epochs, "weight_decay": decay, "batch": batch}, rate),
        (f"ssld/{student}-stage2-released", CODE | {"epochs": epochs2, "weight_decay": decay, "batch": batch2}, rate2),
    ):
        assert of(name, wanted) == wanted
        assert make_plan(recipe(name).options, 10, {}).lr == pytest.approx(resolved)
        assert recipe(name).rate == pytest.approx(resolved)


def test_the_classifier_is_fixed_at_320_with_the_views_of_the_test() -> None:
    wanted = {"tune": "head", "student_size": 320, "test_view": True, "loss": "cross-entropy", "teacher": ""}
    assert of("ssld/resnet50_vd-fix", wanted) == wanted


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_called_what_it_says(name: str) -> None:
    found = recipe(name)
    assert found.options.recipe == name
    assert found.about
    assert found.student in ("", *BACKBONES)
    assert ("/" in name) == bool(found.definition)


def test_every_row_is_there_once() -> None:
    assert {name.split("/")[1].split("-")[0] for name in RECIPES if "/" in name} == set(TABLE_2)
    assert {name for name in RECIPES if name.endswith("-released")} == {
        f"ssld/{student}{stage}-released" for student in RELEASED for stage in ("", "-stage2")
    }


def test_nothing_published_is_left_to_the_defaults() -> None:
    said = {word.arg for word in ast.walk(ast.parse(inspect.getsource(ssld))) if isinstance(word, ast.keyword)}
    assert said >= {*SMALL} - {"ema", "views"}


def test_a_name_spelt_wrong_is_told_the_nearest() -> None:
    with pytest.raises(UnknownName, match="ssld/mobilenet_v3_large") as error:
        limbeck.recipes("ssld/mobilenetv3_large")
    assert error.value.hint == "limbeck recipes ssld/mobilenet_v3_large"


def test_from_python_by_name_and_by_part() -> None:
    assert [each.top1 for each in limbeck.recipes("ssld/mobilenet_v1-stage2-released")] == [77.89]
    assert len(limbeck.recipes()) == len(RECIPES)
    assert {each.student for each in recipes("hrnet")} == {"hrnet_w18_c", "se_hrnet_w64_c"}


def test_a_teacher_that_no_hub_has_is_converted_first() -> None:
    with pytest.raises(CheckpointError) as error:
        running.check(recipe("ssld/mobilenet_v1").options)
    assert error.value.hint == (
        "limbeck convert ResNet50_vd_ssld_pretrained.pdparams --out TEACHER, then --teacher TEACHER"
    )


@pytest.mark.parametrize("student", ["", "mobilenet_v1"])
def test_stage_two_wants_a_run(student: str) -> None:
    options = recipe("ssld/resnet50_vd-fix").options
    with pytest.raises(OptionError, match="--student") as error:
        running.check(Distill(**vars(options) | {"student": student}))
    assert "ssld/resnet50_vd-stage2`" in error.value.expected
    assert error.value.hint == "--student RUN"


@pytest.mark.parametrize(
    ("given", "epochs", "steps"), [({}, 4, 0), ({"epochs": 30}, 1, 0), ({"steps": 1000}, 4, 10), ({"steps": 9}, 4, 1)]
)
def test_a_shorter_schedule(given: dict[str, int], epochs: int, steps: int, capsys: pytest.CaptureFixture[str]) -> None:
    short = running.scaled(Distill(**given, scale=0.01))  # type: ignore[arg-type]
    assert (short.epochs, short.steps, short.warmup_epochs, short.scale) == (epochs, steps, 0.05, 1.0)
    assert "--scale 0.01" in capsys.readouterr().out
