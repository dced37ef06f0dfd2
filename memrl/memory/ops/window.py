"""Reads of the N inputs before each step.

A memory stores raw inputs and embeds them when it reads. So stored items never become stale, and
the embeddings learn from every read. The reads of T steps are one masked product without a loop: a
step sees N of the S = N + T − 1 items before the last step, ordered by position, the N-th before
it first. All tensors lead with B; time is second. ``ops.attention`` computes the age of a step
(``ages``) and stores the last N inputs (``push``).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from memrl.memory.ops.attention import skew
from memrl.memory.ops.nonfinite import is_nonfinite, without_nonfinite


class Window(NamedTuple):
    """The items before T steps."""

    items: Tensor  # [B, S, I]  the N stored ones, then all new ones but the last
    visible: Tensor  # bool [B, T, N]  which of the N items before a step belong to its episode
    nonfinite: Tensor  # bool [B, T]  one of these items is not finite; the step's read is NaN


def look_back(
    past: Float[Tensor, "B N I"], x: Float[Tensor, "B T I"], age: Float[Tensor, "B T"]
) -> Window:
    """The items before every step of ``x``, of which the last ``age`` belong to its episode.

    Items that are not finite become zeros, because a mask does not stop them (0 · NaN is NaN). The
    caller sets the read of a ``nonfinite`` step to NaN. A single step keeps its items: ``past``
    holds only its own episode and, from ``push``, zeros.
    """
    alone = x.shape[1] == 1
    items = past if alone else torch.cat([past, x[:, :-1]], dim=1)
    back = torch.arange(past.shape[1], 0, -1, device=age.device)
    visible = back <= age.unsqueeze(-1)
    kept, nonfinite = (items, is_nonfinite(items)) if alone else without_nonfinite(items)
    read = visible & nonfinite.unfold(1, past.shape[1], 1)
    return Window(kept, visible, read.any(dim=-1))


def compare(
    queries: Float[Tensor, "B T D"], items: Float[Tensor, "B S D"]
) -> Float[Tensor, "B T N"]:
    """The inner product of every query with each of the N items before it."""
    return band(queries @ items.mT)


def weigh(logits: Float[Tensor, "B T N"], visible: Bool[Tensor, "B T N"]) -> Float[Tensor, "B T N"]:
    """The softmax over the visible items; zeros where none is visible."""
    # Not −∞: the softmax of −∞ alone is NaN, and so is its gradient.
    lowest = torch.finfo(logits.dtype).min
    return torch.where(visible, logits.masked_fill(~visible, lowest).softmax(dim=-1), 0)


def read(weights: Float[Tensor, "B T N"], items: Float[Tensor, "B S D"]) -> Float[Tensor, "B T D"]:
    """The weighted sum of the N items before every step."""
    return skew(weights.unsqueeze(1)).squeeze(1) @ items


def windows(items: Float[Tensor, "B S D"], size: int) -> Float[Tensor, "B T N D"]:
    """The ``size`` items before every step, as a view."""
    return items.unfold(1, size, 1).mT


def band(pairs: Float[Tensor, "B T S"]) -> Float[Tensor, "B T N"]:
    """From pairs with all items to pairs with a step's window: position n of row t is column t + n.

    N = S − T + 1; ``skew`` is the inverse.
    """
    length, size = pairs.shape[-2:]
    padded = F.pad(pairs.flatten(-2), (0, length))
    return padded.view(-1, length, size + 1)[..., : size - length + 1]
