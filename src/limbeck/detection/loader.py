"""Batches of photos with boxes: for the training loop from any step on, and in order for evaluation."""

import dataclasses
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limbeck.detection.batch import Targets, stacked
from limbeck.detection.dataset import DetectionSet
from limbeck.detection.masks import Masks
from limbeck.detection.shared_draws import Sizes
from limbeck.detection.views import Policy, View, render
from limbeck.errors import OptionError
from limbeck.images.decode import Unreadable
from limbeck.images.order import Order
from limbeck.images.prepare import to_input
from limbeck.images.readable import Images, Readable, read_as
from limbeck.images.stream import stream
from limbeck.records import Target, moved

Reading = tuple[int, list[tuple[int, int]]]  # a step, and the index and view number of each of its images

_TENSORS = ("images", "frames", "indices", "numbers")


@dataclass(frozen=True)
class DetectionBatch:
    """Images in the corner of one canvas, and what is on them; `frames` say how much of the canvas each one fills.

    `indices` are the images that were used; `replaced` says for which unreadable ones, `reasons` why those were not.
    """

    images: Tensor  # uint8, float16 or float32 [B, 3, H, W], 0 to 255, channels last
    targets: Targets
    frames: Tensor  # float32 [B, 4]: height, width, original height, original width
    indices: Tensor  # int64 [B], into `photos`
    numbers: Tensor  # int64 [B], view numbers
    photos: DetectionSet | None = None
    replaced: dict[int, int] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    masks: tuple[Masks, ...] = ()  # where the set was opened with masks; rows as in `targets`
    padded: bool = False

    def __len__(self) -> int:
        return len(self.images)

    def split(self, parts: int) -> "list[DetectionBatch]":
        size = -(-len(self) // parts)
        return [self.rows(slice(start, start + size)) for start in range(0, len(self), size)]

    def rows(self, rows: slice) -> "DetectionBatch":
        """Some of the images."""
        return dataclasses.replace(self._each(lambda tensor: tensor[rows]), masks=self.masks[rows])

    def to(self, device: torch.device) -> "DetectionBatch":
        return self._each(lambda tensor: moved(tensor, device), ("images", "frames"))

    def pin_memory(self) -> "DetectionBatch":
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Any, names: Sequence[str] = _TENSORS) -> "DetectionBatch":
        changed = {name: change(getattr(self, name)) for name in names}
        return dataclasses.replace(self, targets=Targets(*map(change, self.targets)), **changed)

    def names(self) -> list[str]:
        assert self.photos is not None
        return [self.photos.images.path(int(index)) for index in self.indices]

    def normalised(self, mean: tuple[float, float, float], std: tuple[float, float, float]) -> Tensor:
        """What a network takes: float32, channels last; zero beyond the frames, as the references pad.

        >>> nothing = torch.zeros(1, 0, 4), torch.zeros(1, 0, dtype=torch.int64), torch.zeros(1, 0, dtype=torch.bool)
        >>> frames, first = torch.tensor([[1.0, 2.0, 1.0, 2.0]]), torch.zeros(1, dtype=torch.int64)
        >>> grey = torch.full((1, 3, 1, 4), 255, dtype=torch.uint8)
        >>> batch = DetectionBatch(grey, Targets(*nothing), frames, first, first, padded=True)
        >>> batch.normalised((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))[0, 0]
        tensor([[1., 1., 0., 0.]])
        """
        height, width = self.images.shape[2:]
        whole = to_input(self.images, (height, width), mean, std)
        if self.padded:
            down = torch.arange(height, device=whole.device) < self.frames[:, 0, None]
            across = torch.arange(width, device=whole.device) < self.frames[:, 1, None]
            whole *= (down[:, :, None] & across[:, None, :])[:, None]
        return whole


