"""Options of `limbeck train` that are missing, unknown, or have no sensible value."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from limbeck.checkpoints.card import is_checkpoint, named
from limbeck.detection import DETECTORS
from limbeck.detection.detector import design
from limbeck.detection.policies import POLICIES
from limbeck.detection.train_options import Train
from limbeck.errors import OptionError, UnknownName, as_typed, unknown_name
from limbeck.runs.choices import TRACKERS, flag, typed

EXAMPLE = "limbeck train ssdlite --data LABELLED --out RUN"
FIELDS: Mapping[str, dataclasses.Field[Any]] = {field.name: field for field in dataclasses.fields(Train)}


def validate(options: Train) -> None:
    """Fail on what cannot run.

    >>> validate(Train(data=("set",), out="run", views="sdd"))
    Traceback (most recent call last):
    limbeck.errors.UnknownName: unknown views 'sdd'
      expected: ssd
      try:      --views ssd
    """
    for name, missing in (("data", not options.data), ("out", not options.out)):
        if missing:
            raise OptionError(f"--{name} is missing", expected="--data and --out", hint=EXAMPLE)
    for option, names, allowed in (
        ("detector", (options.detector,), tuple(DETECTORS)),
        ("views", (options.views,) if options.views else (), tuple(POLICIES)),
        ("track", options.track, (*TRACKERS, "none")),
    ):
        for name in names:
            if name not in allowed:
                raise unknown_name(option, name, allowed, option=f"--{option}")
    for name, fails, expected in _out_of_range(options):
        if fails:
            found = f"{flag(name)} is {as_typed(getattr(options, name))}"
            raise OptionError(found, expected=expected, hint=typed(name, FIELDS[name].default))
    if options.accumulate > options.batch:
        raise OptionError(
            f"--accumulate {options.accumulate} with --batch {options.batch}",
            expected="at most one part for each image of a batch",
            hint=f"--accumulate {options.batch}",
        )
    if not options.resume:  # a run that goes on has kept how its detector is built
        check_backbone(options)


def check_backbone(options: Train) -> None:
    """Fail on a backbone that is missing, unknown, or not for this detector.

    >>> check_backbone(Train())
    Traceback (most recent call last):
    limbeck.errors.OptionError: ssdlite without a backbone
      expected: a model's name, or a limbeck run or checkpoint
      try:      --backbone mobilenet_v3_large
    """
    kind = design(options.detector)
    if not options.backbone and kind.strides:
        raise OptionError(
            f"{options.detector} without a backbone",
            expected="a model's name, or a limbeck run or checkpoint",
            hint="--backbone mobilenet_v3_large",
        )
    if options.backbone and not kind.strides and kind.adopt is None:
        raise no_backbone_fits(options.detector, options.backbone)
    if options.backbone and not is_checkpoint(Path(options.backbone).expanduser()):
        try:
            named(options.backbone)
        except UnknownName as error:
            near = error.expected.split(", ")[0]
            raise UnknownName(
                f"--backbone {options.backbone}: {error.found}",
                expected=error.expected,
                hint=f"--backbone {near}" if near else error.hint,
            ) from error


def _out_of_range(options: Train) -> list[tuple[str, bool, str]]:
    positive = "epochs", "batch", "accumulate", "repeats", "save_every", "log_every", "evaluate_every", "lr_batch"
    numbers = "lr", "weight_decay", "momentum", "warmup", "steps", "size", "frozen", "clip"
    return [
        *((name, getattr(options, name) < 1, "1 or more") for name in positive),
        *((name, not getattr(options, name) >= 0, "0 or more") for name in numbers),
        ("size", 0 < options.size < 32, "32 pixels or more, or 0 for the detector's own"),
        ("ema", not 0 <= options.ema < 1, "a decay, from 0 to below 1"),
        ("warmup_from", not 0 <= options.warmup_from <= 1, "a share, from 0 to 1"),
        ("milestones", any(not 0 < share < 1 for share in options.milestones), "shares of the schedule, 0 to 1"),
        ("layer_rates", any(not rate >= 0 for rate in options.layer_rates), "multipliers of 0 or more"),
        ("workers", options.workers < -1, "a number of processes, or -1 for the cores"),
    ]


def no_backbone_fits(detector: str, backbone: str) -> OptionError:
    """The error for a detector that has a backbone of its own, of another kind or that takes nobody's weights."""
    kind = design(detector).own
    free = [name for name in DETECTORS if design(name).strides]
    return OptionError(
        f"--backbone {backbone} under {detector}, which has a backbone of its own",
        expected=(f"the weights of a {kind}, or " if kind else "") + f"a detector that takes any: {', '.join(free)}",
        hint=f"--detector {free[0]} --backbone {backbone}, or leave --backbone out",
    )
