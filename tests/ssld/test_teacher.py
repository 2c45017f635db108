"""Teachers of every kind: what they are, what they answer, and when they cannot teach."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from limbeck.checkpoints.card import Card, save
from limbeck.classification.models import build, preprocess_of
from limbeck.errors import CheckpointError, LimbeckError, OptionError, TeacherError, UnknownName, UnsafeFile
from limbeck.images.prepare import to_input
from limbeck.records import Preprocess
from limbeck.ssld.onnx_teacher import files_of
from limbeck.ssld.teacher import TeacherSpec, check_answers, check_classes


@pytest.fixture(scope="module")
def photos() -> Tensor:
    """Views with structure at every scale."""
    generator = torch.Generator().manual_seed(0)
    noise = [torch.rand(6, 3, n, n, generator=generator) for n in (2, 8, 32, 160)]
    grown = [nn.functional.interpolate(each, (160, 160), mode="bilinear") for each in noise]
    return (torch.stack(grown).mean(0) * 255).to(torch.uint8)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    file = tmp_path / "resnet.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=9).state_dict(), file)
    return file


class Brightness(nn.Module):
    """Two logits from the mean of the normalised image; counts how often it is asked."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.asked = 0

    def forward(self, images: Tensor) -> Tensor:
        self.asked += 1
        mean = images.mean((1, 2, 3)) * self.scale
        return torch.stack([mean, -mean], dim=1)


def direct(model: nn.Module, photos: Tensor, look: Preprocess) -> Tensor:
    with torch.no_grad():
        return model.eval()(to_input(photos, look.size, look.mean, look.std)).log_softmax(1)


def test_a_file_of_weights_gives_the_class_count_and_the_answers(photos: Tensor, weights: Path) -> None:
    teacher = TeacherSpec.parse("test_resnet", weights=str(weights)).load()
    torch.manual_seed(1)
    model = timm.create_model("test_resnet", num_classes=9)
    assert (teacher.classes, teacher.names, teacher.size) == (9, None, 160)
    assert torch.allclose(teacher.log_probabilities(photos), direct(model, photos, preprocess_of(model)), atol=1e-6)
    assert teacher.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("name", "named"), [("test_resnet", True), ("lcnet_035", False)])
def test_a_file_of_a_thousand_classes_has_imagenet_s_names_where_its_architecture_does(
    name: str, named: bool, tmp_path: Path
) -> None:
    file = tmp_path / "weights.safetensors"
    save_file(timm.create_model(name).state_dict(), file)
    names = TeacherSpec.parse(name, weights=str(file)).load().names
    assert (names is not None and names[0] == "tench, Tinca tinca") == named


def test_answers_may_take_part_in_a_gradient(photos: Tensor) -> None:
    answers = TeacherSpec.parse(Brightness()).load().log_probabilities(photos)
    assert not answers.requires_grad
    assert not answers.is_inference()
    student = torch.zeros(2, requires_grad=True)
    (answers * student).sum().backward()
    assert student.grad is not None


@pytest.mark.parametrize("name", ["test_resnet", "torchvision/squeezenet1_1"])
def test_an_untrained_teacher_by_name(name: str, photos: Tensor) -> None:
    spec = TeacherSpec.parse(name, pretrained=False, size=96)
    teacher = spec.load("cpu", "bfloat16")
    answers = teacher.log_probabilities(photos)
    assert answers.dtype == torch.float32
    assert answers.shape == (6, 1000)
    assert torch.allclose(answers.exp().sum(1), torch.ones(6), atol=1e-4)
    assert teacher.names is not None
    assert teacher.preprocess.size == (96, 96)
    assert "untrained" in spec.description


def test_a_limbeck_run_teaches_with_its_own_classes(photos: Tensor, tmp_path: Path) -> None:
    model = build("test_resnet", classes=2)
    architecture = {"builder": "timm", "name": "test_resnet", "args": {}}
    look = Preprocess((64, 64), mean=(0.1, 0.2, 0.3))
    save(tmp_path / "run" / "student", model, Card(architecture, ["cat", "dog"], look))
    spec = TeacherSpec.parse(str(tmp_path / "run"))
    teacher = spec.load()
    assert (teacher.names, teacher.size) == (("cat", "dog"), 64)
    assert torch.allclose(teacher.log_probabilities(photos), direct(model, photos, look), atol=1e-5)
    shutil.copytree(tmp_path / "run", tmp_path / "moved")
    assert TeacherSpec.parse(str(tmp_path / "moved" / "student")).members[0].identity() == spec.members[0].identity()


