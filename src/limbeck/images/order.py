"""Which images, in which views, each step reads: a pure function of the step."""

from functools import lru_cache
from math import gcd

import numpy as np
import numpy.typing as npt

from limbeck.errors import ImagesError, OptionError, counted

Read = tuple[int, tuple[int, ...]]  # the index of an image, and the view numbers that its one read serves


class Order:
    """An epoch is one view of each image, in an order of its own; its last batch is filled up from its beginning.

    With `crops_per_read` M, M epochs share one order and only together show each image M times: one read serves M
    consecutive view numbers. With `views` R the numbers go round after R. Nothing is remembered, so a run can start at
    any step and any rank knows its share. With `kinds`, a number for each image, a batch has images of one
    kind, but for what is left over at the end of an epoch.

    >>> order = Order(count=5, batch=2, seed=0)
    >>> order.steps_per_epoch, order.epoch(5), [len(order.reads(step)) for step in range(3)]
    (3, 1, [2, 2, 2])
    """

    def __init__(
        self,
        count: int,
        batch: int,
        seed: int,
        views: int = 0,
        crops_per_read: int = 1,
        kinds: npt.NDArray[np.integer | np.bool_] | None = None,
    ) -> None:
        if crops_per_read < 1 or batch % crops_per_read or views % crops_per_read:
            raise OptionError(
                f"{crops_per_read} crops per read with a batch of {batch} and {views} views",
                expected="a batch and a number of views that are multiples of the crops per read",
                hint="--crops-per-read 1",
            )
        if count < batch:
            raise _too_few(count, batch, crops_per_read)
        self.count, self.batch, self.seed = count, batch, seed
        self.views, self.crops_per_read, self.kinds = views, crops_per_read, kinds
        self._latest = (-1, np.empty(0, np.uint32))
        self.steps_per_epoch = -(-count // batch)

    def epoch(self, step: int) -> int:
        return step // self.steps_per_epoch

    def check_epochs(self, epochs: int) -> None:
        """Raises where a run of so many epochs would not show each image equally often."""
        if epochs % self.crops_per_read:
            fitting = -(-epochs // self.crops_per_read) * self.crops_per_read
            raise OptionError(
                f"{epochs} epochs with {self.crops_per_read} crops per read",
                expected=f"a multiple of {self.crops_per_read}: so many epochs share the reads",
                hint=f"--epochs {fitting}, or --crops-per-read {gcd(epochs, self.crops_per_read)}",
            )

    def reads(self, step: int, rank: int = 0, world: int = 1) -> list[Read]:
        """The reads of one rank at a step: its slice of the global batch."""
        crops = self.crops_per_read
        if self.batch % (world * crops):
            raise OptionError(
                f"a batch of {self.batch} over {world} processes with {crops} crops per read",
                expected=f"a multiple of {world * crops}",
                hint=f"--batch {-(-self.batch // (world * crops)) * world * crops}",
            )
        turn, within = divmod(step, self.steps_per_epoch * crops)
        each = self.batch // crops // world
        start = within * self.batch // crops + rank * each
        numbers = tuple(self._number(turn * crops + crop) for crop in range(crops))
        places = np.arange(start, start + each) % self.count
        return [(int(index), numbers) for index in self._turn(turn)[places]]

    def _turn(self, turn: int) -> npt.NDArray[np.uint32]:
        drawn = _permutation(self.count, self.seed, turn)
        if self.kinds is None:
            return drawn
        if self._latest[0] != turn:
            each = self.batch // self.crops_per_read
            self._latest = turn, drawn[in_batches_of_a_kind(self.kinds[drawn], each)]
        return self._latest[1]

    def _number(self, epoch: int) -> int:
        return epoch % self.views if self.views else epoch


def in_batches_of_a_kind(kinds: npt.NDArray[np.integer | np.bool_], batch: int) -> npt.NDArray[np.intp]:
    """The places in order, but gathered by kind: a batch comes when it is full, those that never are come last.

    >>> in_batches_of_a_kind(np.array([0, 1, 1, 0, 0, 1, 0]), 2).tolist()
    [1, 2, 0, 3, 4, 6, 5]
    """
    full, left = [], []
    for kind in np.unique(kinds):
        places = np.flatnonzero(kinds == kind)
        whole = len(places) // batch * batch
        full.append(places[:whole].reshape(-1, batch))
        left.append(places[whole:])
    batches = np.concatenate(full)
    batches = batches[np.argsort(batches[:, -1])]
    return np.concatenate([batches.ravel(), np.sort(np.concatenate(left))])


@lru_cache(maxsize=2)
def _permutation(count: int, seed: int, turn: int) -> npt.NDArray[np.uint32]:
    """Sorted by a drawn number, the place in the low bits: raw Philox bits are the same in every numpy."""
    assert count < 2**32
    drawn = np.random.Philox(key=np.array([seed % 2**64, turn], dtype=np.uint64)).random_raw(count)
    drawn &= np.uint64(0xFFFFFFFF_00000000)
    drawn |= np.arange(count, dtype=np.uint64)
    drawn.sort()
    return drawn.astype(np.uint32)


def _too_few(count: int, batch: int, crops: int) -> ImagesError:
    fitting = next((size for size in (128, 64, 32, 16, 8, 4, 2, 1) if size <= count and size % crops == 0), 0)
    return ImagesError(
        f"{counted(count, 'usable image')}, fewer than a batch of {batch}",
        expected=f"at least {batch} images",
        hint=f"--batch {fitting}, or more images" if fitting else "more images",
    )
