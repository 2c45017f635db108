"""Which prior answers for which true box."""

import torch
from torch import Tensor

from limbeck.layers.boxes import overlaps

NOBODY, IGNORED = -1, -2


def by_overlap(
    priors: Tensor,
    boxes: Tensor,
    there: Tensor,
    valid: Tensor | None = None,
    *,
    above: float,
    below: float,
    claim_from: float | None = 0.0,
    claim_ties: bool = False,
) -> Tensor:
    """The true box of each prior, [B, N]: NOBODY where its best overlap is less than `below`, IGNORED up to `above`.

    Each true box also claims the prior that it overlaps most, from an overlap of `claim_from` on (None: no claims), and
    with `claim_ties` all that it overlaps as much; of two boxes that claim one prior the later has it. `there` [B, G]
    says which boxes are real, `valid` [B, N] which priors take part.

    >>> box = torch.tensor([[[0.0, 0.0, 4.0, 4.0]]])
    >>> priors = torch.tensor([[0.0, 0.0, 4.0, 4.0], [8.0, 8.0, 9.0, 9.0]])
    >>> by_overlap(priors, box, torch.ones(1, 1, dtype=torch.bool), above=0.5, below=0.5)
    tensor([[ 0, -1]])
    """
    batch, count = there.shape
    if count == 0:
        return torch.full((batch, len(priors)), NOBODY, device=boxes.device)
    shared = overlaps(boxes, priors).masked_fill_(~there[..., None], -1.0)  # [B, G, N]
    if valid is not None:
        shared.masked_fill_(~valid[:, None], -1.0)
    best, owner = shared.max(1)
    match = torch.where(best >= above, owner, IGNORED).masked_fill_(best < below, NOBODY)
    if claim_from is None:
        return match
    most, favourite = shared.max(2)
    claims = there & (most >= claim_from)
    rows = torch.where(claims, torch.arange(count, device=boxes.device), -1)
    if claim_ties:
        taken = torch.where(shared == most[..., None], rows[..., None], -1).amax(1)
    else:
        taken = torch.full_like(match, -1).scatter_reduce_(1, favourite, rows, "amax")
    return torch.where(taken >= 0, taken, match)
