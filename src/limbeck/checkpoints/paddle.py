"""Which of limbeck's networks a file of Paddle's is, and the tensors of one under the names of the other."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from limbeck.backbones.same import SAME_IN_TIMM
from limbeck.checkpoints.conversion import Conversion, differences, grouped
from limbeck.checkpoints.pdparams import PaddleFile, Values
from limbeck.checkpoints.renames import HEAD, LEAVES, TOP
from limbeck.checkpoints.renames.networks import CLAS, DETECTION, NETWORKS, modules, spellings, spelt
from limbeck.classification.models import Architecture, outline
from limbeck.errors import CheckpointError, counted, unknown_name
from limbeck.records import Preprocess

# networks of the reference that limbeck has not, by what their names have in them
OTHERS = (
    (r"(^|\.)branch2b\.conv_offset\.weight$", "a ResNet with deformable convolutions"),
    (r"(^|\.)downsample0\.conv_bn_layer\.", "DarkNet53"),
)
PREPROCESS = Preprocess((224, 224), interpolation="bilinear", crop=0.875)
BIASED = (
    "its running variances are means of biased batch variances, as Paddle keeps them: inference is the same, "
    "and training that goes on keeps unbiased ones, as torch does"
)

_MANY = 1000  # classes; how many they are does not change the names
_CLOSE = 4  # candidates that are looked at closely
_HARMLESS = ("num_classes", "drop_path_rate", "zero_init_last")  # arguments that inference does not see
_PREFIXES = 16  # of a network in one file; each is compared with all names


def network_of(architecture: Architecture) -> str | None:
    """The network of the reference's that computes the same as one of limbeck's or timm's.

    >>> network_of(Architecture.parse("resnet50d"))
    'resnet50_vd'
    """
    name = architecture.name.partition(".")[0]
    if architecture.builder == "limbeck":
        return name if name in NETWORKS else None
    if f"{architecture.builder}/{name}" in NETWORKS:
        return f"{architecture.builder}/{name}"
    for ours, (same, own) in SAME_IN_TIMM.items():
        fits = all(architecture.args.get(key) == value for key, value in own.items())
        if architecture.builder == "timm" and same == name and fits and ours in NETWORKS:
            return ours
    return None


def respelt(network: str, spelling: str, weights: Mapping[str, Tensor]) -> tuple[dict[str, Values], list[str]]:
    """A network's tensors as the reference names, shapes and orders them; and limbeck's modules that it has not."""
    if spelling not in NETWORKS[network].tables:
        raise CheckpointError(
            f"how {spelling} names the tensors of {NETWORKS[network].name} is not known",
            expected=" or ".join(NETWORKS[network].tables),
            hint="--to paddle" if CLAS in NETWORKS[network].tables else "--to paddle-detection",
        )
    own = _shapes(network, _MANY)
    behind = set(modules(network, spelling, HEAD, *([TOP] if spelling == DETECTION else [])).values())
    missing = [name for name in own if name not in weights and name.rpartition(".")[0] not in behind]
    unexpected = [name for name in weights if name not in own and not name.endswith("num_batches_tracked")]
    head = set(modules(network, spelling, HEAD).values())
    odd = [name for name in own if name in weights and not _fits(own[name], weights[name], name, head)]
    if missing or unexpected or odd:
        raise CheckpointError(
            f"this is no plain {NETWORKS[network].name}: {differences(missing, unexpected, odd)}",
            expected=f"the network as {spelling} has it",
            hint="a student without --student-args",
        )
    left_out = behind if spelling == DETECTION else set()
    order = [name for name in own if name in weights]
    kept = [name for name in order if name.rpartition(".")[0] not in left_out]
    names = spelt(network, spelling, kept)
    assert len(names) == len(kept), "a tensor of ours has no name of the reference's"
    tensors = {old: np.ascontiguousarray(turned(weights[new].float().numpy())) for new, old in names.items()}
    return tensors, sorted({name.rpartition(".")[0] for name in order} & left_out)


def _fits(shape: tuple[int, ...], values: Tensor, name: str, head: Collection[str]) -> bool:
    """Whether a tensor has a shape, but for the class count."""
    start = 1 if name.rpartition(".")[0] in head else 0
    return shape[start:] == tuple(values.shape)[start:]


def arguments_of_its_own(network: str, architecture: Architecture) -> dict[str, object]:
    """The arguments that make an architecture compute something else than the reference's network.

    >>> arguments_of_its_own("mobilenet_v3_small", Architecture.parse("mobilenet_v3_small", args={"drop_rate": 0}))
    {'drop_rate': 0}
    """
    _, own = SAME_IN_TIMM.get(network, ("", {}))
    same = own.items() if architecture.builder == "timm" else ()
    harmless = set(_HARMLESS)
    if not network.startswith("mobilenet_v3") or architecture.args.get("drop_rate") == 0.2:
        harmless.add("drop_rate")  # else it scales at inference too
    return {key: value for key, value in architecture.args.items() if key not in harmless and (key, value) not in same}


def turned(values: Values) -> Values:
    """The weights of a fully connected layer lie the other way round; all others are as they are."""
    return values.T if values.ndim == 2 else values


@dataclass(frozen=True)
class Candidate:
    """A network that a file may be, spelt in one way, below a prefix; compared tensor by tensor."""

    network: str
    spelling: str
    prefix: str
    classes: int
    keys: Mapping[str, str]  # limbeck's tensor -> the file's key
    missing: Sequence[str]
    unexpected: Sequence[str]
    odd: Sequence[str]
    drawn: Sequence[str]

    @property
    def fits(self) -> bool:
        return not (self.missing or self.unexpected or self.odd)

    @property
    def full_name(self) -> str:
        """The reference's name of it."""
        return f"{NETWORKS[self.network].name} as {self.spelling} names it"

    @property
    def taught(self) -> bool:
        """A pair of student and teacher lies in one file; the student is what it was made for."""
        return "student" in self.prefix.lower()