class Loader:
    """The batches of a run, from any step on: in an epoch `repeats` views of each image, in an order of its own.

    `sizes` draws one size for each step's batch, on all processes the same; with `by_shape` a batch has photos that
    are all wide or all tall.
    """

    def __init__(
        self,
        photos: DetectionSet,
        policy: Policy,
        *,
        batch: int,
        steps: int,
        seed: int = 0,
        repeats: int = 1,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
        pinned: bool = False,
        sizes: Sizes | None = None,
        by_shape: bool = False,
    ) -> None:
        if repeats < 1:
            raise OptionError(f"{repeats} repeats", expected="at least 1 view of each image an epoch", hint="1")
        self.photos, self.policy, self.steps, self.workers = photos, policy, steps, workers
        self.repeats, self.rank, self.world, self.pinned, self.sizes = repeats, rank, world, pinned, sizes
        shapes = np.tile(photos.images.tall(), repeats) if by_shape else None
        self.order = Order(len(photos) * repeats, batch, seed, kinds=shapes)
        self.lost: dict[int, str] = {}  # photos that could not be read any more, and why

    @property
    def steps_per_epoch(self) -> int:
        return self.order.steps_per_epoch

    def __call__(self, done: int, replaced: dict[int, int]) -> Generator[DetectionBatch, None, None]:
        tasks = ((step, self.reads(step)) for step in range(done, self.steps))
        work = _Training(self.photos, self.policy, dict(replaced), self.sizes)
        for batch in stream(work, tasks, self.workers, self.pinned):
            self.lost |= batch.reasons
            yield dataclasses.replace(batch, photos=self.photos)

    def reads(self, step: int) -> list[tuple[int, int]]:
        """Index and view number of each image of this process at a step."""
        count = len(self.photos)
        return [
            (place % count, epoch * self.repeats + place // count)
            for place, (epoch,) in self.order.reads(step, self.rank, self.world)
        ]


def evaluation_batches(
    photos: DetectionSet,
    policy: Policy,
    *,
    batch: int,
    workers: int = 0,
    pinned: bool = False,
    lost: dict[int, str] | None = None,
) -> Iterator[DetectionBatch]:
    """All images in order; unreadable ones are left out, and why goes into `lost` {index: reason}."""
    work = _Evaluation(photos.images, policy, photos)
    for made, reasons in stream(work, _spans(len(photos), batch), workers, pinned):
        if lost is not None:
            lost |= reasons
        if made is not None:
            yield dataclasses.replace(made, photos=photos)


def photo_batches(
    images: Images, policy: Policy, *, batch: int, workers: int = 0, pinned: bool = False
) -> Iterator[tuple[DetectionBatch | None, dict[int, str]]]:
    """All images in order, of which nothing is known, and why some of them are left out {index: reason}."""
    yield from stream(_Evaluation(images, policy), _spans(len(images), batch), workers, pinned)


def _spans(count: int, batch: int) -> Iterator[range]:
    return (range(start, min(start + batch, count)) for start in range(0, count, batch))


class _Training:
    def __init__(
        self, photos: DetectionSet, policy: Policy, replaced: dict[int, int], sizes: Sizes | None = None
    ) -> None:
        self.photos, self.policy, self.sizes = photos, policy, sizes
        self.readable = Readable(photos.images, replaced)

    def __call__(self, reading: Reading) -> DetectionBatch:
        step, reads = reading
        policy = self.policy if self.sizes is None else self.policy.at(self.sizes.at(step))
        views: list[View] = []
        indices: list[int] = []
        replaced: dict[int, int] = {}
        reasons: dict[int, str] = {}
        for index, number in reads:

            def view(candidate: int, data: bytes, number: int = number) -> View:
                key = self.photos.images.keys[candidate].tobytes()
                return render(policy, data, self.photos.target(candidate), key, number)

            used, seen = self.readable(index, view, reasons)
            if used != index:
                replaced[index] = used
            views.append(seen)
            indices.append(used)
        self.readable.replaced |= replaced
        return collated(views, indices, [number for _, number in reads], policy.divisor, replaced, reasons)


class _Evaluation:
    def __init__(self, images: Images, policy: Policy, photos: DetectionSet | None = None) -> None:
        self.images, self.policy, self.photos = images, policy, photos

    def __call__(self, span: range) -> tuple[DetectionBatch | None, dict[int, str]]:
        views: list[View] = []
        indices: list[int] = []
        reasons: dict[int, str] = {}
        for index in span:
            try:
                views.append(read_as(self.images, index, self._view))
                indices.append(index)
            except Unreadable as error:
                reasons[index] = str(error)
        if not views:
            return None, reasons
        return collated(views, indices, [0] * len(indices), self.policy.divisor, {}, reasons), reasons

    def _view(self, index: int, data: bytes) -> View:
        if self.photos is None:
            return render(self.policy, data, Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)), b"", 0)
        return render(self.policy, data, self.photos.target(index), self.photos.images.keys[index].tobytes(), 0)


def collated(
    views: Sequence[View],
    indices: Sequence[int],
    numbers: Sequence[int],
    divisor: int,
    replaced: dict[int, int],
    reasons: dict[int, str],
) -> DetectionBatch:
    """Views in the upper left corner of a canvas that holds the largest, its sides multiples of the divisor."""
    shapes = [view.image.shape[1:] for view in views]
    height, width = (-(-max(sides) // divisor) * divisor for sides in zip(*shapes))
    padded = any((high, wide) != (height, width) for high, wide in shapes)
    make = torch.zeros if padded else torch.empty
    images = make((len(views), height, width, 3), dtype=views[0].image.dtype).permute(0, 3, 1, 2)
    for row, view in enumerate(views):
        images[row, :, : view.image.shape[1], : view.image.shape[2]] = view.image
    masks = [_without_crowds(view.target) for view in views]
    return DetectionBatch(
        images,
        Targets.of([view.target for view in views]),
        stacked([view.frame for view in views]),
        torch.tensor(indices),
        torch.tensor(numbers),
        None,
        replaced,
        reasons,
        tuple(each for each in masks if each is not None),
        padded,
    )


def _without_crowds(target: Target) -> Masks | None:
    """The masks in the rows of `Targets`."""
    masks: Masks | None = target.masks
    if masks is None or target.crowd is None:
        return masks
    return masks.take((~target.crowd).nonzero()[:, 0].tolist())
