"""Attention over the last steps of an episode with relative positions (Transformer-XL).

The age of a query, the number of earlier steps of its episode, decides which keys it sees: a key d
steps before it is visible if d ≤ age and d ≤ M. So a whole sequence, with starts, is one masked
product. All tensors lead with B; time is second.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def ages(age: Float[Tensor, " B"], start: Bool[Tensor, "T B"]) -> Float[Tensor, "B T"]:
    """Steps of the episode before each step; ``age`` is the first step's if no episode starts."""
    now = torch.arange(len(start), device=start.device).unsqueeze(-1)  # [T, 1]
    opened = torch.where(start, now, -1).cummax(dim=0).values  # [T, B]
    return torch.where(opened < 0, age + now, (now - opened).to(age.dtype)).T


def window(age: Float[Tensor, "B T"], memory_len: int) -> Bool[Tensor, "B T S"]:
    """Which of the S = M + T keys, M past ones first, each query sees: itself and at most M before.

    No row of the mask is empty, because every query sees itself.
    """
    length = age.shape[1]
    newest = torch.arange(memory_len, memory_len + length, device=age.device).unsqueeze(-1)
    back = newest - torch.arange(memory_len + length, device=age.device)  # [T, S]
    return (back >= 0) & (back <= age.clamp(max=memory_len).unsqueeze(-1))


def push(
    past: Float[Tensor, "B M D"], new: Float[Tensor, "B T D"], age: Float[Tensor, " B"]
) -> Float[Tensor, "B M D"]:
    """The last M of [past; new], oldest first; zeros for those that a next step cannot see.

    ``age`` is the age of that next step.
    """
    size = past.shape[1]
    back = torch.arange(size, 0, -1, device=age.device)
    kept = torch.cat([past, new], dim=1)[:, -size:]
    return torch.where((back <= age.unsqueeze(-1)).unsqueeze(-1), kept, 0)


class Ring(NamedTuple):
    """The last M inputs of one layer; step n of an episode lies in slot n mod M."""

    memory: Tensor  # [B, L, M, D]  of all layers
    layer: int
    age: Tensor  # [B]  of the next step

    @property
    def size(self) -> int:
        """M."""
        return self.memory.shape[2]

    @property
    def inputs(self) -> Float[Tensor, "B M D"]:
        """What the slots hold."""
        return self.memory[:, self.layer]

    def distances(self) -> Float[Tensor, "B M"]:
        """How many steps before the next step the one in each slot was: 1 to M."""
        places = torch.arange(self.size, device=self.age.device)
        return (self.age.unsqueeze(-1) - 1 - places) % self.size + 1


def rotate(memory: Float[Tensor, "B M D"], by: Float[Tensor, " B"]) -> Float[Tensor, "B M D"]:
    """Row j of the result is row (j + ``by``) mod M.

    A ring that is rotated by the age of the next step is ordered, oldest first; rotated back by
    −age it is a ring again.
    """
    size = memory.shape[1]
    places = torch.arange(size, device=memory.device) + by.unsqueeze(-1)
    rows = torch.arange(len(memory), device=memory.device).unsqueeze(-1)
    return memory[rows, (places % size).long()]


def ring_age(age: Float[Tensor, " B"], size: int) -> Float[Tensor, " B"]:
    """An age below 2 M that means the same to a ring of M slots: a float would stop counting."""
    return torch.where(age < 2 * size, age, size + age % size)


def sinusoids(position: Float[Tensor, " R"], dim: int) -> Float[Tensor, "R D"]:
    """Sines, then cosines of ``position`` (Vaswani et al. 2017).

    The D/2 wavelengths are 2π·10^(8k/D) for k = 0 … D/2 - 1: from 2π to below 2π·10⁴.
    """
    half = -(-dim // 2)
    rate = torch.exp(
        torch.arange(half, device=position.device, dtype=position.dtype)
        * (-torch.log(position.new_full((), 1e4)) / half)
    )
    angle = position.unsqueeze(-1) * rate
    return torch.cat([angle.sin(), angle.cos()], dim=-1)[:, :dim]


def skew(logits: Float[Tensor, "B H T W"]) -> Float[Tensor, "B H T S"]:
    """From logits by offset in a query's window to logits by key: column w of row t moves to t + w.

    S = W + T − 1. Keys outside the window get zero; the caller must mask these logits.
    """
    length, size = logits.shape[-2:]
    padded = F.pad(logits, (0, length)).flatten(-2)  # [B, H, T (W + T)]
    width = size + length - 1
    return padded[..., : length * width].reshape(*logits.shape[:2], length, width)


def softmax_of(
    logits: Float[Tensor, "B H T S"], visible: Bool[Tensor, "B T S"]
) -> Float[Tensor, "B H T S"]:
    """The softmax over the visible keys; each query must see one."""
    return logits.masked_fill(~visible.unsqueeze(1), -torch.inf).softmax(dim=-1)
