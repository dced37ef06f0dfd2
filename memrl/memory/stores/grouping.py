"""Items that share a number, a slot or an action: their order within it, and rows of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Groups(NamedTuple):
    """Items by the number that they share; within it they keep their order."""

    number: Tensor  # [G]  which number, ascending
    size: Tensor  # [G]
    group: Tensor  # [n]  of each item: its place in ``number``
    rank: Tensor  # [n]  of each item: how many of its group come before it


def group_by(numbers: Int[Tensor, " n"]) -> Groups:
    """The groups of items; their number reaches the host."""
    order = numbers.argsort(stable=True)
    number, sorted_group, size = torch.unique_consecutive(
        numbers[order], return_inverse=True, return_counts=True
    )
    begin = size.cumsum(0) - size
    place = torch.arange(len(numbers), device=numbers.device)
    group, rank = torch.empty_like(order), torch.empty_like(order)
    group[order] = sorted_group
    rank[order] = place - begin[sorted_group]
    return Groups(number, size, group, rank)


def rows_by(
    numbers: Int[Tensor, " n"], items: Float[Tensor, "n W"], rows: int
) -> tuple[Float[Tensor, "R M W"], Int[Tensor, " n"]]:
    """Items in the row of their number, below ``rows``; and the rank of each in its row.

    M is the size of the largest group; places behind a smaller one are zero.
    """
    rank = group_by(numbers).rank
    longest = int(rank.max()) + 1
    table = items.new_zeros(rows, longest, items.shape[1])
    table[numbers, rank] = items
    return table, rank


def first_alike(
    keys: Float[Tensor, "n W"], numbers: Int[Tensor, " n"], tolerance: float
) -> Int[Tensor, " n"]:
    """For each item the first of its number with the same key, itself where there is none before.

    Keys are the same within a distance of ``tolerance``, or joined by a chain of such pairs.
    """
    exact = "donot_use_mm_for_euclid_dist"
    near: Bool[Tensor, "n n"] = torch.cdist(keys, keys, compute_mode=exact) <= tolerance
    alike = near & (numbers.unsqueeze(0) == numbers.unsqueeze(1))
    first = alike.to(torch.uint8).argmax(dim=1)
    for _ in range(len(keys).bit_length()):
        first = first[first]
    return first
