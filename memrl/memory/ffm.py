"""FFM: complex traces of the input with learned rates of decay and rotation."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.core import MemoryCore, Unrolled
from memrl.memory.kernels.choice import operation
from memrl.memory.ops.rotation import rotating_scan
from memrl.memory.registry import register

LONGEST = 1024  # t_e, steps after which a hundredth of the slowest trace is left (authors' code)
LEFT = 0.01  # of the slowest trace after LONGEST steps; also the authors' margin of the fastest


class FFMState(NamedTuple):
    """State of the FFM core: complex traces, as two real leaves."""

    re: Tensor  # [B, M, C]
    im: Tensor  # [B, M, C]


@final
@register("ffm")
class FFM(MemoryCore[FFMState]):
    """Fast and forgetful memory.

    S' = γ ∘ S + (x̃ ∘ σ(i)) 1ᵀ with γ_mc = exp(-|α_m| + i ω_c);  z = W [Re S', Im S'] + b;
    y = LN(z) ∘ σ(o) + s ∘ (1 - σ(o)), where x̃, s, i, o are linear in x and LN has no parameters.
    The decays start evenly spaced from 0.67 to 0.0045 a step, the periods from 1 to 1,024 steps.
    The authors clamp α below zero after every use; here the absolute value keeps |γ| ≤ 1.

    Args:
        in_dim: width of the input features.
        trace_dim: M, traces, each with its rate of decay.
        context_dim: C, frequencies of every trace.
        hidden_dim: width of the output.
    """

    paper = "Morad et al. 2023, Reinforcement Learning with Fast and Forgetful Memory"

    def __init__(
        self,
        in_dim: int,
        *,
        trace_dim: Annotated[int, Ge(1)] = 32,
        context_dim: Annotated[int, Ge(1)] = 4,
        hidden_dim: Annotated[int, Ge(1)] = 128,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        self.shape = trace_dim, context_dim
        fastest = math.log(torch.finfo(torch.float64).max) / LONGEST - 2 * LEFT
        self.alpha = nn.Parameter(torch.linspace(-fastest, math.log(LEFT) / LONGEST, trace_dim))
        self.omega = nn.Parameter(2 * math.pi / torch.linspace(1, LONGEST, context_dim))
        self.split = [trace_dim, hidden_dim, trace_dim, hidden_dim]
        self.input = nn.Linear(in_dim, sum(self.split))  # x̃, s, i, o
        self.mix = nn.Linear(2 * trace_dim * context_dim, hidden_dim)

    def initial_state(self, batch_size: int) -> FFMState:
        zeros = self.alpha.new_zeros
        return FFMState(zeros(batch_size, *self.shape), zeros(batch_size, *self.shape))

    def rates(self) -> tuple[Tensor, Tensor]:
        """Re γ and Im γ, each [M, C]."""
        size = (-self.alpha.abs()).exp().unsqueeze(1)
        return size * self.omega.cos(), size * self.omega.sin()

    def _project(self, x: Tensor) -> Tensor:
        trace, direct, gate_in, gate_out = self.input(x).split_with_sizes(self.split, -1)
        return torch.cat([trace * gate_in.sigmoid(), direct, gate_out.sigmoid()], dim=-1)

    def _emit(self, seen: Tensor) -> Tensor:
        traces = 2 * self.shape[0] * self.shape[1]
        S, direct, gate = seen.split_with_sizes([traces, self.out_dim, self.out_dim], -1)
        return self._mixed(self.mix(S), direct, gate)

    def _mixed(self, z: Tensor, direct: Tensor, gate: Tensor) -> Tensor:
        return torch.lerp(direct, F.layer_norm(z, (self.out_dim,)), gate)

    def _update(self, x: Tensor, state: FFMState) -> tuple[Tensor, FFMState]:
        add, rest = x.split_with_sizes([self.shape[0], 2 * self.out_dim], -1)
        real, imag = self.rates()
        re = real * state.re - imag * state.im + add.unsqueeze(-1)
        im = real * state.im + imag * state.re
        seen = torch.stack([re, im], dim=-1).flatten(1)
        return torch.cat([seen, rest], dim=-1), FFMState(re, im)

    def forward(self, x: Tensor, state: FFMState, start: Tensor) -> Unrolled:
        trace, direct, gate_in, gate_out = self.input(x).split_with_sizes(self.split, -1)
        rates, first = torch.stack(self.rates()).flatten(1), torch.stack(state, dim=1).flatten(2)
        drive = trace * gate_in.sigmoid()
        S = operation(rotating_scan, x)(rates, drive, first, start)  # [T, B, 2, M C]
        z = F.linear(S.flatten(2), self._by_part(self.mix.weight), self.mix.bias)
        last = S[-1].unflatten(-1, self.shape)  # type: ignore[no-untyped-call]
        return Unrolled(self._mixed(z, direct, gate_out.sigmoid()), FFMState(*last.unbind(1)))

    @staticmethod
    def _by_part(weight: Tensor) -> Tensor:
        """W for all real parts and then all imaginary ones; its columns stand trace by trace."""
        return weight.unflatten(1, (-1, 2)).mT.flatten(1)  # type: ignore[no-any-return, no-untyped-call]

    def diagnostics(self, state: FFMState) -> dict[str, Tensor]:
        return {"amplitude": torch.hypot(state.re, state.im)}
