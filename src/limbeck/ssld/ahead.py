"""Soft labels ahead of time: shard by shard, one file of the store a shard, in batches that are always the same."""

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.errors import ImagesError, RunError, StoreError, counted
from limbeck.images.decode import Unreadable, decode
from limbeck.images.imageset import ImageSet
from limbeck.images.mapping import map_shards
from limbeck.images.prepare import centre_view
from limbeck.images.stream import keep_freed_memory
from limbeck.images.view import ViewPolicy, render
from limbeck.records import moved
from limbeck.ssld.gallery import Gallery
from limbeck.ssld.probe import joined
from limbeck.ssld.remote import is_published, publish
from limbeck.ssld.scoring import one_thread
from limbeck.ssld.shard import PART, SUFFIX, block_of, sorted_block, write_shard
from limbeck.ssld.store import EVALUATION_VIEW, SoftLabelStore, encode
from limbeck.ssld.teacher import TeacherSpec
from limbeck.ssld.teaching import Teaching

_VERSION = "1"  # another one makes every unfinished shard another
_BATCH = 32
_LABELS = 8192  # of a shard, at most: what an interruption costs
_FEW = 300  # fewer are made sooner than a worker starts
_WORKERS_OF_A_GPU = 4  # a worker decodes with one core while the GPU waits for it


@dataclass(frozen=True)
class Lesson:
    """The teacher, the views and the store, as a worker can be told of them."""

    spec: TeacherSpec
    device: str
    precision: str
    policy: ViewPolicy
    root: Path
    keep: int
    facts: dict[str, object]
    url: str = ""  # where the files go to besides, for other machines

    def teaching(self) -> Teaching:
        """Loaded once in each process."""
        place = self.spec.fingerprint, self.device, self.precision
        if place not in _loaded:
            _loaded.clear()
            _loaded[place] = Teaching(self.spec, _one_of(self.device), self.precision)
        return _loaded[place]


_loaded: dict[tuple[str, str, str], Teaching] = {}


@dataclass(frozen=True)
class LabelShard:
    """Some photos, in key order, and some of their views; `wanted` are bits, one a label, or empty for all."""

    photos: ImageSet
    numbers: range
    wanted: bytes
    lesson: Lesson

    @property
    def rows(self) -> NDArray[np.int64]:
        """The labels to make: photo by photo, as places in photos x numbers."""
        every = np.arange(len(self.photos) * len(self.numbers))
        return (
            every[np.unpackbits(np.frombuffer(self.wanted, np.uint8), count=len(every)) > 0] if self.wanted else every
        )

    @property
    def result(self) -> Path:
        lesson = self.lesson
        told = f"{_VERSION} {lesson.precision} {lesson.keep} {sorted(lesson.facts.items())} {self.numbers} "
        digest = blake2b(told.encode() + self.wanted, digest_size=16)
        digest.update(np.ascontiguousarray(self.photos.keys).data)
        return lesson.root / f"{PART}{digest.hexdigest()}{SUFFIX}"

    def __str__(self) -> str:
        return f"of {counted(len(self.photos), 'photo')} from {self.photos.path(0)}"


@dataclass(frozen=True)
class Taught:
    """What became of a shard: why photos could not be read, by their paths."""

    unreadable: dict[str, str] = field(default_factory=dict)


def teach_ahead(
    shards: Sequence[LabelShard], store: SoftLabelStore, *, engine: str, workers: int | None, shown: bool = True
) -> dict[str, str]:
    """Make the labels of the shards; why photos could not be read, by their paths."""
    unreadable: dict[str, str] = {}
    if not shards:
        return unreadable
    if sum(len(shard.rows) for shard in shards[:_FEW]) < _FEW and engine == "plain":
        workers = 0
    device = shards[0].lesson.device
    if device != "cpu" and engine == "plain" and workers is None:
        workers = _WORKERS_OF_A_GPU * max(1, torch.cuda.device_count())
    # machines that start together begin in different places, and pass over what others have finished
    start = int.from_bytes(blake2b(f"{socket.gethostname()} {os.getpid()}".encode()).digest()[:8]) % len(shards)
    for taught in map_shards(
        label_shard,
        [*shards[start:], *shards[:start]],
        engine,
        workers=workers,
        shown=shown,
        title="making soft labels, in shards",
        home=None if shards[0].lesson.url else store.root,
        gpus=1 / _WORKERS_OF_A_GPU if device == "cuda" else 0.0,
    ):
        unreadable |= taught.unreadable
    return unreadable


