"""limbeck distill, when all goes well: what goes in, what comes out."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from torch import nn

import limbeck
from limbeck import cli
from limbeck.commands import distill
from limbeck.report.page import Compared
from limbeck.ssld.job import Job
from limbeck.ssld.options import Distill
from tests.commands.tiny import CLASSES, draw, line, options, records, run, weights


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, photos: Path, teacher: Path, labelled: Path) -> Path:
    """A run with everything that can be watched."""
    out = tmp_path_factory.mktemp("whole") / "run"
    (photos / "torn.jpg").write_bytes((photos / "disc_0.jpg").read_bytes()[:200])
    run(photos, teacher, out, epochs=6, probe=0.2, eval=str(labelled), track=("tensorboard",))
    return out


@pytest.fixture(autouse=True, scope="module")
def no_torn_photo(photos: Path) -> Any:
    yield
    (photos / "torn.jpg").unlink(missing_ok=True)


def test_the_run_folder(whole: Path) -> None:
    files = {str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file()}
    boards = {name for name in files if name.startswith("tensorboard/")}
    assert any("events.out.tfevents" in name for name in boards)
    assert files - boards == {
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "report.html",
        "skipped.csv",
        "last/manifest.arrow",
        "last/manifest.skipped.arrow",
        "last/state.safetensors",
        "last/teacher.json",
        "last/trackers.json",
        "student/card.json",
        "student/model.safetensors",
    }
    rows = list(csv.reader((whole / "skipped.csv").read_text().splitlines()))
    assert rows[0] == ["path", "reason"]
    assert [Path(path).name for path, _ in rows[1:]] == ["torn.jpg"]
    assert rows[1][1]
    assert {"python", "packages", "threads"} <= set(json.loads((whole / "environment.json").read_text()))
    assert "<svg" in (whole / "report.html").read_text()


def test_the_student_follows_its_teacher(whole: Path) -> None:
    lines = [json.loads(text) for text in (whole / "metrics.jsonl").read_text().splitlines()]
    steps = [each for each in lines if "loss" in each]
    evaluations = [each for each in lines if "probe_js" in each]
    assert [each["step"] for each in steps] == list(range(1, 6 * 5 + 1))
    assert {"loss", "agreement", "lr", "images_per_second", "data_wait", "epoch"} <= set(steps[0])
    assert [each["step"] for each in evaluations] == [5, 10, 15, 20, 25, 30]
    assert evaluations[-1]["probe_agreement"] >= 0.75
    assert evaluations[-1]["probe_js"] < evaluations[0]["probe_js"]
    assert evaluations[-1]["top1"] >= 0.75
    assert evaluations[-1]["top5"] == 1.0


def test_plain_timm_loads_the_student_by_the_card(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = json.loads((whole / "student" / "card.json").read_text())
    assert tuple(card["classes"]) == CLASSES
    monkeypatch.chdir(whole / "student")
    model = eval(card["load"], {"timm": timm})  # noqa: S307
    plain = timm.create_model("test_resnet", num_classes=4)
    plain.load_state_dict(safetensors.torch.load_file("model.safetensors"), strict=True)
    images = torch.randn(2, 3, 32, 32)
    ours = limbeck.load(whole)
    with torch.no_grad():
        assert torch.equal(model.eval()(images), ours.model(images))
        assert torch.equal(plain.eval()(images), ours.model(images))
    assert ours.preprocess.size == (32, 32)


def test_its_answers_are_right(whole: Path, tmp_path: Path) -> None:
    fresh = draw(tmp_path / "fresh", 6, seed=5)
    answers = limbeck.load(whole).predict(sorted(fresh.iterdir()))
    right = [Path(answer.name).name.startswith(answer.classes[0]) for answer in answers]
    assert sum(right) >= 18


def test_the_command_the_function_and_the_config_are_one(
    photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    called = run(photos, teacher, tmp_path / "called", epochs=1, crop_ratio=(0.9, 1.1))
    cli.main(line(options(photos, teacher, tmp_path / "typed", epochs=1, crop_ratio=(0.9, 1.1))))
    said = capsys.readouterr().out.splitlines()
    cli.main(["distill", "--config", str(tmp_path / "called" / "config.json"), "--out", str(tmp_path / "again")])
    assert weights(tmp_path / "called") == weights(tmp_path / "typed") == weights(tmp_path / "again")
    state = safetensors.torch.load_file(tmp_path / "typed" / "student" / "model.safetensors")
    assert all(torch.equal(value, state[name]) for name, value in called.model.state_dict().items())
    assert not called.model.training
    assert said[-1] == f"next: limbeck predict {tmp_path / 'typed'} PHOTO..."
    cli.main(
        ["distill", "--config", str(tmp_path / "called" / "config.json"), "--out", str(tmp_path / "other"), "--seed=1"]
    )
    assert weights(tmp_path / "other") != weights(tmp_path / "called")


def test_the_defaults_are_the_papers() -> None:
    for recipe, decay, colour in (("ssld_small", 1e-5, "none"), ("ssld_large", 4e-5, "autoaugment")):
        chosen = distill.starting_point(recipe)
        assert (chosen.momentum, chosen.batch, chosen.lr, chosen.warmup_epochs) == (0.9, 256, 0.1, 5)
        assert (chosen.epochs, chosen.crop_scale, chosen.crop_ratio) == (360, (0.08, 1.0), (3 / 4, 4 / 3))
        assert (chosen.weight_decay, chosen.colour, chosen.flip, chosen.decay_norm) == (decay, colour, 0.5, False)
    assert distill.starting_point() == replace(Distill(), recipe="ssld_small")


@pytest.mark.parametrize("loss", ["js", "jeffreys", "kl", "soft-ce"])
def test_every_loss_learns_one_batch(loss: str, teacher: Path, tmp_path: Path) -> None:
    few = draw(tmp_path / "few", 4, seed=3)
    rate = {"js": 1.6, "jeffreys": 0.2, "kl": 0.4, "soft-ce": 0.4}[loss]
    still: dict[str, Any] = {"crop_scale": (1.0, 1.0), "flip": 0.0, "views": 1}
    run(few, teacher, tmp_path / "run", loss=loss, epochs=25, lr=rate * 16, save_every=99, **still)
    lines = records(tmp_path / "run")
    assert lines[-1]["agreement"] == 1.0
    if loss == "soft-ce":  # its least value is the entropy of the teacher
        assert lines[-1]["loss"] < lines[0]["loss"] - 0.5
    else:
        assert lines[-1]["loss"] < 0.1 * lines[0]["loss"]


@pytest.mark.parametrize("student", ["test_efficientnet", "test_vit"])
def test_other_students(student: str, photos: Path, teacher: Path, tmp_path: Path) -> None:
    loaded = run(photos, teacher, tmp_path / "run", student=student, epochs=1)
    assert len(records(tmp_path / "run")) == 6
    assert loaded.card.load_line.startswith(f"timm.create_model('{student}'")
    assert loaded.predict(sorted(photos.glob("disc*"))[:2])[0].classes


def test_a_part_of_an_epoch(photos: Path, teacher: Path, tmp_path: Path) -> None:
    run(photos, teacher, tmp_path / "run", steps=4, log_every=20)
    (last,) = records(tmp_path / "run")
    assert last["step"] == 4
    assert 0 < last["lr"] < 0.03


def test_parts_of_a_batch_add_up(photos: Path, teacher: Path, tmp_path: Path) -> None:
    shared: dict[str, Any] = {"student": "test_vit", "steps": 6}
    whole = run(photos, teacher, tmp_path / "whole", **shared).model.state_dict()
    parts = run(photos, teacher, tmp_path / "parts", accumulate=3, **shared).model.state_dict()
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-4, atol=1e-6)
    for one, other in zip(records(tmp_path / "whole"), records(tmp_path / "parts"), strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)


def test_the_moving_average_is_what_is_shipped(photos: Path, teacher: Path, tmp_path: Path) -> None:
    run(photos, teacher, tmp_path / "run", ema=0.9, steps=6)
    state = safetensors.torch.load_file(tmp_path / "run" / "last" / "state.safetensors")
    shipped = safetensors.torch.load_file(tmp_path / "run" / "student" / "model.safetensors")
    assert all(torch.equal(value, state[f"average/{name}"]) for name, value in shipped.items())
    assert any(not torch.equal(value, state[f"student/{name}"]) for name, value in shipped.items())


def test_one_read_serves_several_views(photos: Path, teacher: Path, tmp_path: Path) -> None:
    for views in (0, 4):
        run(photos, teacher, tmp_path / f"run{views}", crops_per_read=2, views=views, epochs=2)
    assert weights(tmp_path / "run0") != weights(tmp_path / "run4"), "labels from a store are rounded"
    one, other = (records(tmp_path / name) for name in ("run0", "run4"))
    assert [a["loss"] for a in one] == pytest.approx([b["loss"] for b in other], rel=0.01), "the views are the same"


def test_colour_policies(photos: Path, teacher: Path, tmp_path: Path) -> None:
    large = {"recipe": "ssld_large", "colour": "autoaugment"}
    run(photos, teacher, tmp_path / "run", steps=3, **large)
    run(photos, teacher, tmp_path / "plain", steps=3)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["weight_decay"] == 4e-5
    assert records(tmp_path / "run")[0]["loss"] != records(tmp_path / "plain")[0]["loss"]


def test_a_module_from_python_teaches_as_its_checkpoint_does(photos: Path, teacher: Path, tmp_path: Path) -> None:
    module = limbeck.load(teacher).model.train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    limbeck.distill(**options(photos, module, tmp_path / "module", steps=4, teacher_size=32))
    run(photos, teacher, tmp_path / "checkpoint", steps=4)
    assert weights(tmp_path / "module") == weights(tmp_path / "checkpoint")
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_a_teacher_whose_norms_look_at_the_batch(photos: Path, teacher: Path, tmp_path: Path) -> None:
    still = limbeck.load(teacher).model.state_dict()
    moved: list[bool] = []

    def look(job: Job, model: nn.Module) -> list[Compared]:
        assert job.teaching is not None
        (member,) = job.teaching.teacher.members
        state = member.model.state_dict()  # type: ignore[attr-defined]
        moved.append(any(not torch.equal(state[name], still[name]) for name in still if "running" in name))
        return []

    for norm in ("frozen", "batch"):
        given = options(photos, teacher, tmp_path / norm, teacher_norm=norm, steps=3)
        distill.run(Distill(**given | {"images": (str(photos),)}), compare=look)
    assert moved == [False, True]
    assert records(tmp_path / "batch")[0]["loss"] != records(tmp_path / "frozen")[0]["loss"]


def test_several_teachers_answer_with_the_mean(photos: Path, teacher: Path, tmp_path: Path) -> None:
    loaded = run(photos, f"{teacher}, {teacher}", tmp_path / "twice", steps=4)
    run(photos, teacher, tmp_path / "once", steps=4)
    assert loaded.card.provenance["teacher"].count("test_resnet") == 2
    for one, other in zip(records(tmp_path / "once"), records(tmp_path / "twice"), strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-4)


def test_an_onnx_file_teaches(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    rows = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)) * 6
    nodes = [
        onnx.helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        onnx.helper.make_node("Flatten", ["pooled"], ["flat"]),
        onnx.helper.make_node("MatMul", ["flat", "rows"], ["logits"]),
    ]
    told = [("images", ["batch", 3, 32, 32]), ("logits", ["batch", 4])]
    images, logits = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n, shape in told)
    graph = onnx.helper.make_graph(nodes, "t", [images], [logits], [onnx.numpy_helper.from_array(rows.numpy(), "rows")])
    file = tmp_path / "teacher.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9), file)
    loaded = run(photos, file, tmp_path / "run", epochs=3, teacher_precision="auto")
    lines = records(tmp_path / "run")
    assert lines[-1]["loss"] < lines[0]["loss"]
    said = capsys.readouterr().out
    assert "teacher.onnx does not say how its input is normalised" in said
    assert "student float32, teacher float32" in said
    assert loaded.classes == ("0", "1", "2", "3")


def test_a_student_goes_on_from_a_checkpoint(photos: Path, teacher: Path, tmp_path: Path) -> None:
    run(photos, teacher, tmp_path / "warm", student=str(teacher), steps=2)
    file = teacher / "student" / "model.safetensors"
    run(photos, teacher, tmp_path / "named", student_weights=str(file), steps=2)
    assert records(tmp_path / "warm")[0]["agreement"] >= 0.9
    assert weights(tmp_path / "warm") == weights(tmp_path / "named")
    module = limbeck.load(teacher).model  # which names no classes
    loaded = run(photos, module, tmp_path / "unnamed", student=str(teacher), steps=1, teacher_size=32)
    assert loaded.classes == CLASSES


def test_the_one_live_line(photos: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(photos, teacher, tmp_path / "run", steps=6, probe=0.1)
    (told,) = [text for text in capsys.readouterr().out.splitlines() if text.startswith("epoch ")]
    for part in ("epoch 1/1", "step 6/6", "loss ", "agreement ", "images/s", "data wait", "eta ", "probe agreement"):
        assert part in told


def test_how_often_it_evaluates_is_settled_and_told(photos: Path, teacher: Path, tmp_path: Path) -> None:
    run(photos, teacher, tmp_path / "run", epochs=5, evaluate_every=0, probe=0.1)
    told = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (told["evaluate_every"], told["resolved"]["evaluate_every"]) == (0, 4)  # six steps an epoch
    lines = [json.loads(text) for text in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [each["step"] for each in lines if "probe_js" in each] == [24, 30]
