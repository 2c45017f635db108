"""A detector's training before its first step: every default settled, everything that cannot work told."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from limbeck.checkpoints.detector_card import DetectorCard
from limbeck.commands.train_model import begun, keep
from limbeck.commands.train_photos import keep_photos, open_photos, told
from limbeck.commands.train_teacher import Pupil, agree, keep_teacher, open_teacher, terms_of
from limbeck.commands.train_unlabeled import keep_unlabeled, looked_through
from limbeck.console import console
from limbeck.detection.dataset import DetectionSet
from limbeck.detection.dense import Dense
from limbeck.detection.detector import Detector, Look
from limbeck.detection.loader import Loader
from limbeck.detection.policies import POLICIES, FlipResize
from limbeck.detection.step import DetectionStep
from limbeck.detection.train_options import Train
from limbeck.detection.views import Policy
from limbeck.ld.step import DistilledDetectionStep
from limbeck.ld.teacher import Teacher
from limbeck.runs.devices import reading_workers, student_precision
from limbeck.runs.folder import write_down
from limbeck.runs.placing import placed
from limbeck.step import Step
from limbeck.tables import look_up
from limbeck.training.plan import Plan
from limbeck.training.ranks import Ranks

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
    step: Step
    unlabeled: DetectionSet | None = None

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
    teacher = open_teacher(options, ranks.device)
    found = ranks.once(partial(open_photos, options))
    photos, val = found
    console.print(told(options, found), markup=False)
    torch.manual_seed(options.seed)
    (model, architecture, look), rates = begun(options, photos.classes)
    options = replace(
        options,
        precision=student_precision(options.precision, ranks.device, model if model.sound_in_bfloat16 else None),
    )
    unlabeled = None
    if teacher is not None:
        ranks.once(partial(agree, teacher, Pupil(options.detector, model, look, photos.classes), photos, ranks.device))
        if options.unlabeled:
            unlabeled = ranks.once(partial(looked_through, options, found, teacher, ranks.device))
    shown = photos if unlabeled is None else photos.beside(unlabeled, options.cache or None)
    loader = loader_of(options, shown, look, ranks)
    loader.reads(0)  # a batch that these processes cannot share is told before anything is made
    plan = plan_of(options, loader.steps_per_epoch, rates)
    loader.steps = plan.steps
    model = placed(model, ranks.device, one_norm=options.sync_bn)
    step = step_of(options, model, look, teacher, len(photos))
    job = TrainJob(options, ranks, photos, val, architecture, look, loader, plan, step, unlabeled)
    if ranks.first:
        write_down(job.run, options, asked)
        keep(job.run, job.card({}, {}), rates)
        keep_photos(options, found)
        if not options.resume:
            keep_teacher(options)
        if unlabeled is not None:
            keep_unlabeled(job.run, unlabeled)
    ranks.wait()
    return job


def loader_of(options: Train, photos: DetectionSet, look: Look, ranks: Ranks) -> Loader:
    return Loader(
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
        by_shape=options.by_shape,
    )


def step_of(options: Train, model: Detector, look: Look, teacher: Teacher | None, labelled: int) -> Step:
    """From boxes alone, or from a teacher as well."""
    if teacher is None:
        return DetectionStep(model, look, options.precision)
    assert isinstance(model, Dense)
    return DistilledDetectionStep(
        model, teacher, look, options.precision, terms_of(options), labelled if options.unlabeled else None
    )


def policy_of(options: Train, look: Look) -> Policy:
    """The views of training, at the detector's size.

    >>> policy_of(Train(views="ssd"), Look((300, 300), mean=(0.5, 0.5, 0.5))).fill
    (127.5, 127.5, 127.5)
    """
    name = options.views or ("flip_resize" if look.keep_ratio else "ssd")
    policy: Any = look_up("views", name, POLICIES)(look.size)
    if isinstance(policy, FlipResize):
        policy = replace(policy, keep_ratio=look.keep_ratio)
    else:  # what surrounds an enlarged photo is to be nothing to the detector
        policy = replace(policy, fill=tuple(round(255 * value, 3) for value in look.mean))
    found: Policy = replace(policy, seed=options.seed, divisor=look.policy().divisor)
    return found


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
