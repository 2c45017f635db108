"""A backbone for a detector or a segmenter: by a model's name, or by the path of what was distilled."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from limbeck.backbones.features import Features
from limbeck.checkpoints.card import WEIGHTS, find, is_checkpoint, named, read_card
from limbeck.checkpoints.weights import fit_weights, read_weights
from limbeck.errors import OptionError


def backbone(
    source: str | Path,
    *,
    strides: Sequence[int] | None = None,
    args: Mapping[str, Any] | None = None,
    pretrained: bool = False,
) -> Features:
    """The maps of a model at chosen strides: all that it has, or for instance (8, 16, 32).

    A run, its folder student, or a converted checkpoint brings its weights. A name has random weights, or with
    `pretrained` those that its makers publish; `args` are those of its builder.

    >>> maps = backbone("mobilenet_v3_large", strides=(8, 16, 32))
    >>> maps.channels
    (40, 112, 160)
    """
    if not is_checkpoint(Path(source).expanduser()):
        return Features(named(str(source), args=args).build(pretrained=pretrained), strides)
    if args or pretrained:
        raise OptionError(
            f"{source} is a checkpoint, with arguments or published weights asked for beside it",
            expected="its own: the card says how it is built, and its weights come with it",
            hint=f"limbeck.backbone({str(source)!r})",
        )
    folder = find(Path(source).expanduser())
    model = read_card(folder).build_from().build()
    fit_weights(model, read_weights(folder / WEIGHTS), str(folder))
    return Features(model, strides)
