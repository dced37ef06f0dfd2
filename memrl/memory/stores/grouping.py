"""Group items by a number, such as a slot or an action."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Groups(NamedTuple):
    """Groups of items with the same number; items keep their order in a group."""

    number: Tensor  # [G]  the number of each group, ascending
    size: Tensor  # [G]
    group: Tensor  # [n]  the group of each item
    rank: Tensor  # [n]  how many items of its group come before each item


def group_by(numbers: Int[Tensor, " n"]) -> Groups:
    """Group items; the number of groups is copied to the host."""
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
    """A table with one row for each number below ``rows``, and the column of each item.

    M is the size of the largest group; shorter rows are padded with zeros.
    """
    rank = group_by(numbers).rank
    longest = int(rank.max()) + 1
    table = items.new_zeros(rows, longest, items.shape[1])
    table[numbers, rank] = items
    return table, rank


def first_alike(
    keys: Float[Tensor, "n W"], numbers: Int[Tensor, " n"], tolerance: float
) -> Int[Tensor, " n"]:
    """For each item, the first item with the same number and key, perhaps the item itself.

    Keys are the same if their distance is at most ``tolerance``, or if a chain of such pairs
    connects them.
    """
    exact = "donot_use_mm_for_euclid_dist"
    near: Bool[Tensor, "n n"] = torch.cdist(keys, keys, compute_mode=exact) <= tolerance
    alike = near & (numbers.unsqueeze(0) == numbers.unsqueeze(1))
    first = alike.to(torch.uint8).argmax(dim=1)
    for _ in range(len(keys).bit_length()):
        first = first[first]
    return first