def recognise(file: PaddleFile, source: str, architecture: str = "") -> Conversion:
    """The network of a file, among those that limbeck has; with `architecture`, this one or an error.

    >>> recognise(PaddleFile({"conv0.weight": np.zeros(3)}, {}), "a.pdparams")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    limbeck.errors.CheckpointError: a.pdparams holds no network that limbeck knows: 1 tensor, conv0.weight, ...
      expected: MobileNetV1 (mobilenet_v1), ...
    """
    known = [_known(architecture)] if architecture else list(NETWORKS)
    fitting: list[Candidate] = []
    nearest: Candidate | None = None
    for network, spelling, prefix in _ranked(file.tensors, known)[:_CLOSE]:
        candidate = _compared(file.tensors, network, spelling, prefix)
        nearest = nearest or candidate
        if candidate.fits:
            fitting.append(candidate)
    if not fitting:
        if architecture:
            _check_is_not_another(file, source, known[0])
        raise _unknown(file.tensors, source, nearest)
    chosen = min(fitting, key=lambda each: (not each.taught, len(each.prefix)))
    return _converted(file, chosen, [each for each in fitting if each.prefix != chosen.prefix])


def _check_is_not_another(file: PaddleFile, source: str, wanted: str) -> None:
    try:
        there = recognise(file, source).architecture.name
    except CheckpointError:
        return  # the network that was asked for is told then
    raise CheckpointError(
        f"{source} does not hold {NETWORKS[wanted].name}: its tensors are those of {there}",
        expected=f"--architecture {there}",
        hint="the same line with it, or without --architecture",
    )


def _known(architecture: str) -> str:
    name = architecture.removeprefix("limbeck/")
    for known in (name, f"timm/{name}"):
        if known in NETWORKS:
            return known
    raise unknown_name("network of Paddle's", architecture, NETWORKS, option="--architecture")


def _ranked(tensors: Mapping[str, Values], networks: Sequence[str]) -> list[tuple[str, str, str]]:
    """Networks, spellings and prefixes that share names with a file, those that share most first."""
    found: list[tuple[int, int, tuple[str, str, str]]] = []
    for network in networks:
        for spelling in NETWORKS[network].tables:
            table = modules(network, spelling)
            for prefix in _prefixes(tensors, next(iter(table))):
                parts = {key.removeprefix(prefix).rpartition(".")[0] for key in tensors if key.startswith(prefix)}
                shared = parts & table.keys()
                found.append((-len(shared), len(table.keys() - parts), (network, spelling, prefix)))
    return [each for *_, each in sorted(found)]


def _prefixes(tensors: Iterable[str], first: str) -> list[str]:
    """What stands before the names of a network, found by its first module: the shortest of very many."""
    found = [key.removesuffix(f"{first}.weight") for key in tensors if f".{key}".endswith(f".{first}.weight")]
    return sorted(found, key=len)[:_PREFIXES]


