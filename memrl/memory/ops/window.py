"""Reading the last N inputs of an episode, kept as they were, before the present one joins them.

A memory of raw inputs is embedded when it is read, so that what is kept never goes stale and the
embeddings learn from every read. What T steps read is one masked product and no loop: a step looks
at N of the S = N + T − 1 items before the last step, and everything about it is laid out by place,
the N-th before it first. Leaves and sequences lead with B, time second; ``ops.attention`` counts
the age of a step (``ages``) and keeps the last N inputs (``push``).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from memrl.memory.ops.attention import skew
from memrl.memory.ops.spoiled import is_spoiled, without_spoiled


class Window(NamedTuple):
    """What T steps can look back on."""

    items: Tensor  # [B, S, I]  the N handed in, then all new ones but the last
    visible: Tensor  # [B, T, N]  which of the N items before a step are of its episode
    spoiled: Tensor  # [B, T, 1]  one of these is not finite: so is what the step reads


def look_back(
    past: Float[Tensor, "B N I"], x: Float[Tensor, "B T I"], age: Float[Tensor, "B T"]
) -> Window:
    """The items before every step of ``x``, of which ``age`` are of its episode.

    A NaN is taken out here, since a masked weight does not stop it (0·NaN is NaN): a reader whose
    window is ``spoiled`` owes its caller a NaN, everyone else is untouched by it. A single step has
    no one else: ``past`` holds its own episode and, as ``push`` leaves it, zeros.
    """
    alone = x.shape[1] == 1
    items = past if alone else torch.cat([past, x[:, :-1]], dim=1)
    back = torch.arange(past.shape[1], 0, -1, device=age.device)
    visible = back <= age.unsqueeze(-1)
    kept, spoiled = (items, is_spoiled(items)) if alone else without_spoiled(items)
    owed = visible & spoiled.unfold(1, past.shape[1], 1)
    return Window(kept, visible, owed.any(dim=-1, keepdim=True))


def compare(
    queries: Float[Tensor, "B T D"], items: Float[Tensor, "B S D"]
) -> Float[Tensor, "B T N"]:
    """The inner product of every query with each of the N items before it."""
    return band(queries @ items.mT)


def weigh(logits: Float[Tensor, "B T N"], visible: Bool[Tensor, "B T N"]) -> Float[Tensor, "B T N"]:
    """The softmax over what is visible; zeros where nothing is."""
    # Not −∞: the softmax of nothing but −∞ is NaN, and so is its gradient.
    lowest = torch.finfo(logits.dtype).min
    return torch.where(visible, logits.masked_fill(~visible, lowest).softmax(dim=-1), 0)


def read(weights: Float[Tensor, "B T N"], items: Float[Tensor, "B S D"]) -> Float[Tensor, "B T D"]:
    """The sum of the N items before every step, weighted."""
    return skew(weights.unsqueeze(1)).squeeze(1) @ items


def windows(items: Float[Tensor, "B S D"], size: int) -> Float[Tensor, "B T N D"]:
    """The ``size`` items before every step, side by side: a view, for what no product can do."""
    return items.unfold(1, size, 1).mT


def band(pairs: Float[Tensor, "B T S"]) -> Float[Tensor, "B T N"]:
    """From columns of items to places in a step's window: place n of row t is column t + n.

    N = S − T + 1; ``skew`` goes the other way.
    """
    length, size = pairs.shape[-2:]
    padded = F.pad(pairs.flatten(-2), (0, length))
    return padded.view(-1, length, size + 1)[..., : size - length + 1]
