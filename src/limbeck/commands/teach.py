"""limbeck teach: soft labels of many photos, before any student learns from them."""

import shlex
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from torch import nn

from limbeck.commands.distill import starting_point
from limbeck.console import console
from limbeck.errors import Interrupted, LimbeckError, counted
from limbeck.images.imageset import ImageSet
from limbeck.images.mapping import parse_engine
from limbeck.images.places import is_url
from limbeck.runs.devices import start_ranks, teacher_precision
from limbeck.ssld.ahead import Lesson, shards_of, teach_ahead
from limbeck.ssld.holdout import hold_out
from limbeck.ssld.job import view_policy
from limbeck.ssld.opening import (
    check_teacher,
    class_names,
    name_teacher,
    open_store,
    open_teacher,
    refuse_foreign,
    store_root,
    with_own_copy,
)
from limbeck.ssld.options import OPTIONS, Distill
from limbeck.ssld.remote import fetch, publish
from limbeck.ssld.shard import PART
from limbeck.ssld.stamp import STAMP
from limbeck.ssld.store import EVALUATION_VIEW, SoftLabelStore
from limbeck.ssld.student import check_student, checkpoint_of, make_student
from limbeck.ssld.teach_options import Teach, checked, known, of_recipe
from limbeck.ssld.teaching import Teaching

_TOLD = 3
_ELSEWHERE = {"images", "teacher", "views", "out", "student", "check_teacher", "device", "cache", "workers"}


def teach(
    *, images: Any = (), teacher: str | nn.Module = "", views: int = 0, out: str | Path = "", **options: Any
) -> Path:
    """Fill a soft-label store ahead of time; the options are those of `limbeck teach`.

    >>> teach(images="photos", teacher="resnet50d", views=4, out="store", color="jitter")
    Traceback (most recent call last):
    limbeck.errors.OptionError: limbeck.teach: unknown option 'color'
      expected: colour
      try:      colour in its place
    """
    module = teacher if isinstance(teacher, nn.Module) else None
    named = teacher if isinstance(teacher, str) else f"python:{type(teacher).__name__}"
    given = known({"images": images, "teacher": named, "views": views, "out": str(out)} | options)
    return run(replace(starting_options(given.get("recipe", "")), **given), module)


def starting_options(recipe: str = "", config: str = "", resumed: str = "") -> Teach:
    """What a recipe says of views.

    >>> starting_options("ssld_large").colour
    'autoaugment'
    """
    return of_recipe(starting_point(recipe))


def run(options: Teach, module: nn.Module | None = None) -> Path:
    """Run what the options say; the folder of the store."""
    asked = checked(options)
    parse_engine(options.engine)
    if module is not None:  # a module from Python stays in its process
        options = replace(options, engine="plain", workers=0)
    try:
        store, size = fill(options, asked, module)
    except KeyboardInterrupt:
        raise Interrupted(
            "stopped; the shards that are finished are in the store", hint="the same command again goes on from there"
        ) from None
    except LimbeckError as error:
        if "--store" not in error.found + error.hint:
            raise
        found, hint = (text.replace("--store", "--out") for text in (error.found, error.hint))
        raise type(error)(found, expected=error.expected, hint=hint) from error
    console.print(f"next: {next_command(options, size)}", markup=False)
    return store.root


def fill(options: Teach, asked: Distill, module: nn.Module | None) -> tuple[SoftLabelStore, int]:
    """Everything from the first look at the photos to the last label; the store, and the size of its views."""
    url = options.out if is_url(options.out) else ""
    asked = with_own_copy(asked)
    refuse_foreign(store_root(asked))
    ranks = start_ranks(options.device, (), store_root(asked))
    spec = name_teacher(asked, module)
    if options.student:
        check_student(asked)
    workers = None if options.workers < 0 else options.workers
    cache = options.cache or None
    images = ImageSet.open(list(options.images), cache=cache, engine=options.engine, workers=workers)
    photos, held = hold_out(images, options.probe)
    precision = "float32" if spec.only_float32 else teacher_precision(options.teacher_precision, ranks.device)
    teaching = open_teacher(replace(asked, teacher_precision=precision), ranks, spec)
    policy = view_policy(asked, student_size(asked, teaching), teaching)
    store = open_store(asked, policy, teaching, photos.keys)
    facts = {"format": store.stamp.format, "teacher": store.stamp.teacher, "views": store.stamp.views}
    if url:
        publish(url, store.root / STAMP)
    lesson = Lesson(spec, ranks.device.type, precision, policy, store.root.absolute(), store.stamp.keep, facts, url)
    shards = list(shards_of(photos, range(options.views), lesson, store))
    shards += shards_of(held, range(EVALUATION_VIEW, EVALUATION_VIEW + 1), lesson, store)
    if shards and options.check_teacher:
        check_teacher(teaching, photos)
    unreadable = teach_ahead(shards, store, engine=options.engine, workers=workers)
    if url:
        for part in store.root.glob(f"{PART}*"):  # what was stopped before it was sent, too
            publish(url, part)
        fetch(url, store.root)
    store.refresh()
    store.gather()
    if unreadable:
        some = "".join(f"\n  {path}: {reason}" for path, reason in list(unreadable.items())[:_TOLD])
        console.print(f"{counted(len(unreadable), 'photo')} could not be read any more:{some}", markup=False)
    console.print(f"{counted(len(store), 'soft label')} in {url or store.root}", markup=False)
    return store, policy.size


def student_size(asked: Distill, teaching: Teaching) -> tuple[int, int]:
    """The input of the student that will learn, as `limbeck distill` finds it."""
    if not asked.student:
        return asked.student_size, asked.student_size
    return make_student(asked, class_names(teaching, checkpoint_of(asked))).preprocess.size


def next_command(options: Teach, size: int = 0) -> str:
    """What distils with these labels and asks for no others: a larger student would ask for larger views."""
    words = ["limbeck", "distill", "--images", *options.images, "--teacher", options.teacher]
    words += ["--views", str(options.views), "--store", options.out, "--student", options.student or "STUDENT"]
    recipe = starting_options(options.recipe)
    for field in fields(Teach):
        value = getattr(options, field.name)
        standard = Teach().recipe if field.name == "recipe" else getattr(recipe, field.name)
        if field.name in OPTIONS and field.name not in _ELSEWHERE and value != standard:
            parts = value if isinstance(value, tuple) else (value,)
            words += [f"--{field.name.replace('_', '-')}", *map(str, parts)]
    if size and not options.student and not options.student_size:
        words += ["--student-size", str(size)]
    return f"{shlex.join(words)} --out RUN"
