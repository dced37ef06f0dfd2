"""LRU: a linear recurrence with complex diagonal transitions, and a gated output layer."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.core import MemoryCore, Unrolled
from memrl.memory.kernels.choice import operation
from memrl.memory.ops.rotation import rotating_scan
from memrl.memory.registry import register

EDGE = 1e-6  # |λ|² starts at least this far from 0 and 1, where its logarithms diverge


class LRUState(NamedTuple):
    """State of the LRU core: a complex vector, as two real leaves."""

    re: Tensor  # [B, N]
    im: Tensor  # [B, N]


@final
@register("lru")
class LRU(MemoryCore[LRUState]):
    """Linear recurrent unit with complex diagonal transitions.

    h' = λ ∘ h + e^γ ∘ (B x) and v = Re(C h') + D x, with λ = exp(-e^ν + i e^θ), hence |λ| < 1 for
    any parameters. As in the paper's blocks a gated linear unit follows:
    y = p ∘ σ(q) with [p, q] = W GELU(v). The policy adds normalisation and skips.

    |λ|² starts uniform in [r_min², r_max²], the phase in [0, 2π), γ at log √(1 - |λ|²).

    Args:
        in_dim: width of the input features.
        state_dim: N, complex state variables.
        hidden_dim: width of the output.
        r_min: smallest initial |λ|; 0.9 and above for long memories.
        r_max: largest initial |λ|.

    Raises:
        ValueError: ``r_min`` is not below ``r_max``.
    """

    paper = "Orvieto et al. 2023, Resurrecting Recurrent Neural Networks for Long Sequences"

    def __init__(
        self,
        in_dim: int,
        *,
        state_dim: Annotated[int, Ge(1)] = 128,
        hidden_dim: Annotated[int, Ge(1)] = 128,
        r_min: Annotated[float, Ge(0), Le(1)] = 0.0,
        r_max: Annotated[float, Ge(0), Le(1)] = 1.0,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        if r_min >= r_max:
            raise ValueError(f"r_min is {r_min}; allowed: below r_max, {r_max}")
        self.state_dim = state_dim
        square = r_min**2 + torch.rand(state_dim) * (r_max**2 - r_min**2)  # |λ|²
        square = square.clamp(EDGE, 1 - EDGE)
        phase = (2 * math.pi * torch.rand(state_dim)).clamp(min=EDGE)
        self.nu = nn.Parameter((-0.5 * square.log()).log())
        self.theta = nn.Parameter(phase.log())
        self.gamma = nn.Parameter(0.5 * (1 - square).log())
        self.B = nn.Parameter(torch.randn(2 * state_dim, in_dim) / math.sqrt(2 * in_dim))
        self.C = nn.Parameter(torch.randn(hidden_dim, 2 * state_dim) / math.sqrt(state_dim))
        self.D = nn.Parameter(torch.randn(hidden_dim, in_dim) / math.sqrt(in_dim))
        self.output = nn.Linear(hidden_dim, 2 * hidden_dim)

    def initial_state(self, batch_size: int) -> LRUState:
        zeros = self.nu.new_zeros
        return LRUState(zeros(batch_size, self.state_dim), zeros(batch_size, self.state_dim))

    def eigenvalues(self) -> tuple[Tensor, Tensor]:
        """Re λ and Im λ, each [N]."""
        size, phase = torch.exp(-self.nu.exp()), self.theta.exp()
        return size * phase.cos(), size * phase.sin()

    def _weights(self) -> tuple[Tensor, Tensor]:
        """Of the input: to the state, Re and Im e^γ B, and to the output, D."""
        return self.gamma.exp().repeat(2).unsqueeze(1) * self.B, self.D

    def _project(self, x: Tensor) -> Tensor:
        return F.linear(x, torch.cat(self._weights()))

    def _emit(self, seen: Tensor) -> Tensor:
        h, direct = seen.split_with_sizes([2 * self.state_dim, self.out_dim], -1)
        return self._read(h, direct)

    def _read(self, h: Tensor, direct: Tensor) -> Tensor:
        """The output, from Re h and Im h side by side and from D x."""
        v = F.linear(h, self.C) + direct  # C holds Re C and -Im C side by side
        return F.glu(self.output(F.gelu(v)))

    def _update(self, x: Tensor, state: LRUState) -> tuple[Tensor, LRUState]:
        N = self.state_dim
        drive_re, drive_im, direct = x.split_with_sizes([N, N, self.out_dim], -1)
        real, imag = self.eigenvalues()
        re = real * state.re - imag * state.im + drive_re
        im = real * state.im + imag * state.re + drive_im
        return torch.cat([re, im, direct], dim=-1), LRUState(re, im)

    def forward(self, x: Tensor, state: LRUState, start: Tensor) -> Unrolled:
        drive, direct = (F.linear(x, weight) for weight in self._weights())
        first, rates = torch.stack(state, dim=1), torch.stack(self.eigenvalues())
        h = operation(rotating_scan, x)(rates, drive, first, start)  # [T, B, 2, N]
        return Unrolled(self._read(h.flatten(2), direct), LRUState(*h[-1].unbind(1)))

    def diagnostics(self, state: LRUState) -> dict[str, Tensor]:
        return {"amplitude": torch.hypot(state.re, state.im)}
