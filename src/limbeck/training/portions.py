"""Forward passes without a backward pass, in portions that fit into memory."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from limbeck.console import console
from limbeck.errors import LimbeckError
from limbeck.training.attempt import free_memory, is_out_of_memory


class Portions:
    """How many images `who` is asked about at once: half as many each time that memory runs out, from then on.

    >>> portions = Portions("the student")
    >>> portions(lambda parts: parts[0] * 2, [torch.arange(3)])
    tensor([0, 2, 4])
    """

    def __init__(self, who: str, hint: str = "--device cpu") -> None:
        self.who, self.hint = who, hint
        self.most: int | None = None

    def __call__(self, forward: Callable[[list[Tensor]], Tensor], inputs: Sequence[Tensor]) -> Tensor:
        """`forward` of the rows of all inputs."""
        count = len(inputs[0])
        while True:
            size = min(count, self.most or count)
            starts = range(0, count, size) if count else (0,)
            try:
                answers = [forward([rows[start : start + size] for rows in inputs]) for start in starts]
                return torch.cat(answers) if len(answers) > 1 else answers[0]
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            free_memory()
            self.most = self._halved(size)

    def _halved(self, size: int) -> int:
        if size <= 1:
            raise LimbeckError(
                f"out of memory: {self.who} cannot be asked about even one image",
                expected="a device that holds it, and one image's activations",
                hint=self.hint,
            )
        fewer = -(-size // 2)
        images = f"{fewer} images" if fewer > 1 else "1 image"
        console.print(f"out of memory: from here on {self.who} is asked about {images} at once, not {size}")
        return fewer
