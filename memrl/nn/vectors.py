"""Encode the vectors and discrete entries of an observation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.nn.init import linear
from memrl.nn.normalise import RunningNorm


class VectorEncoder(nn.Module):
    """Numbers [*N, *shape], standardised by running statistics if asked, through a tanh layer.

    Numbers as they come may be large (Acrobot's velocities reach 28): a ReLU hands their size on,
    and the tanh and the gates of what follows saturate.
    """

    def __init__(self, shape: tuple[int, ...], encoder_dim: int, normalise: bool) -> None:
        super().__init__()
        dim = int(torch.Size(shape).numel())
        self.item_axes = len(shape)
        self.out_dim = encoder_dim
        self.norm = RunningNorm(dim) if normalise else None
        self.mix = linear(dim, encoder_dim)

    def forward(self, x: Tensor) -> Tensor:
        flat = self.flat(x).to(self.mix.weight.dtype)
        return self.mix(flat if self.norm is None else self.norm(flat)).tanh()  # type: ignore[no-any-return]

    def flat(self, x: Tensor) -> Tensor:
        """The same numbers as [*N, D]."""
        return x.reshape(*x.shape[: x.dim() - self.item_axes], -1)


class Plain(nn.Module):
    """Flattened numbers without encoding: a previous reward."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.item_axes = len(shape)
        self.out_dim = int(torch.Size(shape).numel())

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[: x.dim() - self.item_axes], -1)


class Bits(Plain):
    """Flattened bits."""


class OneHot(nn.Module):
    """One or several discrete entries, [*N] or [*N, D], one-hot and concatenated."""

    def __init__(self, sizes: list[int], *, scalar: bool) -> None:
        super().__init__()
        self.sizes = sizes
        self.scalar = scalar
        self.out_dim = sum(sizes)

    def forward(self, x: Tensor) -> Tensor:
        if self.scalar:
            return F.one_hot(x.long(), self.sizes[0])
        columns = [F.one_hot(x[..., i].long(), n) for i, n in enumerate(self.sizes)]
        return torch.cat(columns, dim=-1)
