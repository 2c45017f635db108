"""From photos to batches: reading in order, then what the store and the class folders know."""

from collections.abc import Generator

import numpy as np
import torch

from limbeck.images.imageset import ImageSet
from limbeck.images.order import Order
from limbeck.images.reader import Reader
from limbeck.images.view import ViewPolicy
from limbeck.records import SoftLabels
from limbeck.ssld.batch import PhotoBatch
from limbeck.ssld.mixup import Mixup
from limbeck.ssld.store import SoftLabelStore


class Feed:
    """The batches of a run, from any step on."""

    def __init__(
        self,
        photos: ImageSet,
        policy: ViewPolicy,
        order: Order,
        *,
        steps: int,
        workers: int,
        rank: int = 0,
        world: int = 1,
        pinned: bool = False,
        store: SoftLabelStore | None = None,
        truth: torch.Tensor | None = None,
        mixup: Mixup | None = None,
    ) -> None:
        self.photos, self.policy, self.order, self.steps, self.workers = photos, policy, order, steps, workers
        self.rank, self.world, self.pinned, self.store, self.truth = rank, world, pinned, store, truth
        self.mixup = mixup
        self.lost: dict[int, str] = {}  # photos that could not be read any more, and why

    def __call__(self, done: int, replaced: dict[int, int]) -> Generator[PhotoBatch, None, None]:
        reads = (self.order.reads(step, self.rank, self.world) for step in range(done, self.steps))
        reader = Reader(self.photos, self.policy, workers=self.workers, replaced=replaced, pinned=self.pinned)
        for step, batch in enumerate(reader.batches(reads), done):
            self.lost |= batch.reasons
            if self.store is not None and step % self.order.steps_per_epoch == 0:
                self.store.refresh()
            truth = None if self.truth is None else self.truth[batch.indices]
            stored, hit = self._look_up(batch.indices, batch.numbers)
            yield PhotoBatch(
                batch.images,
                batch.indices,
                batch.numbers,
                self.photos,
                batch.replaced,
                stored,
                hit,
                whole=hit is not None and bool(hit.all()),
                truth=truth,
                mixed=self.mixup(batch.images, truth, step, self.rank) if self.mixup and truth is not None else None,
            )

    def _look_up(self, indices: torch.Tensor, numbers: torch.Tensor) -> tuple[SoftLabels | None, torch.Tensor | None]:
        if self.store is None:
            return None, None
        labels, hit = self.store.look_up(self.photos.keys[indices.numpy()], numbers.numpy())
        return labels, torch.from_numpy(hit)

    def keep(self, batch: PhotoBatch, labels: SoftLabels) -> None:
        """Put the labels that the store did not have into it."""
        if self.store is None:
            return
        missed = np.arange(len(batch)) if batch.hit is None else np.flatnonzero(~batch.hit.cpu().numpy())
        if len(missed):
            rows = batch.indices.numpy()[missed]
            fresh = labels.to("cpu")[torch.from_numpy(missed)]
            self.store.add(self.photos.keys[rows], batch.numbers.numpy()[missed], fresh)

    def covered(self) -> bool:
        """Whether the store has every label that the run can ask for."""
        if self.store is None:
            return False
        epochs = -(-self.steps // self.order.steps_per_epoch)
        return all(
            self.store.covers(self.photos.keys, np.full(len(self.photos), number, np.uint32))
            for number in range(min(self.order.views, epochs))
        )
