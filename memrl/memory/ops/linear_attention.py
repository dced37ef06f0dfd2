"""Matrix memories over a chunk of a sequence at once; masks separate the episodes.

A matrix memory S_t equals attention over the steps of its episode so far, plus a read of the
initial state. This takes T² products of width K, in few large operations, instead of T products of
K × V. So long sequences are processed in chunks.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Episodes(NamedTuple):
    """Which steps of a chunk each step sees, and which steps see the initial state."""

    within: Tensor  # [B, 1, T, T]  bool: step s ≤ t belongs to t's episode
    carried: (
        Tensor  # [B, 1, T]  bool: no episode has started yet, so the step sees the initial state
    )


def episodes(start: Bool[Tensor, "T B"]) -> Episodes:
    """The masks of a chunk."""
    number = start.cumsum(dim=0).t()  # [B, T]
    same = number.unsqueeze(2) == number.unsqueeze(1)  # [B, T, T]
    return Episodes(same.tril().unsqueeze(1), (number == 0).unsqueeze(1))


def keep_where(mask: Bool[Tensor, "B 1 T"], x: Float[Tensor, "B H T *W"]) -> Tensor:
    """``x`` at the masked steps, zeros elsewhere. It selects, because dropped values may be NaN."""
    return torch.where(mask.view(*mask.shape, *[1] * (x.dim() - 3)), x, 0)


def fading(
    log_keep: Float[Tensor, "B H T"], seen: Episodes
) -> tuple[Float[Tensor, "B H T T"], Float[Tensor, "B H T"]]:
    """Logarithms of the decay from step s to step t, -∞ where t does not see s, and of S_0's decay.

    It adds within the episode and never subtracts longer sums, whose rounding would pass gradients
    to other episodes.
    """
    after = torch.where(seen.within.tril(-1), log_keep.unsqueeze(-1), 0)  # [B, H, T, T]
    between = torch.where(seen.within, after.cumsum(dim=-2), -torch.inf)
    return between, torch.where(seen.carried, log_keep, 0).cumsum(dim=-1)


def attend(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B H T K"],
    v: Float[Tensor, "B H T V"],
    first: Float[Tensor, "B H K V"],
    weights: Float[Tensor, " B #H T T"],
    carry: Float[Tensor, " B #H T"],
    carried: Bool[Tensor, "B 1 T"],
) -> tuple[Float[Tensor, "B H T V"], Float[Tensor, "B H K V"]]:
    """Reads qᵀ S_t of every step, and the last S, where S_t = Σ_s w_ts k_s v_sᵀ + c_t S_0.

    ``weights`` are zero where s > t or an episode starts between; ``carry`` counts only where
    ``carried``.
    """
    before = keep_where(carried, carry.unsqueeze(-1) * (q @ first))
    reads = ((q @ k.mT) * weights) @ v + before
    added = (k * weights[:, :, -1].unsqueeze(-1)).mT @ v
    faded = carry[:, :, -1, None, None] * first
    return reads, added + torch.where(carried[:, :, -1, None, None], faded, 0)


def corrections(
    k: Float[Tensor, "B H T K"],
    v: Float[Tensor, "B H T V"],
    beta: Float[Tensor, "B H T"],
    first: Float[Tensor, "B H K V"],
    weights: Float[Tensor, " B #H T T"],
    carry: Float[Tensor, " B #H T"],
    carried: Bool[Tensor, "B 1 T"],
) -> Float[Tensor, "B H T V"]:
    """What the delta rule adds under each key: u_t = β_t (v_t - α_t S_{t-1}ᵀ k_t).

    S_{t-1} contains the earlier u, so the u solve a unit lower triangular system (DeltaNet, the UT
    transform): (1 + β w_ts k_t·k_s) u = β (v - c S_0ᵀ k). ``attend`` with u for v then reads S_t.
    """
    known = v - keep_where(carried, carry.unsqueeze(-1) * (k @ first))
    system = (beta.unsqueeze(-1) * weights * (k @ k.mT)).tril(-1)
    return torch.linalg.solve_triangular(  # type: ignore[no-any-return]
        system, beta.unsqueeze(-1) * known, upper=False, unitriangular=True
    )
