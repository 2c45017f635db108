"""What a run opens before it begins: its photos, its teacher, its store."""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from limbeck.checkpoints.card import read_card
from limbeck.classification.names import numbered
from limbeck.console import console
from limbeck.errors import CheckpointError, ImagesError, OptionError, counted
from limbeck.images.cache import cache_root
from limbeck.images.imageset import ImageSet
from limbeck.images.places import is_url
from limbeck.images.reader import evaluation_batches
from limbeck.images.view import ViewPolicy
from limbeck.runs.devices import reading_workers
from limbeck.ssld.folder import photos_file
from limbeck.ssld.options import Distill
from limbeck.ssld.remote import copy_of, fetch
from limbeck.ssld.shard import Keys
from limbeck.ssld.store import SoftLabelStore, check_space, read_stamp
from limbeck.ssld.teacher import TeacherSpec, check_answers
from limbeck.ssld.teaching import TeacherFacts, Teaching
from limbeck.training.ranks import Ranks

CHECKED = 64
_LOOKED_AT = 16
_MOVED = "put them back or a link in their place, ln -s NEW_PLACE OLD_PLACE; or begin anew: --config RUN --out NEW_RUN"


def run_photos(options: Distill) -> tuple[str, ...]:
    """Where the photos of a run are listed: a run that goes on has kept its list."""
    kept = photos_file(Path(options.out))
    return (str(kept),) if options.resume and kept.exists() else options.images


def open_images(sources: tuple[str, ...], options: Distill, ranks: Ranks) -> ImageSet:
    """The photos; one process looks at them, the others take its list, so that all have the same."""
    cache = Path(options.cache) if options.cache else None
    workers = reading_workers(options.workers, ranks.world)
    return ranks.once(lambda: ImageSet.open(list(sources), cache=cache, workers=workers))


def refuse_moved(photos: ImageSet) -> None:
    """Stop where not one of some photos of a run that goes on is where it was."""
    reason = ""
    for index in np.unique(np.linspace(0, len(photos) - 1, _LOOKED_AT).astype(np.int64)).tolist():
        try:
            photos.read(index)
            return
        except OSError as error:
            reason = reason or f"{photos.path(index)}: {error.strerror or error}"
    raise ImagesError(
        f"the photos of this run are not where they were: {reason}",
        expected="the photos in the place where the run found them",
        hint=_MOVED,
    )


def tell_found(images: ImageSet, photos: ImageSet, held: ImageSet) -> str:
    """The photos of a run in one line. Copies have one key, of which eight bytes tell photos apart."""
    told = f"{counted(len(photos), 'photo')} to learn from, {len(held):,} held out, {len(images.skipped):,} skipped"
    copies = len(images) - len(np.unique(np.ascontiguousarray(images.keys[:, :8]).view(np.uint64)))
    if not copies:
        return told
    again = "is a copy of another, and counts" if copies == 1 else "are copies of others, and count"
    return f"{told}; {copies:,} of them {again} again"


def keep_photos(run: Path, images: ImageSet) -> None:
    images.write_skipped(run / "skipped.csv")
    if images.manifest != photos_file(run).absolute():
        photos_file(run).parent.mkdir(exist_ok=True)
        images.save(photos_file(run))


def name_teacher(options: Distill, module: nn.Module | None) -> TeacherSpec:
    """Who the teacher is: names and files are looked at, nothing is loaded."""
    if options.teacher.startswith("python:") and module is None:
        raise OptionError(
            f"the teacher of this run was a module from Python ({options.teacher.removeprefix('python:')})",
            expected="the same module again",
            hint=f"limbeck.distill(teacher=module, out={options.out!r}, resume=True)",
        )
    try:
        return TeacherSpec.parse(
            module if module is not None else options.teacher,
            weights=options.teacher_weights or None,
            size=options.teacher_size or None,
            mean=options.teacher_mean or None,
            std=options.teacher_std or None,
            norm=options.teacher_norm,
        )
    except CheckpointError as error:
        if not options.resume:
            raise
        raise CheckpointError(
            error.found, expected="the teacher where it was when the run began", hint=_MOVED
        ) from error


