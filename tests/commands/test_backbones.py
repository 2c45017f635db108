"""The paper's networks in a run: as students, and as a teacher of a file of weights."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from limbeck.backbones import BACKBONES
from limbeck.backbones.same import SAME_IN_TIMM, definition_of
from limbeck.checkpoints.backbone import backbone
from limbeck.checkpoints.loaded import load
from limbeck.classification.models import Architecture, build, outline
from limbeck.cli import main
from tests.commands.tiny import line, options

SMALL = [name for name in BACKBONES if name.startswith("mobilenet")]


@pytest.mark.parametrize("student", SMALL)
def test_two_steps_of_a_student(photos: Path, teacher: Path, tmp_path: Path, student: str) -> None:
    given = options(photos, teacher, tmp_path / "run", student=student, batch=8, save_every=99)
    del given["epochs"]
    main(line(given | {"steps": 2, "cache": str(tmp_path / "cache")}))
    shipped = load(tmp_path / "run")
    assert (shipped.card.architecture["builder"], shipped.card.architecture["name"]) == ("limbeck", student)
    assert shipped.preprocess.size == (32, 32)
    assert len(shipped.predict(photos / "disc_0.jpg")[0].classes) == 4
    maps = backbone(tmp_path / "run", strides=(8, 16, 32)).eval()
    assert [each.shape[2] for each in maps(torch.zeros(1, 3, 64, 64))] == [8, 4, 2]


def test_a_teacher_of_the_paper_by_its_name_and_a_file(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = tmp_path / "teacher.safetensors"
    save_file(build("resnet50_vd", classes=6).state_dict(), file)
    given = options(photos, "resnet50_vd", tmp_path / "run", batch=8, save_every=99, student="mobilenet_v3_large")
    del given["epochs"]
    more = {"teacher_weights": str(file), "teacher_size": 32, "check_teacher": False, "steps": 2}
    main(line(given | more | {"cache": str(tmp_path / "cache")}))
    shipped = load(tmp_path / "run")
    assert len(shipped.classes) == 6
    assert "limbeck/resnet50_vd (teacher.safetensors)" in str(shipped.card.provenance)


def test_the_guide_tells_what_is_so(teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "backbones.md").read_text()
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in guide.splitlines() if row.startswith("| `")]
    assert [row[0].strip("`") for row in rows] == list(BACKBONES)
    for name, definition, same, parameters, _ in rows:
        name = name.strip("`")
        assert definition == definition_of(name)
        theirs, args = SAME_IN_TIMM.get(name, ("no", {}))
        assert same.replace("`", "") == ", ".join([theirs, *(f"{key}={value!r}" for key, value in args.items())])
        network = outline(Architecture.parse(name))
        assert parameters == f"{sum(each.numel() for each in network.parameters()) / 1e6:.2f}"
    (code,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    (tmp_path / "run").symlink_to(teacher)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