def test_mean_and_deviation_are_the_member_s_own(photos: Tensor) -> None:
    plain = TeacherSpec.parse(Brightness(), size=32, mean=(0, 0, 0), std=(1, 1, 1)).load()
    expected = photos.float().div(255).mean((1, 2, 3))
    logits = torch.stack([expected, -expected], 1)
    assert torch.allclose(plain.log_probabilities(photos), logits.log_softmax(1), atol=1e-2)
    shifted = TeacherSpec.parse(Brightness(), size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)).load()
    logits = torch.stack([2 * expected - 1, 1 - 2 * expected], 1)
    assert torch.allclose(shifted.log_probabilities(photos), logits.log_softmax(1), atol=1e-2)


def test_an_ensemble_is_the_mean_of_probabilities(photos: Tensor) -> None:
    one, other = Brightness(4.0), Brightness(-1.0)
    both = TeacherSpec.parse([one, other]).load()
    apart = [TeacherSpec.parse(each).load().log_probabilities(photos).exp() for each in (one, other)]
    assert torch.allclose(both.log_probabilities(photos).exp(), torch.stack(apart).mean(0), atol=1e-6)
    assert both.parameters == 2


def test_each_member_of_an_ensemble_has_its_own_evaluation_view(photos: Tensor, weights: Path) -> None:
    twice = TeacherSpec.parse("test_resnet, test_resnet", weights=f"{weights},{weights}").load()
    assert len(twice.preprocesses) == 2
    answers = twice.evaluate([photos, photos.flip(0)])
    apart = [twice.members[0].answer(photos), twice.members[0].answer(photos.flip(0))]
    assert torch.allclose(answers.exp(), torch.stack(apart).exp().mean(0), atol=1e-6)


def test_members_that_answer_different_questions_are_told(weights: Path, tmp_path: Path) -> None:
    members = TeacherSpec.parse("test_resnet", weights=str(weights)).members + TeacherSpec.parse(Brightness()).members
    with pytest.raises(TeacherError, match=r"test_resnet.* 9, python:Brightness 2"):
        TeacherSpec(members).load()
    for name, classes in (("a", ["cat", "dog"]), ("b", ["dog", "cat"])):
        architecture = {"builder": "timm", "name": "test_resnet", "args": {}}
        save(tmp_path / name, build("test_resnet", classes=2), Card(architecture, classes, Preprocess((32, 32))))
    with pytest.raises(TeacherError, match="call 2 classes differently: 'cat' / 'dog'"):
        TeacherSpec.parse(f"{tmp_path / 'a'},{tmp_path / 'b'}").load()


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"mean": (0.5, 0.5, 0.5)}, False),
        ({"std": (0.5, 0.5, 0.5)}, False),
        ({"size": 96}, False),
        ({"norm": "batch"}, False),
    ],
)
def test_the_fingerprint_follows_what_the_answers_depend_on(weights: Path, change: dict[str, Any], same: bool) -> None:
    first = TeacherSpec.parse("test_resnet", weights=str(weights)).fingerprint
    copy = shutil.copy(weights, weights.with_name("copy.safetensors"))
    second = TeacherSpec.parse("test_resnet", weights=str(copy), **change).fingerprint
    assert (first.split()[-1] == second.split()[-1]) == same


def test_the_fingerprint_sees_changed_weights(weights: Path) -> None:
    before = TeacherSpec.parse("test_resnet", weights=str(weights)).fingerprint
    save_file(timm.create_model("test_resnet", num_classes=9).state_dict(), weights)
    assert TeacherSpec.parse("test_resnet", weights=str(weights)).fingerprint != before
    module = Brightness(1.0)
    before = TeacherSpec.parse(module).fingerprint
    assert TeacherSpec.parse(Brightness(1.0)).fingerprint == before
    assert TeacherSpec.parse(Brightness(2.0)).fingerprint != before
    assert module.asked == 0


@pytest.mark.parametrize(("field", "value"), [("crop_pct", 0.5), ("interpolation", "bilinear")])
def test_the_fingerprint_sees_how_the_evaluation_view_is_made(tmp_path: Path, field: str, value: Any) -> None:
    whole = build("test_resnet", classes=2)
    whole.pretrained_cfg = {"crop_pct": 1.0, "interpolation": "bicubic"}  # type: ignore[assignment]
    before = TeacherSpec.parse(whole).fingerprint
    card = {"builder": "timm", "name": "test_resnet", "args": {}}
    save(tmp_path / "a", whole, Card(card, ["cat", "dog"], preprocess_of(whole)))
    whole.pretrained_cfg |= {field: value}  # type: ignore[operator]
    assert TeacherSpec.parse(whole).fingerprint != before
    save(tmp_path / "b", whole, Card(card, ["cat", "dog"], preprocess_of(whole)))
    assert TeacherSpec.parse(str(tmp_path / "a")).fingerprint != TeacherSpec.parse(str(tmp_path / "b")).fingerprint


