"""Running mean and variance of features, updated batch by batch."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from memrl.distributed.collectives import sum_over_ranks


class RunningNorm(nn.Module):
    """Standardise features by the statistics of all values so far (parallel variance, Chan 1979).

    The statistics change only in ``update``, so that acting and learning use the same normalisation
    within an iteration. They are float64 buffers, so checkpoints contain them. Before the first
    update the map is the identity.
    """

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, dim: int, *, clip: float | None = 10.0, center: bool = True) -> None:
        super().__init__()
        self.clip = clip
        self.center = center
        self.register_buffer("mean", torch.zeros(dim, dtype=torch.float64))
        self.register_buffer("var", torch.ones(dim, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def forward(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N D"]:
        shift = self.mean if self.center else torch.zeros_like(self.mean)
        y = (x - shift.to(x.dtype)) / self.scale(x.dtype)
        return y if self.clip is None else y.clamp(-self.clip, self.clip)

    def inverse(self, y: Float[Tensor, "*N D"]) -> Float[Tensor, "*N D"]:
        """Undo the standardisation of unclipped values."""
        x = y * self.scale(y.dtype)
        return x + self.mean.to(y.dtype) if self.center else x

    def scale(self, dtype: torch.dtype) -> Float[Tensor, " D"]:
        """The standard deviation, kept above 0."""
        return (self.var + 1e-8).sqrt().to(dtype)

    @torch.no_grad()
    def update(self, x: Float[Tensor, "N D"], valid: Bool[Tensor, " N"]) -> None:
        """Add the valid rows of a batch, on all ranks, to the statistics."""
        weight = valid.to(torch.float64).unsqueeze(1)
        x64 = torch.where(valid.unsqueeze(1), x.to(torch.float64), 0.0)
        n, sums = sum_over_ranks(torch.cat([weight.sum(0), (x64 * weight).sum(0)])).tensor_split(
            [1]
        )
        n, safe = n.squeeze(0), n.clamp(min=1.0)
        mean = sums / safe
        var = sum_over_ranks(((x64 - mean).square() * weight).sum(0)) / safe
        total = (self.count + n).clamp(min=1.0)
        delta = mean - self.mean
        merged = (self.var * self.count + var * n + delta.square() * self.count * n / total) / total
        self.var.copy_(torch.where(n > 0, merged, self.var))
        self.mean.add_(delta * (n / total))
        self.count.add_(n)


def standardised(value: Tensor, norm: RunningNorm | None) -> Tensor:
    """Numbers [*N] as a norm of one number has them; unchanged if there is none."""
    return value if norm is None else norm(value.unsqueeze(-1)).squeeze(-1)


def unstandardised(value: Tensor, norm: RunningNorm | None) -> Tensor:
    """The inverse of `standardised`."""
    return value if norm is None else norm.inverse(value.unsqueeze(-1)).squeeze(-1)
