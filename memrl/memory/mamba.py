"""Mamba: a linear recurrence with input-dependent rates, after a short convolution."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.core import MemoryCore, Unrolled
from memrl.memory.kernels.choice import operation
from memrl.memory.ops.convolution import short_convolution
from memrl.memory.ops.last_steps import last_steps
from memrl.memory.ops.selective import selective_scan
from memrl.memory.registry import register

RMS_EPS = 1e-5  # added to the mean square of the input (the authors' code)
SLOWEST, FASTEST = 1e-3, 0.1  # between which Δ starts, log-uniform (the paper)


class MambaState(NamedTuple):
    """State of the Mamba core."""

    past: Tensor  # [B, F - 1, E]  the convolution's last inputs, oldest first; zero: none yet
    h: Tensor  # [B, E, N]


@final
@register("mamba")
class Mamba(MemoryCore[MambaState]):
    """Selective state space model (S6) in the authors' block, in plain torch.

    [u, z] = W RMSNorm(x);  u = SiLU(conv u), over the last F steps of a channel;
    Δ = softplus(W_Δ W_δ u + b), B = W_B u, C = W_C u;  h' = e^(Δ A) ∘ h + Δ u Bᵀ, A = -e^a < 0;
    y = W_y ((h' C + D ∘ u) ∘ SiLU(z)). The input selects Δ; a small Δ hardly changes the state. The
    policy adds the residual around the block.

    A starts at -1 … -N in every channel, Δ log-uniform between 0.001 and 0.1.

    Args:
        in_dim: width of the input features.
        inner_dim: E, channels.
        state_dim: N, state variables of a channel.
        rank: of the map from channels to Δ.
        conv_width: F, steps that the convolution sees.
        hidden_dim: width of the output.
    """

    paper = "Gu & Dao 2023, Mamba: Linear-Time Sequence Modeling with Selective State Spaces"

    def __init__(
        self,
        in_dim: int,
        *,
        inner_dim: Annotated[int, Ge(1)] = 128,
        state_dim: Annotated[int, Ge(1)] = 16,
        rank: Annotated[int, Ge(1)] = 8,
        conv_width: Annotated[int, Ge(2)] = 4,
        hidden_dim: Annotated[int, Ge(1)] = 128,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        self.inner_dim, self.conv_width = inner_dim, conv_width
        self.parts = [rank, state_dim, state_dim]
        self.norm = nn.RMSNorm(in_dim, eps=RMS_EPS)
        self.input = nn.Linear(in_dim, 2 * inner_dim, bias=False)  # u, z
        bound = 1 / math.sqrt(conv_width)
        self.kernel = nn.Parameter(torch.empty(inner_dim, conv_width).uniform_(-bound, bound))
        self.kernel_bias = nn.Parameter(torch.empty(inner_dim).uniform_(-bound, bound))
        self.select = nn.Linear(inner_dim, sum(self.parts), bias=False)  # δ, B, C
        self.delta = nn.Linear(rank, inner_dim)
        nn.init.uniform_(self.delta.weight, -(rank**-0.5), rank**-0.5)
        with torch.no_grad():
            span = math.log(FASTEST / SLOWEST)
            first = SLOWEST * (span * torch.rand(inner_dim)).exp()  # Δ
            self.delta.bias.copy_(first + (-torch.expm1(-first)).log())  # softplus⁻¹
        self.a = nn.Parameter(torch.arange(1.0, state_dim + 1).log().repeat(inner_dim, 1))
        self.D = nn.Parameter(torch.ones(inner_dim))
        self.output = nn.Linear(inner_dim, hidden_dim, bias=False)

    def initial_state(self, batch_size: int) -> MambaState:
        zeros, width = self.a.new_zeros, self.conv_width
        past = zeros(batch_size, width - 1, self.inner_dim)
        return MambaState(past, zeros(batch_size, *self.a.shape))

    def _project(self, x: Tensor) -> Tensor:
        return self.input(self.norm(x))  # type: ignore[no-any-return]

    def _emit(self, seen: Tensor) -> Tensor:
        return self.output(seen)  # type: ignore[no-any-return]

    def _update(self, x: Tensor, state: MambaState) -> tuple[Tensor, MambaState]:
        u, z = x.chunk(2, dim=-1)
        window = torch.cat([state.past, u.unsqueeze(1)], dim=1)  # [B, F, E]
        u = F.silu((window.mT * self.kernel).sum(dim=-1) + self.kernel_bias)
        delta, B, C = self._selected(u)
        keep = (delta.unsqueeze(-1) * self._rates()).exp()  # e^(Δ A)
        h = torch.addcmul((delta * u).unsqueeze(-1) * B.unsqueeze(-2), keep, state.h)
        read = torch.matmul(h, C.unsqueeze(-1)).squeeze(-1)
        return self._gated(read, u, z), MambaState(window[:, 1:], h)

    def forward(self, x: Tensor, state: MambaState, start: Tensor) -> Unrolled:
        drive, z = self._project(x).chunk(2, dim=-1)
        convolved = operation(short_convolution, x)(
            state.past, drive, self.kernel, self.kernel_bias, start
        )
        u, before = F.silu(convolved), self.conv_width - 1
        delta, B, C = self._selected(u)
        scan = operation(selective_scan, x)
        read, h = scan(delta, u, B, C, self._rates(), state.h, start)
        past = last_steps(state.past, drive[-before:], start[-before:])[-1, ..., 1:].mT
        return Unrolled(self._emit(self._gated(read, u, z)), MambaState(past, h))

    def _rates(self) -> Tensor:
        """A [E, N]."""
        return -self.a.exp()

    def _selected(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Δ [..., E], B and C [..., N]."""
        low, B, C = self.select(u).split_with_sizes(self.parts, -1)
        return F.softplus(self.delta(low)), B, C

    def _gated(self, read: Tensor, u: Tensor, z: Tensor) -> Tensor:
        return (read + self.D * u) * F.silu(z)

    def diagnostics(self, state: MambaState) -> dict[str, Tensor]:
        return {"memory": state.h.mT, "past": state.past}
