"""The kinds of teachers: by name, a limbeck checkpoint, an ONNX file, a module. Told apart before they are loaded."""

import copy
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from limbeck.checkpoints.card import CARD, WEIGHTS, find, is_checkpoint, read_card
from limbeck.checkpoints.loaded import load
from limbeck.checkpoints.weights import PICKLES, fit_weights, read_weights
from limbeck.classification.models import (
    BUILDERS,
    HUB,
    Architecture,
    check_pretrained,
    class_names,
    classes_in,
    licence_of,
    preprocess_of,
    published,
    size_args,
)
from limbeck.console import console
from limbeck.errors import CheckpointError, OptionError, TeacherError, as_typed, counted
from limbeck.images.prepare import to_input
from limbeck.records import Preprocess
from limbeck.ssld.digests import file_digest

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Overrides:
    """What the user says about a teacher's input."""

    size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name, value in (("mean", self.mean), ("std", self.std)):
            if value is not None and len(value) != 3:
                raise OptionError(
                    f"--teacher-{name} has {counted(len(value), 'number')}",
                    expected="three, one a channel",
                    hint=f"--teacher-{name} 0.5 0.5 0.5",
                )

    def on(self, preprocess: Preprocess) -> Preprocess:
        given: dict[str, Any] = {"mean": self.mean, "std": self.std}
        given["size"] = (self.size, self.size) if self.size else None
        return replace(preprocess, **{name: value for name, value in given.items() if value})


class Network(ABC):
    """One loaded member."""

    description: str
    preprocess: Preprocess
    classes: int
    names: tuple[str, ...] | None
    licence: str | None
    parameters: int
    megabytes: float

    @abstractmethod
    def answer(self, images: Tensor, *, evaluation: bool = False) -> Tensor:
        """uint8 [B, 3, S, S] to log-probabilities, float32 [B, C], that autograd may use."""


class TorchNetwork(Network):
    """A module that answers with logits. With `batch_norm`, its batch norms use each training batch's statistics."""

    def __init__(
        self,
        model: nn.Module,
        preprocess: Preprocess,
        *,
        description: str,
        device: torch.device,
        precision: str,
        batch_norm: bool = False,
        names: Sequence[str] | None = None,
        licence: str | None = None,
    ) -> None:
        if precision not in ("float32", *_AUTOCAST):
            raise OptionError(
                f"--teacher-precision {precision}",
                expected=", ".join(("float32", *_AUTOCAST)),
                hint="--teacher-precision float32",
            )
        self.model = model.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
        self.preprocess, self.description, self.licence = preprocess, description, licence
        self._device, self._precision, self._batch_norm = device, precision, batch_norm
        self.parameters = sum(p.numel() for p in model.parameters())
        self.megabytes = sum(t.numel() * t.element_size() for t in model.state_dict().values()) / 1e6
        self.classes = self._count_classes()
        self.names = tuple(names) if names and len(names) == self.classes else None

    def answer(self, images: Tensor, *, evaluation: bool = False) -> Tensor:
        logits = self._logits(images, batch_norm=self._batch_norm and not evaluation)
        # outside of inference mode: such tensors can take part in the student's gradient
        return logits.float().log_softmax(dim=1)

    def _logits(self, images: Tensor, *, batch_norm: bool = False) -> Tensor:
        look = self.preprocess
        dtype = _AUTOCAST.get(self._precision)
        casting = torch.autocast(self._device.type, dtype=dtype) if dtype else nullcontext()
        if self._batch_norm:
            for module in self.model.modules():
                if isinstance(module, _BatchNorm):
                    module.training = batch_norm
        inputs = to_input(images.to(self._device), look.size, look.mean, look.std)
        with torch.inference_mode(), casting:
            logits: Tensor = self.model(inputs)
        return logits

    def _count_classes(self) -> int:
        blank = torch.zeros(1, 3, *self.preprocess.size, dtype=torch.uint8)
        try:
            logits = self._logits(blank)
        except (RuntimeError, ValueError, AssertionError) as error:
            height, width = self.preprocess.size
            raise TeacherError(
                f"the teacher {self.description} cannot take an image of {height} x {width}: {error}",
                expected="the input size that it was made for",
                hint="--teacher-size N",
            ) from error
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise TeacherError(
                f"the teacher {self.description} answers {found} to one image",
                expected="one row of logits, one a class",
                hint="a classifier with its head: its features alone cannot teach",
            )
        return int(logits.shape[1])


