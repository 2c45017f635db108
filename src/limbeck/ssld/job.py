"""A run before its first step: every default settled, everything that cannot work told."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from limbeck.console import console
from limbeck.divergence import divergence
from limbeck.errors import OptionError
from limbeck.images.imageset import ImageSet
from limbeck.images.order import Order
from limbeck.images.reader import evaluation_batches
from limbeck.images.view import ViewPolicy
from limbeck.records import SoftLabels
from limbeck.ssld.devices import reading_workers, student_precision, teacher_precision
from limbeck.ssld.feed import Feed
from limbeck.ssld.folder import photos_file, start_folder
from limbeck.ssld.holdout import hold_out
from limbeck.ssld.labels import Labels, labels_of
from limbeck.ssld.options import Distill
from limbeck.ssld.probe import Probe, ask_teacher
from limbeck.ssld.step import Distance, LabelledStep, LabelSource, SoftLabelStep, StudentInput
from limbeck.ssld.store import SoftLabelStore, check_space, default_keep, encode, read_stamp
from limbeck.ssld.student import Student, make_student
from limbeck.ssld.teacher import TeacherSpec, check_answers
from limbeck.ssld.teaching import TeacherFacts, Teaching
from limbeck.step import Step
from limbeck.training.plan import Plan
from limbeck.training.ranks import Ranks
from limbeck.training.schedule import warmup_steps

CHECKED = 64


@dataclass(frozen=True)
class Job:
    """All that a run is made of."""

    options: Distill
    ranks: Ranks
    images: ImageSet
    classes: tuple[str, ...]
    student: Student
    inputs: StudentInput
    feed: Feed
    plan: Plan
    step: Step
    teaching: Teaching | None
    probe: Probe | None
    evaluation: Labels | None

    @property
    def run(self) -> Path:
        return Path(self.options.out)


def prepare(options: Distill, ranks: Ranks, module: nn.Module | None = None) -> Job:
    """Look at the photos and the models, and make the run folder."""
    workers = reading_workers(options.workers, ranks.world)
    images = open_images(run_photos(options), options, ranks)
    photos, held = hold_out(images, options.probe)
    console.print(f"{len(photos):,} photos to learn from, {len(held):,} held out, {len(images.skipped):,} skipped")

    labels = labels_of(photos) if options.loss == "cross-entropy" else None
    teaching = None
    if labels is None:
        options = replace(options, teacher_precision=teacher_precision(options.teacher_precision, ranks.device))
        teaching = open_teacher(options, ranks, module)
    classes = labels.classes if labels else class_names(teaching)
    student = make_student(options, classes)
    options = replace(
        options,
        precision=student_precision(options.precision, ranks.device),
        student_size=student.preprocess.size[0],
        keep_top=(options.keep_top or default_keep(len(classes))) if options.views else 0,
    )
    inputs = StudentInput(student.preprocess, options.precision)
    policy = view_policy(options, student, teaching)
    order = Order(len(photos), options.batch, options.seed, options.views, options.crops_per_read)
    order.reads(0, ranks.rank, ranks.world)  # a batch that these processes cannot share is told before anything is made
    plan = make_plan(options, order.steps_per_epoch)
    evaluation = labels_of(open_images((options.eval,), options, ranks), classes) if options.eval else None
    store = open_store(options, policy, teaching, len(photos) + len(held)) if options.views and teaching else None
    feed = Feed(
        photos, policy, order, steps=plan.steps, workers=workers, rank=ranks.rank, world=ranks.world,
        pinned=ranks.device.type == "cuda", store=store,
        truth=labels.truth if labels else None,
    )  # fmt: skip

    model = ready(student.model, options, ranks)
    step: Step = LabelledStep(model, inputs)
    probe = None
    if teaching is not None:
        if options.check_teacher and not feed.covered():
            check_teacher(teaching, photos)
        probe = ask_teacher(held, teaching, encoder(options, classes), workers, store) if len(held) else None
        if not teaching.loaded:
            console.print("the store has every label that this run needs: the teacher is not loaded")
        source = LabelSource(
            teaching.log_probabilities, encoder(options, classes) if store is not None else None, feed.keep
        )
        step = SoftLabelStep(model, inputs, distance(options), options.loss.replace("-", "_"), source)
    if ranks.first:
        keep_photos(start_folder(options), images)
    ranks.wait()
    return Job(options, ranks, images, classes, student, inputs, feed, plan, step, teaching, probe, evaluation)


def run_photos(options: Distill) -> tuple[str, ...]:
    """Where the photos of a run are listed: a run that goes on has kept its list."""
    kept = photos_file(Path(options.out))
    return (str(kept),) if options.resume and kept.exists() else options.images


def open_images(sources: tuple[str, ...], options: Distill, ranks: Ranks) -> ImageSet:
    """The photos; one process looks at them, the others read what it found."""
    cache = Path(options.cache) if options.cache else None
    workers = reading_workers(options.workers, ranks.world)
    with ranks.accelerator.main_process_first():
        return ImageSet.open(list(sources), cache=cache, workers=workers, shown=ranks.first)


def keep_photos(run: Path, images: ImageSet) -> None:
    images.write_skipped(run / "skipped.csv")
    if images.manifest != photos_file(run).absolute():
        photos_file(run).parent.mkdir(exist_ok=True)
        images.save(photos_file(run))


def open_teacher(options: Distill, ranks: Ranks, module: nn.Module | None) -> Teaching:
    """The teacher; what a soft-label store tells of it is believed, so that it need not be loaded."""
    if options.teacher.startswith("python:") and module is None:
        raise OptionError(
            f"the teacher of this run was a module from Python ({options.teacher.removeprefix('python:')})",
            expected="the same module again",
            hint=f"limbeck.distill(teacher=module, out={options.out!r}, resume=True)",
        )
    spec = TeacherSpec.parse(
        module if module is not None else options.teacher,
        weights=options.teacher_weights or None,
        size=options.teacher_size or None,
        mean=options.teacher_mean or None,
        std=options.teacher_std or None,
        norm=options.teacher_norm,
    )
    stamp = read_stamp(store_root(options)) if options.views else None
    facts = None
    if stamp is not None and stamp.teacher == spec.fingerprint and "teacher" in stamp.extra:
        facts = TeacherFacts.from_dict(stamp.extra["teacher"])
    teaching = Teaching(spec, ranks.device, options.teacher_precision, facts)
    licence = f", licence {teaching.facts.licence}" if teaching.facts.licence else ""
    console.print(f"teacher {teaching.facts.description}: {teaching.facts.classes:,} classes{licence}", markup=False)
    return teaching


def class_names(teaching: Teaching | None) -> tuple[str, ...]:
    assert teaching is not None
    return teaching.facts.names or tuple(str(index) for index in range(teaching.facts.classes))


def view_policy(options: Distill, student: Student, teaching: Teaching | None) -> ViewPolicy:
    """Views are rendered at the larger of the two input sizes, and reduced for the other."""
    return ViewPolicy(
        size=max(teaching.facts.size if teaching else 0, *student.preprocess.size),
        scale=options.crop_scale,
        ratio=options.crop_ratio,
        flip=options.flip,
        colour=options.colour,
        seed=options.view_seed,
    )


def make_plan(options: Distill, steps_per_epoch: int) -> Plan:
    steps = options.steps or options.epochs * steps_per_epoch
    return Plan(
        steps=steps,
        steps_per_epoch=steps_per_epoch,
        batch=options.batch,
        lr=options.lr * options.batch / 256,
        warmup=warmup_steps(steps / steps_per_epoch, options.warmup_epochs, steps_per_epoch),
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        decay_norm=options.decay_norm,
        ema=options.ema,
        accumulate=options.accumulate,
        seed=options.seed,
        log_every=options.log_every,
        save_every=options.save_every,
        evaluate_every=options.evaluate_every,
    )


def store_root(options: Distill) -> Path:
    return Path(options.store) if options.store else Path(options.out) / "store"


def open_store(options: Distill, policy: ViewPolicy, teaching: Teaching, photos: int) -> SoftLabelStore:
    """The soft-label store of a run, with its size told and the free disk checked."""
    facts = teaching.facts
    store = SoftLabelStore.open(
        store_root(options),
        teacher=teaching.fingerprint,
        views=policy.fingerprint(),
        classes=facts.classes,
        keep=options.keep_top,
        about_teacher=facts.description,
        about_views=str(policy),
        extra={"teacher": facts.to_dict()},
    )
    needed = max(0, store.bytes_for(photos * options.views) - store.bytes_for(len(store)))
    console.print(
        f"soft labels in {store.root}: {len(store):,} there, at most {needed / 1e6:,.1f} MB more for "
        f"{options.views} views of {photos:,} photos, {store.bytes_for(1):,} bytes each",
        markup=False,
    )
    check_space(store.root, needed)
    return store


def encoder(options: Distill, classes: tuple[str, ...]) -> Callable[[Tensor], SoftLabels]:
    keep = options.keep_top or default_keep(len(classes))
    return lambda answers: encode(answers, keep)


def distance(options: Distill) -> Distance:
    found: Distance = divergence(options.loss)
    if options.loss == "jeffreys":
        return lambda student, teacher: found(student, teacher, eps=options.loss_eps)
    return found


def check_teacher(teaching: Teaching, photos: ImageSet) -> None:
    """Ask the teacher about a few photos; answers that cannot teach stop the run here."""
    few = photos.take(np.linspace(0, len(photos) - 1, min(CHECKED, len(photos))).astype(np.int64))
    batches = evaluation_batches(few, teaching.facts.preprocesses, batch=CHECKED // 2, workers=0)
    check_answers(torch.cat([teaching.teacher.evaluate(batch.views).cpu() for batch in batches]))


def ready(student: nn.Module, options: Distill, ranks: Ranks) -> nn.Module:
    """The student on its device, in the layout that convolutions like."""
    if options.sync_bn:
        if ranks.device.type != "cuda":
            raise OptionError(
                f"--sync-bn on {ranks.device}", expected="a CUDA device", hint="--no-sync-bn: one batch norm a process"
            )
        student = nn.SyncBatchNorm.convert_sync_batchnorm(student)  # type: ignore[no-untyped-call]
    student = student.to(ranks.device).to(memory_format=torch.channels_last)
    student.train()
    if options.compile:
        student.compile()
    return student
