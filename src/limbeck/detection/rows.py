"""Maps as rows, and rows of targets by their owners."""

from torch import Tensor


def rows(maps: Tensor, width: int) -> Tensor:
    """[B, boxes of a cell x width, H, W] as [B, boxes, width], cell by cell.

    >>> import torch
    >>> rows(torch.zeros(2, 8, 3, 3), 4).shape
    torch.Size([2, 18, 4])
    """
    return maps.permute(0, 2, 3, 1).reshape(len(maps), -1, width)


def owners_rows(values: Tensor, owner: Tensor) -> Tensor:
    """The owners' rows of [B, G] or [B, G, K]; zeros where there is no row at all.

    >>> import torch
    >>> owners_rows(torch.tensor([[5, 7]]), torch.tensor([[1, 0, 1]]))
    tensor([[7, 5, 7]])
    """
    if not values.shape[1]:
        return values.new_zeros(*owner.shape, *values.shape[2:])
    index = owner if values.ndim == 2 else owner[..., None].expand(-1, -1, values.shape[2])
    return values.gather(1, index)