class Member(ABC):
    """A teacher that is not loaded yet."""

    @property
    @abstractmethod
    def description(self) -> str: ...

    @abstractmethod
    def identity(self) -> str:
        """All that its answers depend on, as text."""

    @property
    def assumption(self) -> str:
        """What nobody said of its input, and what is taken instead; nothing where all is known."""
        return ""

    @abstractmethod
    def load(self, device: torch.device, precision: str, batch_norm: bool) -> Network: ...


@dataclass(frozen=True)
class Named(Member):
    """A published architecture, with published weights or a file of weights."""

    architecture: Architecture
    weights: Path | None
    overrides: Overrides
    pretrained: bool

    @property
    def description(self) -> str:
        name = self.architecture.full_name
        if self.weights:
            return f"{name} ({self.weights.name})"
        return name if self.pretrained else f"{name} (untrained)"

    def identity(self) -> str:
        facts = published(self.architecture)
        source = file_digest(self.weights) if self.weights else facts.get("hf_hub_id") or facts.get("url")
        look = self.overrides.on(preprocess_of(facts))
        return _told(
            self.architecture.full_name, facts.get("tag"), source, self.pretrained, look.to_dict(), self.overrides
        )

    def load(self, device: torch.device, precision: str, batch_norm: bool) -> Network:
        model = self._from_file(self.weights) if self.weights else self._published()
        return TorchNetwork(
            model,
            self.overrides.on(preprocess_of(model)),
            description=self.description,
            device=device,
            precision=precision,
            batch_norm=batch_norm,
            names=class_names(model),
            licence=licence_of(model) if self.pretrained and not self.weights else None,
        )

    def _published(self) -> nn.Module:
        if self.pretrained:
            check_pretrained(self.architecture)
            console.print(f"weights of {self.architecture.full_name}: from the cache, or fetched now", markup=False)
        return self.architecture.build(pretrained=self.pretrained)

    def _from_file(self, file: Path) -> nn.Module:
        weights = read_weights(file)
        architecture = self.architecture.local()
        classes = classes_in(architecture, weights)
        if classes:
            architecture = replace(architecture, args={**architecture.args, "num_classes": classes})
        model = architecture.build()
        fit_weights(model, weights, str(file))
        return model


@dataclass(frozen=True)
class Checkpoint(Member):
    """A limbeck run or checkpoint folder."""

    folder: Path
    given: str
    overrides: Overrides

    @property
    def description(self) -> str:
        return f"{self.given} ({read_card(self.folder).architecture['name']})"

    def identity(self) -> str:
        look = self.overrides.on(read_card(self.folder).preprocess)
        return _told("checkpoint", file_digest(self.folder / WEIGHTS), look.to_dict())

    def load(self, device: torch.device, precision: str, batch_norm: bool) -> Network:
        loaded = load(self.folder)
        return TorchNetwork(
            loaded.model,
            self.overrides.on(loaded.preprocess),
            description=self.description,
            device=device,
            precision=precision,
            batch_norm=batch_norm,
            names=loaded.classes,
        )


@dataclass(frozen=True)
class OnnxFile(Member):
    """An ONNX file, run by onnxruntime."""

    file: Path
    overrides: Overrides

    @property
    def description(self) -> str:
        return self.file.name

    def identity(self) -> str:
        from limbeck.ssld.onnx_teacher import files_of

        return _told("onnx", [file_digest(file) for file in files_of(self.file)], self.overrides)

    @property
    def assumption(self) -> str:
        return _assumed(self.description, self.overrides)

    def load(self, device: torch.device, precision: str, batch_norm: bool) -> Network:
        from limbeck.ssld.onnx_teacher import OnnxNetwork

        if batch_norm:
            raise OptionError(
                f"--teacher-norm batch with {self.file}",
                expected="a PyTorch teacher: ONNX norms are frozen",
                hint="--teacher-norm frozen",
            )
        return OnnxNetwork(self.file, self.overrides, device)


