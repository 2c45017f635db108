"""Local paths among the options, made whole, so that a run can be gone on with and asked about from any folder."""

import glob
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from limbeck.checkpoints.card import is_checkpoint
from limbeck.ssld.options import Distill


def anchored(options: Distill) -> Distill:
    """The options with whole paths in place of those from the working directory; names and URLs stay.

    What leads nowhere stays too, to be told as it was typed.

    >>> anchored(Distill(images=("s3://bucket/photos",), teacher="resnet50d, hf-hub:timm/vit_tiny")).teacher
    'resnet50d, hf-hub:timm/vit_tiny'
    """
    return replace(
        options,
        images=tuple(_whole(source, _is_source) for source in options.images),
        teacher=_each(options.teacher, _is_model),
        teacher_weights=_each(options.teacher_weights, os.path.exists),
        student=_whole(options.student, is_checkpoint),
        student_weights=_whole(options.student_weights, os.path.exists),
        store=_whole(options.store, lambda path: True),
        labels=_whole(options.labels, os.path.exists),
        eval=_whole(options.eval, _is_source),
        cache=_whole(options.cache, lambda path: True),
    )


def _whole(typed: str, leads_somewhere: Callable[[str], bool]) -> str:
    if not typed or "://" in typed:
        return typed
    path = Path(typed).expanduser()
    return os.path.abspath(path) if leads_somewhere(str(path)) else typed  # noqa: PTH100 (a link stays a link)


def _each(typed: str, leads_somewhere: Callable[[str], bool]) -> str:
    """Of a comma separated list; a folder with a comma in its name could not be told from two."""
    parts = [part.strip() for part in typed.split(",")]
    whole = [_whole(part, leads_somewhere) for part in parts]
    return typed if whole == parts or any("," in part for part in whole) else ",".join(whole)


def _is_source(path: str) -> bool:
    return os.path.lexists(path) or glob.has_magic(path)


def _is_model(path: str) -> bool:
    return is_checkpoint(path) or (path.endswith(".onnx") and os.path.exists(path))  # noqa: PTH110
