"""The k largest of many numbers; of equal ones the first, which ``topk`` does not guarantee."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


def first_largest(
    values: Float[Tensor, "*B N"], k: int
) -> tuple[Float[Tensor, "*B k"], Int[Tensor, "*B k"]]:
    """The k largest in descending order, and their indices; of equal ones the first comes first.

    One pass finds the largest of each of √N groups. Then k rounds look at one group and at the
    winners of all groups. This is much cheaper than a sort, and unlike ``topk`` it defines which of
    two equals it takes. Where only -inf is left, an index may repeat.
    """
    size = values.shape[-1]
    width = max(1, math.isqrt(size))
    padded = torch.nn.functional.pad(values, (0, -size % width), value=-math.inf)  # a copy
    groups = padded.view(*padded.shape[:-1], -1, width)  # [*B, G, S]
    winners = groups.amax(dim=-1)
    place = torch.arange(width, device=values.device)
    chosen, found = [], []
    for _ in range(k):
        group = winners.argmax(dim=-1, keepdim=True)  # [*B, 1]; the first of equals
        there = group.unsqueeze(-1).expand(*group.shape, width)
        members = groups.gather(-2, there).squeeze(-2)  # [*B, S]
        member = members.argmax(dim=-1, keepdim=True)
        chosen.append(members.gather(-1, member))
        found.append((group * width + member).clamp(max=size - 1))
        rest = members.masked_fill(place == member, -math.inf)
        groups.scatter_(-2, there, rest.unsqueeze(-2))
        winners = winners.scatter(-1, group, rest.amax(dim=-1, keepdim=True))
    return torch.cat(chosen, dim=-1), torch.cat(found, dim=-1)