@dataclass(frozen=True)
class Module(Member):
    """A module from Python that answers with logits."""

    module: nn.Module
    overrides: Overrides

    @property
    def description(self) -> str:
        return f"python:{type(self.module).__name__}"

    def identity(self) -> str:
        digest = blake2b(digest_size=16)
        for name, value in self.module.state_dict().items():
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        look = self.overrides.on(preprocess_of(self.module))
        kind = f"{type(self.module).__module__}.{type(self.module).__qualname__}"
        return _told(kind, digest.hexdigest(), look.to_dict())

    @property
    def assumption(self) -> str:
        return "" if getattr(self.module, "pretrained_cfg", None) else _assumed(self.description, self.overrides)

    def load(self, device: torch.device, precision: str, batch_norm: bool) -> Network:
        return TorchNetwork(
            copy.deepcopy(self.module),  # the user's own stays as it is
            self.overrides.on(preprocess_of(self.module)),
            description=self.description,
            device=device,
            precision=precision,
            batch_norm=batch_norm,
            names=class_names(self.module),
            licence=licence_of(self.module),
        )


def member_of(teacher: str | nn.Module, weights: str | None, overrides: Overrides, pretrained: bool) -> Member:
    """What a teacher's name means: a path that exists, an .onnx file, or a published architecture."""
    if weights and not (isinstance(teacher, str) and _is_name(teacher)):
        raise OptionError(
            f"--teacher-weights {weights} beside {teacher if isinstance(teacher, str) else 'a module'}",
            expected="weights for a teacher that is given by name; the others bring their own",
            hint="leave --teacher-weights out, or --teacher NAME",
        )
    if isinstance(teacher, nn.Module):
        return Module(teacher, overrides)
    path = Path(teacher).expanduser()
    if path.suffix == ".onnx":
        if not path.is_file():
            raise CheckpointError(
                f"no ONNX file at {path}",
                expected="an .onnx file that maps images to logits",
                hint="--teacher PATH/MODEL.onnx",
            )
        return OnnxFile(path, overrides)
    if is_checkpoint(path):
        return Checkpoint(find(path), teacher, overrides)
    if path.is_file():
        raise OptionError(
            f"the teacher {teacher} is a file",
            expected="a checkpoint made of it, or the name of its model beside it",
            hint=f"limbeck convert {teacher} --out CHECKPOINT; or --teacher NAME --teacher-weights {teacher}",
        )
    if _looks_like_path(teacher):
        raise _nothing_at(teacher)
    size = size_args(teacher, overrides.size) if overrides.size else {}
    return Named(
        Architecture.parse(teacher, args=size), Path(weights).expanduser() if weights else None, overrides, pretrained
    )


def _is_name(teacher: str) -> bool:
    path = Path(teacher).expanduser()
    return path.suffix != ".onnx" and not path.is_file() and not is_checkpoint(path)


def _looks_like_path(teacher: str) -> bool:
    """Only the builders' names have a separator in them; a folder may be called like a model."""
    if teacher.startswith(HUB) or teacher.partition("/")[0].lower() in BUILDERS:
        return False
    return os.sep in teacher or teacher.startswith((".", "~")) or teacher.endswith((".safetensors", *PICKLES))


def _nothing_at(teacher: str) -> CheckpointError:
    """Where a path leads to no teacher; ORG/NAME may also be meant as a model of the hub."""
    if teacher.endswith((".safetensors", *PICKLES)):
        return CheckpointError(
            f"no file at {teacher}",
            expected="a file of weights, beside the name of its model",
            hint="--teacher NAME --teacher-weights FILE",
        )
    of_the_hub = re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", teacher) and not Path(teacher).parent.exists()
    return CheckpointError(
        f"no run or checkpoint at {teacher}",
        expected=f"the folder of a `limbeck distill` run, with {WEIGHTS} and {CARD} in its folder student",
        hint="--teacher RUN, or a name: limbeck models PATTERN" + (f", --teacher {HUB}{teacher}" if of_the_hub else ""),
    )


def _assumed(teacher: str, overrides: Overrides) -> str:
    usual = Preprocess((224, 224))
    lacking = [(word, name) for word, name in (("mean", "mean"), ("deviation", "std")) if not getattr(overrides, name)]
    if not lacking:
        return ""
    told = " and ".join(f"{word} {as_typed(getattr(usual, name))}" for word, name in lacking)
    others = " ".join(f"--teacher-{name} R G B" for _, name in lacking)
    return f"{teacher} does not say how its input is normalised: ImageNet's {told} (another: {others})"


def _told(*facts: Any) -> str:
    plain = [asdict(fact) if isinstance(fact, Overrides) else fact for fact in facts]
    return json.dumps(plain, sort_keys=True)