@cache
def _shapes(network: str, classes: int) -> dict[str, tuple[int, ...]]:
    model = outline(Architecture.parse(network, classes=classes))
    state = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    return {name: shape for name, shape in state.items() if not name.endswith("num_batches_tracked")}


def _compared(tensors: Mapping[str, Values], network: str, spelling: str, prefix: str) -> Candidate:
    heads = [f"{prefix}{old}.weight" for old in modules(network, spelling, HEAD)]
    classes = next((tensors[key].shape[-1] for key in heads if key in tensors and tensors[key].ndim), 0)
    shapes = _shapes(network, classes)
    keys: dict[str, str] = {}
    for name, olds in spellings(network, spelling, shapes).items():
        there = next((prefix + old for old in olds if prefix + old in tensors), None)
        if there:
            keys[name] = there
    top = {f"{module}.{leaf}" for module in modules(network, spelling, TOP).values() for _, leaf in LEAVES}
    drawn = [name for name in shapes if name in top and not classes]
    drawn = [] if any(name in keys for name in drawn) else drawn
    written = spelt(network, spelling, shapes)
    used = set(keys.values())
    parts = {module.partition(".")[0] for module in modules(network, spelling)}
    # a detector may hang blocks of its own behind its backbone's; in a part that the network has, they are no such
    extra = {key for key in tensors if prefix and key.removeprefix(prefix).partition(".")[0] not in parts}
    return Candidate(
        network=network,
        spelling=spelling,
        prefix=prefix,
        classes=classes,
        keys=keys,
        missing=[prefix + written[name] for name in shapes if name not in keys and name not in drawn],
        unexpected=[key for key in tensors if key.startswith(prefix) and key not in used and key not in extra],
        odd=[f"{key}: {found}" for name, key in keys.items() if (found := _odd(tensors[key], shapes[name]))],
        drawn=drawn,
    )


def _odd(values: Values, shape: tuple[int, ...]) -> str:
    if values.dtype.kind != "f":
        return f"{values.dtype} numbers" + (", as bfloat16 is saved" if values.dtype == np.uint16 else "")
    there = turned(values).shape
    return "" if there == shape else f"{tuple(there)} instead of {shape}"


def _converted(file: PaddleFile, chosen: Candidate, others: Sequence[Candidate]) -> Conversion:
    with np.errstate(over="ignore"):  # what is too large for float32 is told as infinite
        weights = {
            name: torch.from_numpy(np.array(turned(file.tensors[key]), np.float32)) for name, key in chosen.keys.items()
        }
    used = set(chosen.keys.values())
    left = grouped([key for key in file.tensors if key not in used], chosen.prefix)
    dropped = dict(file.others) | {name: f"{counted(number, 'tensor')}, not converted" for name, number in left.items()}
    for other in others:
        name = other.prefix.partition(".")[0]
        dropped[name] += f": {NETWORKS[other.network].name}; for it, --architecture {other.network}"
    notes = [BIASED]
    if chosen.drawn:
        notes.append(
            f"{counted(len(chosen.drawn), 'tensor')} before its classifier are not in a detector's backbone, "
            "and begin anew"
        )
    return Conversion(
        family="Paddle",
        definition="PaddleClas" if chosen.classes else chosen.spelling,
        architecture=Architecture.parse(chosen.network, classes=chosen.classes),
        weights=weights,
        preprocess=PREPROCESS,
        dropped=dropped,
        drawn=chosen.drawn,
        notes=notes,
    )


def _unknown(tensors: Mapping[str, Values], source: str, nearest: Candidate | None) -> CheckpointError:
    known = ", ".join(f"{network.name} ({name})" for name, network in NETWORKS.items())
    other = next((what for pattern, what in OTHERS if any(re.search(pattern, key) for key in tensors)), "")
    if other:
        found = f"{source} holds {other}, which limbeck has not"
    elif nearest is None:
        begin = ", ".join(list(tensors)[:3])
        found = f"{source} holds no network that limbeck knows: {counted(len(tensors), 'tensor')}, {begin}, ..."
    else:
        told = differences(nearest.missing, nearest.unexpected, nearest.odd)
        found = f"{source} holds no network that limbeck knows; the nearest is {nearest.full_name}: {told}"
    return CheckpointError(
        found, expected=known, hint="the weights of one of these, whole, as paddle.save(model.state_dict()) writes them"
    )
