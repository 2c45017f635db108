"""Classifiers by name: the paper's own, timm's, torchvision's and the Hugging Face hub's."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import prod
from typing import Any

import timm
import torch
import torchvision.models as vision
from timm.models import get_arch_pretrained_cfgs, load_model_config_from_hf
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from limbeck.backbones import BACKBONES
from limbeck.backbones.same import PUBLISHED, config_of, with_published
from limbeck.classification.hub import hub
from limbeck.classification.names import imagenet_names
from limbeck.errors import CheckpointError, OptionError, unknown_name
from limbeck.records import Preprocess
from limbeck.tables import look_up

HUB = "hf-hub:"
BUILDERS = ("timm", "torchvision", "limbeck")
_IMAGENET = re.compile(r"in\d+k|IMAGENET1K")  # in the tags of timm, and of torchvision
_OFFLINE = "give the weights by path: --teacher-weights FILE, or --student-weights FILE"


@dataclass(frozen=True)
class Architecture:
    """What it takes to build a classifier again: who builds it, its name there, and the arguments.

    >>> Architecture.parse("timm/test_resnet", classes=10)
    Architecture(builder='timm', name='test_resnet', args={'num_classes': 10})
    """

    builder: str
    name: str
    args: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, name: str, *, classes: int | None = None, args: Mapping[str, Any] | None = None) -> "Architecture":
        """`NAME` of BACKBONES or timm, `timm/NAME`, `torchvision/NAME`, `limbeck/NAME` or `hf-hub:ORG/NAME`."""
        builder, local = _split(name)
        given = dict(args or {})
        if classes is not None:
            given["num_classes"] = classes
        return cls(builder, local, given)

    @property
    def fetched(self) -> bool:
        """Even its description is on the hub."""
        return self.name.startswith(HUB)

    @property
    def full_name(self) -> str:
        return self.name if self.fetched else f"{self.builder}/{self.name}"

    def local(self) -> "Architecture":
        """The same model without the hub: the architecture behind a hub name, with the arguments written there."""
        if not self.fetched:
            return self
        with hub() as away:
            try:
                _, name, args = load_model_config_from_hf(self.name.removeprefix(HUB))
            except Exception as error:
                raise _not_fetched(self.full_name, error, away) from error
        return Architecture("timm", name, {**(args or {}), **self.args})

    def build(self, *, pretrained: bool = False) -> nn.Module:
        """The model, with random weights unless `pretrained`."""
        if pretrained:
            check_pretrained(self)
        if self.builder != "torchvision" and (pretrained or self.fetched):
            with hub() as away:
                return self._build(pretrained, away)
        return self._build(pretrained)

    def _build(self, pretrained: bool, away: str = "") -> nn.Module:
        try:
            makers = {"timm": _build_timm, "torchvision": _build_torchvision, "limbeck": _build_limbeck}
            return makers[self.builder](self.name, pretrained, self.args)
        except Exception as error:
            if pretrained or self.fetched:
                raise _not_fetched(self.full_name, error, away) from error
            if isinstance(error, TypeError):
                raise OptionError(
                    f"{self.full_name} takes no such arguments: {self.args}",
                    expected=str(error),
                    hint="--student-args without them",
                ) from error
            raise


def build(
    name: str, *, classes: int | None = None, pretrained: bool = False, args: Mapping[str, Any] | None = None
) -> nn.Module:
    """A classifier by name, with a head of `classes` classes.

    >>> sum(p.numel() for p in build("test_resnet", classes=10).parameters())
    373658
    """
    return Architecture.parse(name, classes=classes, args=args).build(pretrained=pretrained)


def size_args(name: str, size: int) -> dict[str, Any]:
    """The builder's argument for an input size, where a model fixes it when it is built.

    >>> size_args("test_vit", 96), size_args("test_resnet", 96)
    ({'img_size': 96}, {})
    """
    builder, local = _split(name)
    if builder == "torchvision":
        return {"image_size": size} if local.startswith("vit_") else {}
    config = timm.get_pretrained_cfg(local) if builder == "timm" and not local.startswith(HUB) else None
    return {"img_size": size} if config and config.fixed_input_size else {}


def check_pretrained(architecture: Architecture) -> None:
    """Stops where nobody has published weights for a model."""
    if architecture.builder == "limbeck" and architecture.name not in PUBLISHED:
        raise CheckpointError(
            f"no pretrained weights of {architecture.full_name} can be fetched",
            expected="a checkpoint, made once of the reference's released file",
            hint="limbeck convert FILE.pdparams --out CHECKPOINT, and CHECKPOINT in the place of the name",
        )
    if architecture.builder == "timm" and not architecture.fetched:
        config = timm.get_pretrained_cfg(architecture.name)
        if config is None or not config.has_weights:
            raise CheckpointError(
                f"no pretrained weights are published for {architecture.full_name}",
                expected="weights to start from",
                hint=_OFFLINE,
            )


def published(architecture: Architecture) -> dict[str, Any]:
    """What its makers say of a model that is not built yet: size, normalisation, where the weights are, licence.

    >>> published(Architecture.parse("resnet50d"))["hf_hub_id"]
    'timm/resnet50d.ra2_in1k'
    """
    if architecture.fetched:
        return {"hf_hub_id": architecture.name.removeprefix(HUB)}
    if architecture.builder == "torchvision":
        name, _, tag = architecture.name.partition(".")
        config = _torchvision_config(name, tag)
    elif architecture.builder == "limbeck":
        config = config_of(architecture.name)
    else:
        found = timm.get_pretrained_cfg(architecture.name)
        config = asdict(found) if found else {}
    return _resized(config, architecture.args)


def preprocess_of(described: nn.Module | Mapping[str, Any]) -> Preprocess:
    """How a model wants its images, as its makers say; ImageNet's way where nobody says.

    >>> preprocess_of(build("test_vit")).size
    (160, 160)
    """
    config = _config(described)
    size = config.get("input_size") or (3, 224, 224)
    defaults = Preprocess(size=(int(size[1]), int(size[2])))
    return replace(
        defaults,
        mean=tuple(config.get("mean") or defaults.mean),
        std=tuple(config.get("std") or defaults.std),
        interpolation=config.get("interpolation") or defaults.interpolation,
        crop=config.get("crop_pct") or defaults.crop,
    )


def class_names(model: nn.Module) -> tuple[str, ...] | None:
    """The names of a pretrained model's classes, where its makers say them: its own labels, or ImageNet's by its tag.

    >>> class_names(build("test_resnet"))[0]
    'tench, Tinca tinca'
    """
    config = _config(model)
    count = getattr(model, "num_classes", None) or config.get("num_classes")
    labels = config.get("label_names")
    if labels and len(labels) == count:
        return tuple(str(label) for label in labels)
    from_imagenet = _IMAGENET.search(config.get("tag") or "") and config.get("num_classes") == count
    return imagenet_names(count) if count and from_imagenet else None


def licence_of(model: nn.Module) -> str | None:
    """The licence of a pretrained model's weights, where its card has one.

    >>> licence_of(build("convnextv2_atto"))
    'cc-by-nc-4.0'
    """
    config = _config(model)
    if config.get("license"):
        return str(config["license"])
    if config.get("source") != "hf-hub":
        return None
    try:
        from huggingface_hub import ModelCard

        with hub():
            licence: str | None = ModelCard.load(config["hf_hub_id"]).data.to_dict().get("license")
        return licence
    except Exception:  # the card is a courtesy: nothing depends on it
        return None


@dataclass(frozen=True)
class Size:
    """How large a model is: parameters, megabytes of its weights, multiply-accumulates for one image."""

    parameters: int
    megabytes: float
    macs: int | None


def count(model: nn.Module, size: tuple[int, int]) -> Size:
    """Counts a model without running it: the multiply-accumulates come from a pass over shapes alone.

    >>> count(build("resnet18"), (224, 224)).macs
    1814073344
    """
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    shapes = {name: torch.empty_like(value, device="meta") for name, value in state.items()}
    training = [module for module in model.modules() if module.training]
    counter = FlopCounterMode(display=False)
    macs = None
    try:
        model.eval()
        with counter, torch.no_grad():
            torch.func.functional_call(model, shapes, (torch.empty(1, 3, *size, device="meta"),))
        macs = counter.get_total_flops() // 2
    except (RuntimeError, NotImplementedError, TypeError, ValueError):
        pass  # an operation that needs values: such a model is shown without the number
    finally:
        for module in training:
            module.training = True
    stored = model.state_dict().values()
    return Size(
        parameters=sum(p.numel() for p in model.parameters()),
        megabytes=sum(prod(t.shape) * t.element_size() for t in stored) / 1e6,
        macs=macs,
    )


def classes_in(architecture: Architecture, weights: Mapping[str, Tensor]) -> int | None:
    """How many classes a file of weights was trained for; None where its head does not say."""
    few, many = (outline(replace(architecture, args={**architecture.args, "num_classes": n})) for n in (7, 11))
    shapes = {name: value.shape for name, value in many.state_dict().items()}
    head = [name for name, value in few.state_dict().items() if value.shape != shapes[name]]
    counts = {int(weights[name].shape[0]) for name in head if name in weights and weights[name].ndim}
    return counts.pop() if len(counts) == 1 else None


def outline(architecture: Architecture) -> nn.Module:
    """A model without values, for its shapes; with values where its builder cannot do without.

    >>> next(outline(Architecture.parse("test_resnet")).parameters()).device
    device(type='meta')
    """
    try:
        with torch.device("meta"):
            return architecture.build()
    except RuntimeError:
        return architecture.build()


def timm_names(pattern: str = "*") -> list[str]:
    """timm's classifiers whose name matches.

    >>> timm_names("test_vit")
    ['test_vit']
    """
    return list(timm.list_models(pattern))


def _split(name: str) -> tuple[str, str]:
    if name.startswith(HUB):
        return "timm", name
    builder, slash, local = name.partition("/")
    if not slash:
        builder, local = "limbeck" if name in BACKBONES else "timm", name
    if builder == "limbeck":
        if local not in BACKBONES:
            raise unknown_name("model of limbeck", local, BACKBONES, hint="limbeck models")
        return builder, local
    base, _, tag = local.partition(".")
    if builder == "torchvision" and base in _torchvision_names():
        if tag and tag not in vision.get_model_weights(base).__members__:
            raise unknown_name(
                f"torchvision weights of {base}",
                tag,
                vision.get_model_weights(base).__members__,
                hint=f"torchvision/{base}",
            )
        return builder, local
    if builder == "timm" and timm.is_model(base):
        if tag and local not in get_arch_pretrained_cfgs(base):
            raise unknown_name(
                "timm model", local, get_arch_pretrained_cfgs(base), hint=f"{base}, for its default weights"
            )
        return builder, local
    known = [*BACKBONES, *timm_names(), *(f"torchvision/{other}" for other in _torchvision_names())]
    hint = f"torchvision/{base}" if base in _torchvision_names() else "limbeck models PATTERN"
    otherwise = "a model that `limbeck models` lists, or the folder of a run or checkpoint"
    raise unknown_name("model", name.removeprefix("timm/"), known, hint=hint, otherwise=otherwise)


def _torchvision_names() -> list[str]:
    return list(vision.list_models(module=vision))


def _build_timm(name: str, pretrained: bool, args: Mapping[str, Any]) -> nn.Module:
    model: nn.Module = timm.create_model(name, pretrained=pretrained, **args)
    return _described(model, _resized(_config(model), args))


def _build_limbeck(name: str, pretrained: bool, args: Mapping[str, Any]) -> nn.Module:
    if pretrained:
        return with_published(name, **args)
    model: nn.Module = look_up("model of limbeck", name, BACKBONES)(**args)
    return model


def _build_torchvision(full: str, pretrained: bool, args: Mapping[str, Any]) -> nn.Module:
    name, _, tag = full.partition(".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # two old models announce another initialisation
        if not pretrained:
            model = vision.get_model(name, weights=None, **args)
        else:
            source = vision.get_model(name, weights=tag or "DEFAULT")
            own = {key: value for key, value in args.items() if key != "num_classes"}
            fits = not own and args.get("num_classes", 1000) == 1000
            model = source if fits else _with_other_head(vision.get_model(name, weights=None, **args), source)
    config = {**_torchvision_config(name, tag), "num_classes": args.get("num_classes", 1000)}
    return _described(model, _resized(config, {"image_size": getattr(model, "image_size", None), **args}))


def _with_other_head(model: nn.Module, source: nn.Module) -> nn.Module:
    own = model.state_dict()
    fitting = {k: v for k, v in source.state_dict().items() if k in own and own[k].shape == v.shape}
    model.load_state_dict(fitting, strict=False)
    return model


def _torchvision_config(name: str, tag: str) -> dict[str, Any]:
    """torchvision's word on a model, in timm's terms."""
    weights = vision.get_model_weights(name)
    chosen = weights[tag or "DEFAULT"]
    view = chosen.transforms()
    return {
        "architecture": name,
        "tag": chosen.name,
        "url": chosen.url,
        "input_size": (3, view.crop_size[0], view.crop_size[0]),
        "crop_pct": view.crop_size[0] / view.resize_size[0],
        "mean": tuple(view.mean),
        "std": tuple(view.std),
        "interpolation": view.interpolation.value,
        "num_classes": len(chosen.meta["categories"]),
        "license": chosen.meta.get("license"),
    }


def _config(described: nn.Module | Mapping[str, Any]) -> dict[str, Any]:
    return dict(described if isinstance(described, Mapping) else getattr(described, "pretrained_cfg", None) or {})


def _resized(config: dict[str, Any], args: Mapping[str, Any]) -> dict[str, Any]:
    size = args.get("img_size") or args.get("image_size")
    if size is None:
        return config
    height, width = (size, size) if isinstance(size, int) else size
    return {**config, "input_size": (3, height, width), "test_input_size": None}


def _described(model: nn.Module, config: dict[str, Any]) -> nn.Module:
    model.pretrained_cfg = config  # type: ignore[assignment]
    return model


def _not_fetched(name: str, error: Exception, away: str) -> CheckpointError:
    missing = away if isinstance(error, OSError) else ""  # what is not in the cache either
    reason = missing or str(error).strip().split("\n")[0] or type(error).__name__
    fetched = name.startswith(HUB)
    return CheckpointError(
        f"the {'description' if fetched else 'pretrained weights'} of {name} cannot be had: {reason}",
        expected="a network that reaches the model hub, or a cached download",
        hint=f"name its architecture, and {_OFFLINE}" if fetched else _OFFLINE,
    )
