"""Which steps of a sequence have another step of their episode to predict."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor


def has_partner(
    start: Bool[Tensor, "T B"], valid: Bool[Tensor, "T B"], offset: int
) -> Bool[Tensor, "T B"]:
    """Whether step t + ``offset`` lies in the sequence and in the episode of step t.

    Step t must be ``valid``, and so must a later partner; an earlier one may be part of a burn-in.
    Where an episode began before the sequence, it counts from the sequence's first step.
    """
    index = torch.arange(len(start), device=start.device).unsqueeze(1)
    age = index - torch.where(start, index, 0).cummax(0).values  # steps since the episode began
    if offset <= 0:
        return valid & (age >= -offset)
    near = (age >= offset) & valid  # of the partner: the step is in its episode, too
    known = torch.zeros_like(valid)
    known[:-offset] = valid[:-offset] & near[offset:]
    return known
