"""Reading images of which some may be gone or damaged: what stands in for them."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from limbeck.errors import ImagesError
from limbeck.images.decode import Unreadable

Made = TypeVar("Made")
Use = Callable[[int, bytes], Made]  # (index, the bytes of that image)


class Images(Protocol):
    """What reading needs of an `ImageSet`."""

    @property
    def keys(self) -> Any: ...
    def __len__(self) -> int: ...
    def read(self, index: int) -> bytes: ...
    def path(self, index: int) -> str: ...


class Readable:
    """Gives the place of an unreadable image to the next readable one; `replaced` says which did so before."""

    def __init__(self, images: Images, replaced: dict[int, int]) -> None:
        self.images, self.replaced = images, replaced

    def __call__(self, index: int, use: Use[Made], reasons: dict[int, str]) -> tuple[int, Made]:
        """The image that was used, and what `use` made of it; why the ones before it were not goes into `reasons`."""
        for candidate in self._candidates(index):
            try:
                return candidate, read_as(self.images, candidate, use)
            except Unreadable as error:
                reasons[candidate] = str(error)
        first, reason = next(iter(reasons.items()))
        raise ImagesError(
            f"none of the {len(self.images):,} images can be read any more ({self.images.path(first)}: {reason})",
            expected="the photos where they were when the run began",
            hint="see that their disk is there, then go on with --resume",
        )

    def _candidates(self, index: int) -> Iterator[int]:
        """The image itself, or what replaced it before; after it the next ones that are not known as unreadable."""
        first = self.replaced.get(index, index)
        yield first
        for further in range(first + 1, first + len(self.images)):
            if (candidate := further % len(self.images)) != index and candidate not in self.replaced:
                yield candidate


def read_as(images: Images, index: int, use: Use[Made]) -> Made:
    """What `use` makes of an image; Unreadable, with the reason, where its bytes are gone or no image any more."""
    try:
        return use(index, _read(images, index))
    except Unreadable:
        raise
    except Exception as error:
        error.add_note(f"while reading {images.path(index)}")
        raise


def _read(images: Images, index: int) -> bytes:
    try:
        return images.read(index)
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None
    except (ValueError, ImagesError) as error:
        raise Unreadable(str(error)) from None
