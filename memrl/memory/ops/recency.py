"""Which slot was accessed least recently, without a scan of all slots (SAM)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Int
from torch import Tensor

LATEST = torch.iinfo(torch.long).max  # for slots that do not exist


def block_shape(slots: int) -> tuple[int, int]:
    """Blocks, and slots in each: about √N of each; the last block may be short."""
    width = math.isqrt(slots - 1) + 1
    return -(-slots // width), width


def touch(
    last_access: Int[Tensor, "B N"],
    oldest: Int[Tensor, "B G"],
    slots: Int[Tensor, "B A"],
    accessed: Bool[Tensor, "B A"],
    clock: Int[Tensor, " B"],
) -> None:
    """Update in place when slots were accessed, and the minimum of their blocks.

    A slot may be named twice if ``accessed`` is the same for both.
    """
    stamps = torch.where(accessed, clock.unsqueeze(1), last_access.gather(1, slots))
    last_access.scatter_(1, slots, stamps)
    block = slots // block_shape(last_access.shape[1])[1]
    oldest.scatter_(1, block, _members(last_access, block).amin(dim=-1))


def oldest_of_blocks(last_access: Int[Tensor, "B N"]) -> Int[Tensor, "B G"]:
    """The minimum of each block of ``last_access``."""
    rows, slots = last_access.shape
    blocks = torch.arange(block_shape(slots)[0], device=last_access.device)
    return _members(last_access, blocks.expand(rows, -1)).amin(dim=-1)


def least_recent(last_access: Int[Tensor, "B N"], oldest: Int[Tensor, "B G"]) -> Int[Tensor, " B"]:
    """The least recently accessed slot; of several the lowest."""
    block = oldest.argmin(dim=1, keepdim=True)
    member = _members(last_access, block).argmin(dim=-1)
    return (block * block_shape(last_access.shape[1])[1] + member).squeeze(1)


def accessed_slots(
    slots: Int[Tensor, "B A"], weights: Tensor, threshold: float
) -> Bool[Tensor, "B A"]:
    """Whether the total weight of a slot, w^W + w^R [B, A] over heads, exceeds the threshold δ."""
    same = slots.unsqueeze(2) == slots.unsqueeze(1)  # [B, A, A]
    above = torch.bmm(same.to(weights.dtype), weights.unsqueeze(2)) > threshold  # [B, A, 1]
    return (same & above.mT).any(dim=-1)  # equal for all entries of one slot, despite rounding


def _members(last_access: Tensor, block: Tensor) -> Tensor:
    """When the slots of blocks [B, A] were accessed: [B, A, S]."""
    slots = last_access.shape[1]
    width = block_shape(slots)[1]
    number = block.unsqueeze(-1) * width + torch.arange(width, device=block.device)
    there = last_access.gather(1, number.clamp(max=slots - 1).flatten(1)).view(number.shape)
    return torch.where(number < slots, there, LATEST)