def shards_of(photos: ImageSet, numbers: range, lesson: Lesson, store: SoftLabelStore) -> Iterator[LabelShard]:
    """The shards that lack labels. Where they are cut depends on the photos' keys alone."""
    gallery = Gallery.of(photos)
    for start, stop in gallery.parts:
        part = gallery.part(start, stop)
        span = max(1, _LABELS // len(part))
        for first in range(numbers.start, numbers.stop, span):
            some = range(first, min(first + span, numbers.stop))
            held = store.held(np.repeat(part.keys, len(some), axis=0), np.tile(np.array(some), len(part)))
            if not held.all():
                yield LabelShard(part, some, np.packbits(~held).tobytes() if held.any() else b"", lesson)


def label_shard(shard: LabelShard) -> Taught:
    """Make the labels of a shard, in fixed batches, and keep them in one file of the store."""
    url, result = shard.lesson.url, shard.result
    if result.exists() or (url and is_published(url, result.name)):
        return Taught()
    keep_freed_memory()
    rows, numbers = shard.rows, np.array(shard.numbers)
    unreadable: dict[int, str] = {}
    labels, labelled = [], []
    with one_thread(shard.lesson.device):
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            answers, done = _answers(shard, batch, unreadable)
            if answers is not None:
                labels.append(encode(answers, shard.lesson.keep).to("cpu"))
                labelled.append(batch[done])
    if labels:
        photo, view = np.divmod(np.concatenate(labelled), len(numbers))
        block = block_of(shard.photos.keys[photo], numbers[view], joined(labels))
        try:
            write_shard(shard.lesson.root, sorted_block(block), shard.lesson.facts, result.name)
        except RunError as full:
            raise StoreError(
                full.found,
                expected=full.expected,
                hint="free some space, then the same command again goes on from here",
            ) from full
        if url:
            publish(url, result)
    return Taught({shard.photos.path(index): reason for index, reason in unreadable.items()})


def _answers(
    shard: LabelShard, batch: NDArray[np.int64], unreadable: dict[int, str]
) -> tuple[Tensor | None, NDArray[np.bool_]]:
    """The teacher's answers to some views, and to which: those of photos that can be read."""
    lesson = shard.lesson
    teaching = lesson.teaching()
    evaluation = shard.numbers.start == EVALUATION_VIEW
    photos, place = np.divmod(batch, len(shard.numbers))
    views: list[list[Tensor]] = []
    for index in np.unique(photos).tolist():
        wanted = tuple(shard.numbers[at] for at in place[photos == index].tolist())
        try:
            data = shard.photos.read(index)
        except (OSError, ValueError, ImagesError) as error:
            unreadable[index] = str(error)
            continue
        try:
            if evaluation:
                photo = decode(data)
                views.append([centre_view(preprocess, photo)[None] for preprocess in teaching.facts.preprocesses])
            else:
                views.append([render(lesson.policy, data, shard.photos.keys[index].tobytes(), wanted)])
        except Unreadable as error:
            unreadable[index] = str(error)
    done = ~np.isin(photos, list(unreadable))
    if not views:
        return None, done
    inputs = [torch.cat(each).contiguous(memory_format=torch.channels_last) for each in zip(*views)]
    if evaluation:
        return teaching.evaluate(inputs), done
    return teaching.log_probabilities(moved(inputs[0], _one_of(lesson.device))), done


def _one_of(device: str) -> torch.device:
    """Workers of one machine take its GPUs in turn."""
    count = torch.cuda.device_count() if device == "cuda" else 0
    return torch.device("cuda", os.getpid() % count) if count > 1 else torch.device(device)