def test_published_weights_are_told_apart_without_fetching_them() -> None:
    names = ["resnet50d", "resnet50d.a1_in1k", "torchvision/resnet50", "torchvision/resnet50.IMAGENET1K_V1", "resnet18"]
    prints = [TeacherSpec.parse(name).fingerprint for name in [*names, "hf-hub:someone/something"]]
    assert len(set(prints)) == len(prints)
    assert TeacherSpec.parse("timm/resnet18").fingerprint == TeacherSpec.parse("resnet18").fingerprint


def test_batch_statistics_are_used_in_training_views_and_nowhere_else(photos: Tensor) -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=5, drop_rate=0.5)
    reference = timm.create_model("test_resnet", num_classes=5)
    reference.load_state_dict(model.state_dict())
    frozen = TeacherSpec.parse(model).load()
    look = frozen.preprocess
    calm = frozen.log_probabilities(photos)
    teacher = TeacherSpec.parse(model, norm="batch").load()
    assert torch.equal(teacher.evaluate([photos]), calm)
    with torch.no_grad():
        reference.train()
        expected = reference(to_input(photos, look.size, look.mean, look.std)).log_softmax(1)
    assert torch.allclose(teacher.log_probabilities(photos), expected, atol=1e-5)
    # the running statistics follow, as in the released code, and dropout stays off
    (member,) = teacher.members
    moved = {k: v for k, v in member.model.state_dict().items() if "running" in k}
    assert all(torch.allclose(value, reference.state_dict()[name], atol=1e-5) for name, value in moved.items())
    assert torch.allclose(teacher.log_probabilities(photos), expected, atol=1e-5)
    assert not torch.allclose(teacher.evaluate([photos]), calm)


class TestOnnx:
    @staticmethod
    def export(file: Path, *, batch: int | None = None, softmax: bool = False) -> nn.Module:
        pytest.importorskip("onnxruntime")
        helper = pytest.importorskip("onnx").helper
        import onnx

        shape = [batch or "batch", 3, 32, 32]
        rows = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)) * 3
        nodes = [
            helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "rows"], ["logits"]),
        ]
        if softmax:
            nodes.append(helper.make_node("Softmax", ["logits"], ["answers"], axis=1))
        out = "answers" if softmax else "logits"
        graph = helper.make_graph(
            nodes,
            "teacher",
            [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(out, onnx.TensorProto.FLOAT, [batch or "batch", 5])],
            [onnx.numpy_helper.from_array(rows.numpy(), "rows")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, str(file))
        twin = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5, bias=False))
        twin[2].weight.data = rows.T.contiguous()  # type: ignore[union-attr]
        return twin

    @pytest.mark.parametrize("batch", [None, 4])
    @pytest.mark.parametrize("softmax", [False, True])
    def test_it_answers_as_the_module_would(
        self, photos: Tensor, tmp_path: Path, batch: int | None, softmax: bool
    ) -> None:
        file = tmp_path / "teacher.onnx"
        twin = self.export(file, batch=batch, softmax=softmax)
        spec = TeacherSpec.parse(str(file))
        teacher = spec.load()
        assert (teacher.classes, teacher.size, teacher.parameters) == (5, 32, 15)
        expected = direct(twin, photos, Preprocess((32, 32)))
        assert torch.allclose(teacher.log_probabilities(photos), expected, atol=1e-5)
        assert spec.fingerprint == TeacherSpec.parse(str(file)).fingerprint
        assert spec.fingerprint != TeacherSpec.parse(str(file), mean=(0, 0, 0.1)).fingerprint

    def test_weights_in_other_files_are_part_of_it(self, tmp_path: Path) -> None:
        file = tmp_path / "teacher.onnx"
        self.export(file)
        import onnx

        model = onnx.load(str(file))
        (rows,) = model.graph.initializer
        location = f"weights/{'long' * 40}.bin"  # a length of two bytes
        onnx.external_data_helper.set_external_data(rows, location)
        data = tmp_path / location
        data.parent.mkdir()
        data.write_bytes(rows.raw_data)
        rows.ClearField("raw_data")
        file.write_bytes(model.SerializeToString())
        assert TeacherSpec.parse(str(file)).load().classes == 5
        before = TeacherSpec.parse(str(file)).fingerprint
        assert files_of(file) == [file, data]
        data.write_bytes(bytes(60))
        assert TeacherSpec.parse(str(file)).fingerprint != before
        data.unlink()
        with pytest.raises(CheckpointError, match="not beside it"):
            _ = TeacherSpec.parse(str(file)).fingerprint

    @pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "a/../../secret", "C:\\secret", "..\\secret"])
    def test_weights_outside_of_its_folder_are_refused(self, location: str, tmp_path: Path) -> None:
        file = tmp_path / "teacher.onnx"
        self.export(file)
        import onnx

        model = onnx.load(str(file))
        onnx.external_data_helper.set_external_data(model.graph.initializer[0], location)
        file.write_bytes(model.SerializeToString())
        with pytest.raises(UnsafeFile, match="would read"):
            _ = TeacherSpec.parse(str(file)).fingerprint
        with pytest.raises(UnsafeFile, match="would read"):
            TeacherSpec.parse(str(file)).load()

    def test_what_it_cannot_do_is_told(self, tmp_path: Path) -> None:
        file = tmp_path / "teacher.onnx"
        self.export(file)
        with pytest.raises(OptionError, match="takes 32 x 32"):
            TeacherSpec.parse(str(file), size=64).load()
        with pytest.raises(OptionError, match="--teacher-norm batch"):
            TeacherSpec.parse(str(file), norm="batch").load()
        file.write_bytes(b"no model")
        with pytest.raises(TeacherError, match="cannot be read"):
            TeacherSpec.parse(str(file)).load()


