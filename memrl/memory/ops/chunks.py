"""The past of an episode in chunks of C steps, and which of them a step sees.

A ring holds K complete chunks and the one in progress: step n of an episode is in slot ⌊n / C⌋
mod (K + 1), at place n mod C. A step sees the K complete chunks before its own. What a ring holds
of an earlier episode stays there until it is overwritten, and is not seen: a start need not clear
it. All tensors lead with B.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Chunks(NamedTuple):
    """The chunks that a sequence of T steps may see, in no order."""

    steps: Tensor  # [B, N, C, D]
    summaries: Tensor  # [B, N, D]  the mean of each
    begin: Tensor  # [B, N]  when it began, counted from the first step of the sequence


def chunks_of(
    ring: Float[Tensor, "B S C D"],
    summaries: Float[Tensor, "B S D"],
    new: Float[Tensor, "B T D"],
    age: Float[Tensor, "B T"],
) -> Chunks:
    """The chunks of a ring, and those that ``new`` completes; ``age``: of each step.

    ``age[:, 0]`` is that of the step which the ring expects, or 0.
    """
    length, size = new.shape[1], ring.shape[2]
    first = age[:, :1]
    slots = torch.arange(ring.shape[1], device=age.device)
    back = (first // size - slots) % ring.shape[1]  # [B, S]  chunks ago; 0: in progress
    begin = torch.where(back > 0, -(first % size) - back * size, length)
    if length == 1:
        return Chunks(ring, summaries, begin)

    now, place = (torch.arange(n, device=age.device) for n in (length, size))
    due = (age[:, :-1] + 1) % size == 0  # this step completes a chunk
    ends = torch.where(due, now[:-1], length).sort(dim=1).values[:, : -(-(length - 1) // size)]
    earlier = (first + place[1:] - size) % (len(slots) * size)  # slots of the C − 1 steps before
    stream = torch.cat([_rows(ring.flatten(1, 2), earlier.long()), new], dim=1)
    there = ends.clamp(max=length - 1).unsqueeze(2) + place  # [B, G, C]
    made = _rows(stream, there.flatten(1)).view(*there.shape, -1)
    return Chunks(
        steps=torch.cat([ring, made], dim=1),
        summaries=torch.cat([summaries, made.mean(dim=2)], dim=1),
        begin=torch.cat([begin, ends - size + 1], dim=1),
    )


def chunks_back(
    begin: Float[Tensor, "B N"], age: Float[Tensor, "B T"], size: int
) -> Float[Tensor, "B T N"]:
    """How many chunks before its own each step finds each chunk; 0 for those it does not see.

    Chunks of another episode are not seen, nor are incomplete ones. The number is not bounded by K.
    """
    now = torch.arange(age.shape[1], device=age.device)
    opened, own = (now - age).unsqueeze(2), (now - age % size).unsqueeze(2)
    begin = begin.unsqueeze(1)
    seen = (begin >= opened) & (begin <= own - size)
    return torch.where(seen, (own - begin) / size, 0)


def put_steps(
    ring: Float[Tensor, "B S C D"], new: Float[Tensor, "B T D"], age: Float[Tensor, "B T"]
) -> Float[Tensor, "B S C D"]:
    """The ring after T steps; of those that share a place the last one stays."""
    before = ring.flatten(1, 2)
    now = torch.arange(age.shape[1], device=age.device).expand(age.shape)
    nobody = torch.full(before.shape[:2], -1, device=age.device)
    last = nobody.scatter_reduce(1, (age % before.shape[1]).long(), now, "amax")
    written = _rows(new, last.clamp(min=0))
    return torch.where((last >= 0).unsqueeze(2), written, before).view_as(ring)


def _rows(x: Float[Tensor, "B N D"], index: Tensor) -> Tensor:
    return x.gather(1, index.unsqueeze(2).expand(-1, -1, x.shape[2]))


def mask_of(back: Float[Tensor, "B T N"], count: int) -> Bool[Tensor, "B T N"]:
    """Which chunks are among the ``count`` before a step's own."""
    return (back > 0) & (back <= count)
