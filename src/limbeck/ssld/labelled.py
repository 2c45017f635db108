"""A run with labels before its first step: its classes, its model, and what it is measured on."""

from dataclasses import dataclass, replace

import numpy as np

from limbeck.console import console
from limbeck.errors import counted
from limbeck.images.imageset import ImageSet
from limbeck.ssld.holdout import apart, hold_out_each
from limbeck.ssld.label_file import named_photos
from limbeck.ssld.labels import Labels, Named, labels_of, tell_balance
from limbeck.ssld.opening import open_images
from limbeck.ssld.options import Distill
from limbeck.ssld.origin import Origin, choose_head, head_names, labelled_student
from limbeck.ssld.student import Student, goes_on
from limbeck.training.ranks import Ranks
from limbeck.training.rates import reference_rates


@dataclass(frozen=True)
class Labelled:
    """The options with their rates settled, the model, the photos to learn from and those to measure on, if any."""

    options: Distill
    student: Student
    named: Named
    learned: Labels
    measured: Labels | None


def open_labelled(options: Distill, images: ImageSet, origin: Origin, ranks: Ranks) -> Labelled:
    """Settle the classes and the model by the photos' labels, and keep a share of each class out of training."""
    named = named_photos(images, options)
    head = choose_head(named.kinds, origin)
    if not goes_on(options):
        console.print(head.told, markup=False)
    labels = named.labels(head.classes)
    console.print(tell_balance(labels), markup=False)
    student = labelled_student(options, origin, head)
    if origin.distilled and head.anew and options.tune != "head" and not options.layer_rates:
        rates = reference_rates(student.model, head_names(student.architecture))
        options = replace(options, layer_rates=rates)
    measured: Labels | None = None
    if named.held is not None:
        labels, measured = apart(labels, named.held)
        console.print(_told(labels, measured, options))
    if options.eval:
        measured = labels_of(open_images((options.eval,), options, ranks), head.classes)
    elif measured is None and options.probe:
        labels, measured = hold_out_each(labels, options.probe)
    return Labelled(options, student, named, labels, measured if options.eval or options.probe else None)


def _told(learned: Labels, measured: Labels, options: Distill) -> str:
    """What becomes of the photos that somebody kept apart."""
    count = counted(len(measured.photos), "photo")
    if options.eval or not options.probe:
        return f"{count} of the split 'val' left out"
    mine, theirs = (np.ascontiguousarray(each.photos.keys).view("V16")[:, 0] for each in (learned, measured))
    both = int(np.isin(theirs, mine).sum())
    return f"{count} of the split 'val' to measure on" + (f"; {both:,} of them learned from too" if both else "")