@pytest.mark.parametrize(
    ("teacher", "options", "error", "told"),
    [
        ("resnt50", {}, UnknownName, "resnet50"),
        ("", {}, OptionError, "--teacher resnet50d"),
        ("./no/run", {}, CheckpointError, "limbeck distill"),
        ("none.onnx", {}, CheckpointError, "no ONNX file"),
        ("resnet18", {"weights": "a.pth,b.pth"}, OptionError, "1 teacher and 2 files"),
        ("none.onnx", {"weights": "a.pth"}, OptionError, "--teacher-weights"),
        ("resnet18", {"mean": (0.5,)}, OptionError, "three, one a channel"),
    ],
)
def test_what_is_no_teacher_is_told(
    teacher: str, options: dict[str, Any], error: type[LimbeckError], told: str
) -> None:
    with pytest.raises(error) as raised:
        TeacherSpec.parse(teacher, **options)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("teacher", "found", "hint"),
    [
        ("runs/gone", "no run or checkpoint at runs/gone", "--teacher RUN"),
        ("./gone", "no run or checkpoint at ./gone", "--teacher RUN"),
        ("~/gone", "no run or checkpoint at ~/gone", "--teacher RUN"),
        ("/nowhere/gone", "no run or checkpoint at /nowhere/gone", "--teacher RUN"),
        ("facebook/dinov2-small", "no run or checkpoint at facebook/dinov2-small", "hf-hub:facebook/dinov2-small"),
        ("gone.safetensors", "no file at gone.safetensors", "--teacher NAME --teacher-weights FILE"),
        ("runs/gone.pth", "no file at runs/gone.pth", "--teacher NAME --teacher-weights FILE"),
        ("gone/net.onnx", "no ONNX file at gone/net.onnx", "--teacher PATH/MODEL.onnx"),
        ("timm/resnt50", "unknown model 'resnt50'", "limbeck models"),
        ("torchvision/resnt50", "unknown model 'torchvision/resnt50'", "limbeck models"),
        ("ResNt50", "unknown model 'ResNt50'", "limbeck models"),
    ],
)
def test_a_path_that_leads_nowhere_is_no_unknown_name(
    teacher: str, found: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LimbeckError) as error:
        TeacherSpec.parse(teacher)
    assert error.value.found == found
    assert hint in error.value.hint
    assert ("hf-hub:" in error.value.hint) == (teacher == "facebook/dinov2-small")
    if "unknown" in found:
        assert "resnet50" in error.value.expected


