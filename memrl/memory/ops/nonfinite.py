"""Keep NaN and infinity inside their episode where one product covers many steps.

A mask of zeros does not hide such a step from others, because 0 times NaN is NaN. So vectors that
are not finite enter the product as zeros, and what should have read them is set to NaN afterwards.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def is_nonfinite(x: Float[Tensor, "*N W"]) -> Bool[Tensor, "*N"]:
    """Which vectors hold NaN or infinity."""
    return (0 * x.detach()).sum(dim=-1).isnan()  # 0 · ∞ is NaN, too; ten times as fast as isfinite


def without_nonfinite(
    x: Float[Tensor, "*N W"],
) -> tuple[Float[Tensor, "*N W"], Bool[Tensor, "*N"]]:
    """``x`` with zeros for the vectors that are not finite, and which these are."""
    nonfinite = is_nonfinite(x)
    return x.masked_fill(nonfinite.unsqueeze(-1), 0), nonfinite


def with_nan(y: Float[Tensor, "*N W"], rows: Bool[Tensor, "*N"]) -> Float[Tensor, "*N W"]:
    """``y`` with NaN in these rows, which read something that is not finite."""
    return y.masked_fill(rows.unsqueeze(-1), torch.nan)


def nonfinite_so_far(
    nonfinite: Bool[Tensor, "T B"], before: Bool[Tensor, " B"], start: Bool[Tensor, "T B"]
) -> Bool[Tensor, "T B"]:
    """Whether the episode of a step had a step that is not finite, this one included.

    ``before`` marks rows whose state before the first step is not finite.
    """
    now = torch.arange(len(start), device=start.device).unsqueeze(-1)  # [T, 1]
    opened = torch.where(start, now, -1).cummax(dim=0).values
    latest = torch.where(nonfinite, now, torch.where(before, -1, -2)).cummax(dim=0).values
    return latest >= opened
