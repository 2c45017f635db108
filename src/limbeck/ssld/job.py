"""A run before its first step: every default settled, everything that cannot work told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from limbeck.classification.models import preprocess_of
from limbeck.classification.sizes import nearest_size, refusal
from limbeck.console import console
from limbeck.divergence import divergence
from limbeck.errors import OptionError, counted
from limbeck.images.imageset import ImageSet
from limbeck.images.order import Order
from limbeck.images.view import ViewPolicy
from limbeck.records import SoftLabels
from limbeck.runs.devices import reading_workers, student_precision, teacher_precision
from limbeck.runs.placing import placed
from limbeck.ssld.feed import Feed
from limbeck.ssld.folder import start_folder
from limbeck.ssld.holdout import hold_out
from limbeck.ssld.label_file import keep_labels
from limbeck.ssld.labelled import Labelled, open_labelled
from limbeck.ssld.labels import Labels, labels_of
from limbeck.ssld.mixup import Mixup
from limbeck.ssld.opening import (
    check_teacher,
    class_names,
    keep_photos,
    name_teacher,
    open_images,
    open_store,
    open_teacher,
    refuse_foreign,
    refuse_moved,
    run_photos,
    store_root,
    tell_found,
    with_own_copy,
)
from limbeck.ssld.options import Distill
from limbeck.ssld.origin import head_names, origin_of
from limbeck.ssld.probe import Probe, ask_teacher, epochs_between
from limbeck.ssld.step import Distance, LabelledStep, LabelSource, SoftLabelStep, StudentInput
from limbeck.ssld.store import SoftLabelStore, default_keep, encode
from limbeck.ssld.student import Student, check_student, checkpoint_of, make_student
from limbeck.ssld.teaching import Teaching
from limbeck.step import Step
from limbeck.training.plan import Plan
from limbeck.training.ranks import Ranks
from limbeck.training.rates import parameter_rates, tell_rates
from limbeck.training.schedule import warmup_steps


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
    learned: Labels | None = None  # the labelled photos that are learned from

    @property
    def run(self) -> Path:
        return Path(self.options.out)


def prepare(options: Distill, ranks: Ranks, module: nn.Module | None = None) -> Job:
    """Look at the photos and the models, and make the run folder when nothing is left that cannot work."""
    asked = options
    if options.views:
        options = with_own_copy(options, ranks)
        refuse_foreign(store_root(options))
    spec = name_teacher(options, module) if options.loss != "cross-entropy" else None
    check_student(options)
    origin = origin_of(options) if spec is None else None
    images = open_images(run_photos(options), options, ranks)
    if options.resume:
        ranks.once(partial(refuse_moved, images))
    labelled = open_labelled(options, images, origin, ranks) if origin else None
    if labelled:
        options = labelled.options
    photos, held = sides(images, options, labelled)
    console.print(tell_found(images, photos, held))
    options = replace(
        options,
        precision=student_precision(options.precision, ranks.device),
        teacher_precision="float32"
        if spec is not None and spec.only_float32
        else teacher_precision(options.teacher_precision, ranks.device),
    )
    teaching = open_teacher(options, ranks, spec) if spec else None
    if labelled:
        classes, student = labelled.learned.classes, labelled.student
    else:
        classes = class_names(teaching, checkpoint_of(options)) if teaching else ()
        student = make_student(options, classes)
    check_fit(student)
    rates = rates_of(student, options)
    order = Order(len(photos), options.batch, options.seed, options.views, options.crops_per_read)
    order.reads(0, ranks.rank, ranks.world)  # a batch that these processes cannot share is told before anything is made
    if not options.steps:
        order.check_epochs(options.epochs)
    if labelled:
        evaluation = labelled.measured
    else:
        evaluation = labels_of(open_images((options.eval,), options, ranks), classes) if options.eval else None
    evaluated = (len(held) if teaching else 0) + (len(evaluation.photos) if evaluation else 0)
    if not options.evaluate_every:
        every = epochs_between(order.steps_per_epoch, options.batch, evaluated)
        options = replace(options, evaluate_every=every)
    plan = make_plan(options, order.steps_per_epoch, rates)
    policy = view_policy(options, student.preprocess.size, teaching, student.preprocess.interpolation)
    store = open_store(options, policy, teaching, photos.keys) if options.views and teaching else None
    options = replace(options, keep_top=store.stamp.keep if store is not None else 0)
    feed = make_feed(options, ranks, photos, policy, order, plan.steps, store, labelled)
    inputs = StudentInput(student.preprocess, options.precision)
    model = ready(student.model, options, ranks)
    step: Step = LabelledStep(model, inputs, options.label_smoothing)
    probe = None
    if teaching is not None:
        probe = ranks.once(partial(ask, options, teaching, feed, held))
        step = soft_label_step(options, teaching, feed, model, inputs)
    if ranks.first:
        keep_photos(start_folder(options, asked), images)
        if labelled:
            keep_labels(labelled.named, options)
    ranks.wait()
    learned = labelled.learned if labelled else None
    return Job(options, ranks, images, classes, student, inputs, feed, plan, step, teaching, probe, evaluation, learned)


def make_feed(
    options: Distill,
    ranks: Ranks,
    photos: ImageSet,
    policy: ViewPolicy,
    order: Order,
    steps: int,
    store: SoftLabelStore | None,
    labelled: Labelled | None,
) -> Feed:
    return Feed(
        photos,
        policy,
        order,
        steps=steps,
        workers=reading_workers(options.workers, ranks.world),
        rank=ranks.rank,
        world=ranks.world,
        pinned=ranks.device.type == "cuda",
        store=store,
        truth=labelled.learned.truth if labelled else None,
        mixup=Mixup(options.mixup, options.seed) if options.mixup else None,
    )


def check_fit(student: Student) -> None:
    """Stop where a student cannot take images of its size, as transformers with fixed patches cannot take all."""
    height, width = student.preprocess.size
    why = refusal(student.model, (height, width))
    own = min(preprocess_of(student.model).size)
    unsure = own != height and refusal(student.model, (own, own)) == why
    if not why or unsure:  # what no shape can tell is told by the first step
        return
    size = nearest_size(student.model, height, own)
    raise OptionError(
        f"{student.architecture.name} cannot take images of {height} x {width}: {why}",
        expected="a size that it can take",
        hint=f"--student-size {size if size != height else 32 * max(1, round(height / 32))}",
    )


def ask(options: Distill, teaching: Teaching, feed: Feed, held: ImageSet) -> Probe | None:
    """Check the teacher, and ask it about the held-out photos; a store that knows everything speaks for it."""
    if options.check_teacher and not feed.covered():
        check_teacher(teaching, feed.photos)
    keep = encoder(options, teaching.facts.classes)
    probe = ask_teacher(held, teaching, keep, feed.workers, feed.store) if len(held) else None
    if not teaching.loaded:
        console.print("the store has every label that this run needs: the teacher is not loaded")
    return probe


def soft_label_step(
    options: Distill, teaching: Teaching, feed: Feed, model: nn.Module, inputs: StudentInput
) -> SoftLabelStep:
    keep = encoder(options, teaching.facts.classes) if feed.store is not None else None
    source = LabelSource(teaching.log_probabilities, keep, feed.keep)
    return SoftLabelStep(model, inputs, distance(options), options.loss.replace("-", "_"), source)


def sides(images: ImageSet, options: Distill, labelled: Labelled | None) -> tuple[ImageSet, ImageSet]:
    """The photos to learn from, and those held out of them."""
    if labelled is None:
        return hold_out(images, options.probe)
    held = labelled.measured.photos if labelled.measured and not options.eval else images.take([])
    return labelled.learned.photos, held


def rates_of(student: Student, options: Distill) -> dict[str, float]:
    """The multipliers of the learning rate by parameter, told where there are any."""
    if options.tune == "all" and not options.layer_rates:
        return {}
    head = head_names(student.architecture)
    rates = parameter_rates(student.model, head, options.tune, options.layer_rates)
    if options.tune != "all":
        learns = sum(rates.get(name, 1.0) > 0 for name, _ in student.model.named_parameters())
        whom = "the classifier and the norm layers are" if options.tune == "norms" else "the classifier is"
        console.print(f"only {whom} trained: {counted(learns, 'tensor')}; the rest stays as it is")
    if options.layer_rates:
        console.print(tell_rates(student.model, head, options.layer_rates), markup=False)
    return rates


def view_policy(
    options: Distill, size: tuple[int, int], teaching: Teaching | None, interpolation: str = "bicubic"
) -> ViewPolicy:
    """Views are rendered at the larger of the student's size and the teacher's, and reduced for the other.

    `interpolation` is that of the student's evaluation, which its --test-view is taken with.
    """
    return ViewPolicy(
        size=max(teaching.facts.size if teaching else 0, *size),
        centre=interpolation if options.test_view else "",
        scale=options.crop_scale,
        ratio=options.crop_ratio,
        flip=options.flip,
        colour=options.colour,
        seed=options.view_seed,
    )


def make_plan(options: Distill, steps_per_epoch: int, rates: Mapping[str, float]) -> Plan:
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
        rates=rates,
    )


def encoder(options: Distill, classes: int) -> Callable[[Tensor], SoftLabels]:
    """What the store makes of the teacher's answers."""
    keep = options.keep_top or default_keep(classes)
    return lambda answers: encode(answers, keep)


def distance(options: Distill) -> Distance:
    found: Distance = divergence(options.loss)
    if options.loss == "jeffreys":
        return lambda student, teacher: found(student, teacher, eps=options.loss_eps)
    return found


def ready(student: nn.Module, options: Distill, ranks: Ranks) -> nn.Module:
    student = placed(student, ranks.device, one_norm=options.sync_bn)
    if options.compile:
        student.compile()
    return student