def test_what_is_assumed_of_an_input_is_told(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").touch()
    spec = TeacherSpec.parse(f"{tmp_path / 'net.onnx'},resnet18")
    assert not spec.only_float32
    (told,) = spec.assumptions
    assert told == (
        "net.onnx does not say how its input is normalised: ImageNet's mean 0.485 0.456 0.406 and deviation "
        "0.229 0.224 0.225 (another: --teacher-mean R G B --teacher-std R G B)"
    )
    onnx = TeacherSpec.parse(str(tmp_path / "net.onnx"), mean=(0.5, 0.5, 0.5))
    assert onnx.only_float32
    assert onnx.assumptions == [
        "net.onnx does not say how its input is normalised: ImageNet's deviation 0.229 0.224 0.225 "
        "(another: --teacher-std R G B)"
    ]
    both = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    assert TeacherSpec.parse(str(tmp_path / "net.onnx"), **both).assumptions == []
    assert TeacherSpec.parse(Brightness()).assumptions
    assert TeacherSpec.parse(build("test_resnet")).assumptions == []


def test_other_misunderstandings_are_told(weights: Path) -> None:
    with pytest.raises(OptionError, match="--teacher NAME --teacher-weights"):
        TeacherSpec.parse(str(weights))
    with pytest.raises(CheckpointError, match="no file"):
        TeacherSpec.parse("test_resnet", weights="none.safetensors").load()
    with pytest.raises(CheckpointError, match="do not fit"):
        TeacherSpec.parse("test_vit", weights=str(weights)).load()
    with pytest.raises(TeacherError, match="one row of logits"):
        TeacherSpec.parse(nn.Conv2d(3, 4, 3)).load()
    with pytest.raises(TeacherError, match="--teacher-size"):
        TeacherSpec.parse(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4))).load()
    with pytest.raises(OptionError, match="--teacher-precision int8"):
        TeacherSpec.parse(Brightness()).load("cpu", "int8")


def test_students_of_another_class_count_are_told() -> None:
    with pytest.raises(OptionError, match="2 classes and the teacher 3"):
        check_classes(["a", "b"], ["a", "b", "c"])
    with pytest.raises(OptionError, match="a / b, b / a"):
        check_classes(["a", "b"], ["b", "a"])


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "resnet18", "convnext_atto", "torchvision/resnet18"])
@pytest.mark.parametrize("classes", [10, 1000])
def test_untrained_networks_are_caught(name: str, classes: int, photos: Tensor) -> None:
    torch.manual_seed(classes)
    teacher = TeacherSpec.parse(build(name, classes=classes), size=160).load()
    with pytest.raises(TeacherError, match="--no-check-teacher"):
        check_answers(teacher.log_probabilities(photos))


def test_a_network_blinded_by_its_normalisation_is_caught(photos: Tensor) -> None:
    torch.manual_seed(0)
    blind = nn.Sequential(nn.Flatten(), nn.Linear(3 * 160 * 160, 8), nn.Sigmoid(), nn.Linear(8, 10))
    teacher = TeacherSpec.parse(blind, size=160, mean=(-1e4, -1e4, -1e4)).load()
    with pytest.raises(TeacherError, match="--teacher-mean"):
        check_answers(teacher.log_probabilities(photos))


def test_one_class_for_all_is_caught() -> None:
    logits = torch.randn(64, 10)
    logits[:, 3] += 40
    with pytest.raises(TeacherError, match="one constant answer to 64 photos: class 3"):
        check_answers(logits.log_softmax(1))


def test_numbers_that_are_none_are_caught() -> None:
    answers = torch.randn(64, 10).log_softmax(1)
    answers[5] = math.nan
    with pytest.raises(TeacherError, match="1 of 64 photos are not numbers"):
        check_answers(answers)


@pytest.mark.parametrize("classes", [2, 10, 1000, 21841])
@pytest.mark.parametrize("present", [1, 2, 10])
@pytest.mark.parametrize("sureness", [0.6, 0.9, 0.99])
def test_sure_and_unsure_teachers_pass_even_when_few_classes_are_there(
    classes: int, present: int, sureness: float
) -> None:
    generator = torch.Generator().manual_seed(classes + present)
    truth = torch.randint(min(present, classes), (64,), generator=generator)
    logits = torch.randn(64, classes, generator=generator)
    rest = logits.scatter(1, truth[:, None], -math.inf).logsumexp(1)
    logits[torch.arange(64), truth] = rest + math.log(sureness / (1 - sureness)) + torch.randn(64, generator=generator)
    check_answers(logits.log_softmax(1))


def test_a_trained_network_passes(photos: Tensor) -> None:
    torch.manual_seed(0)
    model = build("test_resnet", classes=2)
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % 2
    tint = torch.tensor([[60.0, 0, 0], [0, 0, 60]])[labels][:, :, None, None]
    images = (torch.rand(64, 3, 32, 32, generator=generator) * 190 + tint).to(torch.uint8)
    look = preprocess_of(model)
    inputs = to_input(images, (32, 32), look.mean, look.std)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(12):
        loss = nn.functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    check_answers(TeacherSpec.parse(model, size=32).load().log_probabilities(images))