def open_teacher(options: Distill, ranks: Ranks, spec: TeacherSpec) -> Teaching:
    """The teacher; what a soft-label store tells of it is believed, so that it need not be loaded."""
    stamp = read_stamp(store_root(options)) if options.views else None
    facts = None
    if stamp is not None and stamp.teacher == spec.fingerprint and "teacher" in stamp.extra:
        facts = TeacherFacts.from_dict(stamp.extra["teacher"])
    teaching = Teaching(spec, ranks.device, options.teacher_precision, facts)
    licence = f", licence {teaching.facts.licence}" if teaching.facts.licence else ""
    classes = counted(teaching.facts.classes, "class", "classes")
    console.print(f"teacher {teaching.facts.description}: {classes}{licence}", markup=False)
    for assumption in spec.assumptions:
        console.print(assumption, markup=False)
    return teaching


def class_names(teaching: Teaching, student: Path | None) -> tuple[str, ...]:
    """The teacher's; a teacher without names is believed to mean those of a student that is a checkpoint."""
    facts = teaching.facts
    if facts.names:
        return facts.names
    known = tuple(read_card(student).classes) if student else ()
    return known if len(known) == facts.classes else numbered(facts.classes)


def store_root(options: Distill) -> Path:
    return Path(options.store) if options.store else Path(options.out) / "store"


def with_own_copy(options: Distill, ranks: Ranks | None = None) -> Distill:
    """A store at a URL is a copy on this machine, which has all that is there."""
    if not is_url(options.store):
        return options
    folder = copy_of(options.store, Path(options.cache).absolute() if options.cache else cache_root())
    if ranks is None:
        fetch(options.store, folder)
    else:
        ranks.once(partial(fetch, options.store, folder))
    return replace(options, store=str(folder))


def refuse_foreign(root: Path) -> None:
    """A store is not put among other files, least of all among photos."""
    if root.is_dir() and not (root / "store.json").exists():
        others = [path.name for path in root.iterdir() if not path.name.endswith(".tmp")]
        found = f"--store {root} holds other files: {', '.join(sorted(others)[:3])}" if others else ""
    else:
        found = f"--store {root} is a file" if root.exists() and not root.is_dir() else ""
    if found:
        raise OptionError(found, expected="a store, or a new or empty folder", hint="--store ANOTHER_FOLDER")


def open_store(options: Distill, policy: ViewPolicy, teaching: Teaching, keys: Keys) -> SoftLabelStore:
    """The soft-label store of a run, with its size told and the free disk checked; `keys` are those of its photos."""
    facts = teaching.facts
    store = SoftLabelStore.open(
        store_root(options),
        teacher=teaching.fingerprint,
        views=policy.fingerprint(),
        classes=facts.classes,
        keep=options.keep_top,
        about_teacher=facts.description,
        about_views=str(policy),
        extra={"teacher": facts.to_dict(), "views": asdict(policy)},
    )
    needed = store.bytes_for(store.missing(keys, options.views))
    console.print(
        f"soft labels in {store.root}: {len(store):,} there, {needed / 1e6:,.1f} MB more to come for "
        f"{counted(options.views, 'view')} of {counted(len(keys), 'photo')}, {store.bytes_for(1):,} bytes each",
        markup=False,
    )
    check_space(store.root, needed)
    return store


def check_teacher(teaching: Teaching, photos: ImageSet) -> None:
    """Ask the teacher about a few photos; answers that cannot teach stop the run here."""
    few = photos.take(np.linspace(0, len(photos) - 1, min(CHECKED, len(photos))).astype(np.int64))
    batches = evaluation_batches(few, teaching.facts.preprocesses, batch=CHECKED // 2, workers=0)
    check_answers(torch.cat([teaching.evaluate(batch.views).cpu() for batch in batches]))
