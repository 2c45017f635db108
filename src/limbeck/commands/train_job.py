"""A detector's training before its first step: every default settled, everything that cannot work told."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from limbeck.checkpoints.detector_card import DetectorCard, read_detector_card
from limbeck.commands.train_model import begin_with, rates_of, student_of
from limbeck.console import console
from limbeck.detection.dataset import DetectionSet
from limbeck.detection.detector import Detector, Look
from limbeck.detection.loader import Loader
from limbeck.detection.policies import POLICIES, FlipResize
from limbeck.detection.step import DetectionStep
from limbeck.detection.views import Policy
from limbeck.errors import LimbeckError, OptionError, RunError, counted
from limbeck.files import write_atomically
from limbeck.ssld.devices import reading_workers, student_precision
from limbeck.ssld.folder import write_down
from limbeck.ssld.job import with_one_norm
from limbeck.tables import look_up
from limbeck.training.plan import Plan
from limbeck.training.ranks import Ranks
from limbeck.training.train_options import Train

_FEW = 512  # images that are read sooner than a worker starts


@dataclass(frozen=True)
class TrainJob:
    """All that a training is made of."""

    options: Train
    ranks: Ranks
    photos: DetectionSet
    val: DetectionSet | None
    backbone: Mapping[str, Any] | None
    look: Look
    loader: Loader
    plan: Plan
    step: DetectionStep

    @property
    def run(self) -> Path:
        return Path(self.options.out)

    @property
    def reading(self) -> int:
        """Workers of an evaluation."""
        return self.loader.workers if self.val is not None and len(self.val) > _FEW else 0

    def card(self, provenance: Mapping[str, Any], metrics: Mapping[str, Any]) -> DetectorCard:
        return DetectorCard(
            self.options.detector, self.backbone, self.photos.classes, self.photos.ids, self.look, provenance, metrics
        )


def prepare(options: Train, asked: Train, ranks: Ranks) -> TrainJob:
    """Look at the photos and the model, and make the run folder when nothing is left that cannot work."""
    known = tuple(read_detector_card(options.weights).classes) if options.weights else ()
    photos = ranks.once(partial(open_set, options, options.data, options.split, options.classes))
    if not options.classes and known and set(known) == set(photos.classes):
        photos = ranks.once(partial(open_set, options, options.data, options.split, known))
    photos = photos if options.empty else photos.filled()
    val = ranks.once(partial(open_val, options, photos))
    console.print(told(photos, val), markup=False)
    torch.manual_seed(options.seed)
    model, architecture, look = student_of(options, len(photos.classes))
    if options.weights and not options.resume:
        begin_with(model, options.weights)
    rates = rates_of(model, options)
    loader = Loader(
        photos,
        policy_of(options, look),
        batch=options.batch,
        steps=0,
        seed=options.seed,
        repeats=options.repeats,
        workers=reading_workers(options.workers, ranks.world),
        rank=ranks.rank,
        world=ranks.world,
        pinned=ranks.device.type == "cuda",
    )
    loader.reads(0)  # a batch that these processes cannot share is told before anything is made
    plan = plan_of(options, loader.steps_per_epoch, rates)
    loader.steps = plan.steps
    options = replace(options, precision=student_precision(options.precision, ranks.device))
    step = DetectionStep(on_device(model, options, ranks), look, options.precision, options.batch)
    if ranks.first:
        refuse_other_photos(options, photos)
        write_down(Path(options.out), options, asked)
        remember(Path(options.out), photos)
    ranks.wait()
    return TrainJob(options, ranks, photos, val, architecture, look, loader, plan, step)


def policy_of(options: Train, look: Look) -> Policy:
    """The views of training, at the detector's size."""
    policy: Any = look_up("views", options.views, POLICIES)(look.size)
    if isinstance(policy, FlipResize):
        policy = replace(policy, keep_ratio=look.keep_ratio)
    found: Policy = replace(policy, seed=options.seed, divisor=look.policy().divisor)
    return found


def open_set(options: Train, sources: tuple[str, ...], split: str, classes: tuple[str, ...]) -> DetectionSet:
    return DetectionSet.open(
        sources,
        split=split or None,
        classes=classes or None,
        skip_bad=options.skip_bad,
        format=options.format,
        cache=options.cache or None,
        workers=reading_workers(options.workers, 1),
    )


def open_val(options: Train, photos: DetectionSet) -> DetectionSet | None:
    if options.val == "none":
        return None
    sources = (options.val,) if options.val else options.data
    split = options.val_split or ("" if options.val else "val")
    try:
        return open_set(options, sources, split, photos.classes)
    except LimbeckError as error:
        if options.val or options.val_split:
            raise
        raise type(error)(
            error.found, expected=error.expected, hint=f"{error.hint}; --val OTHER_PHOTOS; or --val none"
        ) from error


def told(photos: DetectionSet, val: DetectionSet | None) -> str:
    """What was found, in a few lines."""
    spans = photos.columns.spans
    objects = int((spans[:, 1] - spans[:, 0]).sum())
    lines = [
        f"{counted(len(photos), 'photo')} with {counted(objects, 'box', 'boxes')} of "
        f"{counted(len(photos.classes), 'class', 'classes')}"
        + (f", {counted(len(val), 'photo')} to measure on" if val is not None else ", none to measure on")
    ]
    return "\n".join([*lines, *photos.notes])


def plan_of(options: Train, steps_per_epoch: int, rates: Mapping[str, float]) -> Plan:
    steps = options.steps or options.epochs * steps_per_epoch
    falls = tuple(round(share * steps) for share in options.milestones) if options.schedule == "steps" else ()
    return Plan(
        steps=steps,
        steps_per_epoch=steps_per_epoch,
        batch=options.batch,
        lr=options.lr * options.batch / options.lr_batch,
        warmup=min(options.warmup, steps // 10),
        warmup_from=options.warmup_from,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        decay_norm=options.decay_norm,
        ema=options.ema,
        accumulate=options.accumulate,
        seed=options.seed,
        log_every=options.log_every,
        save_every=options.save_every,
        evaluate_every=options.evaluate_every,
        milestones=falls,
        stairs=options.stairs,
        clip=options.clip,
        rates=rates,
    )


def on_device(model: Detector, options: Train, ranks: Ranks) -> Detector:
    """In the layout that convolutions like."""
    found: Any = model
    if options.sync_bn:
        if ranks.device.type != "cuda":
            raise OptionError(
                f"--sync-bn on {ranks.device}", expected="a CUDA device", hint="--no-sync-bn: one batch norm a process"
            )
        found = with_one_norm(found)
    found = found.to(ranks.device).to(memory_format=torch.channels_last)
    found.train()
    moved: Detector = found
    return moved


def refuse_other_photos(options: Train, photos: DetectionSet) -> None:
    """A run goes on with the photos and boxes that it began with."""
    file = Path(options.out) / "last" / "photos.json"
    if not options.resume or not file.exists():
        return
    if json.loads(file.read_text())["fingerprint"] != photos.fingerprint():
        raise RunError(
            f"the photos or boxes of {', '.join(options.data)} are not those that the run in {options.out} began with",
            expected="the same photos and boxes, so that the run goes on as it was",
            hint="put them back; or begin a new run from its weights: --weights RUN --out OTHER",
        )


def remember(run: Path, photos: DetectionSet) -> None:
    told = {"fingerprint": photos.fingerprint(), "photos": len(photos), "classes": list(photos.classes)}
    write_atomically(run / "last" / "photos.json", (json.dumps(told, indent=2) + "\n").encode())
