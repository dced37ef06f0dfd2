"""DeltaNet: a matrix memory that replaces the value of a key instead of adding to it."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.kernels.choice import kernel
from memrl.memory.ops.linear_attention import attend, corrections, episodes, fading
from memrl.memory.parts.matrix import MatrixMemory
from memrl.memory.registry import register

NORM_EPS = 1e-6  # added to ‖k‖² and ‖q‖²
RMS_EPS = 1e-5  # added to the mean square of a head's read
FORGET_BIAS = 4.0  # of the gated form: α starts at σ(4) = 0.98


class DeltaNetState(NamedTuple):
    """State of the DeltaNet core."""

    memory: Tensor  # [B, heads, K, K]  S, keys by values


@final
@register("deltanet")
class DeltaNet(MatrixMemory[DeltaNetState]):
    """Fast weights under the delta rule, optionally with a forget gate (Gated DeltaNet).

    S' = α S (1 - β k kᵀ) + β v kᵀ (stored transposed), read S' q, with q, k = SiLU(W x) over
    their norms, β = σ(w x) and α = 1, or α = σ(w x + 4) when gated. A head's read is divided by
    its root mean square, scaled, multiplied by SiLU(W_g x) and projected by W_o. The papers' short
    convolutions are left out, because they are a memory themselves.

    Args:
        in_dim: width of the input features.
        heads: number of matrices.
        head_dim: K, width of a key and of a value; a head stores K pairs without loss.
        hidden_dim: width of the output.
        gated: add a forget gate α, computed from the input (Yang et al. 2025).
    """

    paper = (
        "Yang et al. 2024, Parallelizing Linear Transformers with the Delta Rule over Sequence "
        "Length"
    )

    def __init__(
        self,
        in_dim: int,
        *,
        heads: Annotated[int, Ge(1)] = 4,
        head_dim: Annotated[int, Ge(1)] = 16,
        hidden_dim: Annotated[int, Ge(1)] = 128,
        gated: bool = False,
    ) -> None:
        width = heads * head_dim
        # The output gate, β and log α.
        parts = [width, heads, heads]
        super().__init__(in_dim, hidden_dim=hidden_dim, heads=heads, head_dim=head_dim, parts=parts)
        self.query = nn.Linear(in_dim, width, bias=False)
        self.key = nn.Linear(in_dim, width, bias=False)
        self.value = nn.Linear(in_dim, width, bias=False)
        self.beta = nn.Linear(in_dim, heads, bias=False)
        self.alpha = nn.Linear(in_dim, heads) if gated else None
        self.gate = nn.Linear(in_dim, width, bias=False)
        self.scale = nn.Parameter(torch.ones(head_dim))
        self.output = nn.Linear(width, hidden_dim, bias=False)
        if self.alpha is not None:
            nn.init.constant_(self.alpha.bias, FORGET_BIAS)

    def initial_state(self, batch_size: int) -> DeltaNetState:
        width = self.head_dim
        return DeltaNetState(self.scale.new_zeros(batch_size, self.heads, width, width))

    def _project(self, x: Tensor) -> Tensor:
        def unit(raw: Tensor) -> Tensor:
            by_head = F.silu(raw).unflatten(-1, (self.heads, self.head_dim))  # type: ignore[no-untyped-call]
            size = (by_head.square().sum(-1, keepdim=True) + NORM_EPS).sqrt()
            return (by_head / size).flatten(-2)  # type: ignore[no-any-return]

        beta = self.beta(x).sigmoid()
        fade = torch.zeros_like(beta) if self.alpha is None else F.logsigmoid(self.alpha(x))
        vectors = [unit(self.query(x)), unit(self.key(x)), self.value(x), self.gate(x)]
        return torch.cat([*vectors, beta, fade], dim=-1)  # fade is log α

    def _emit(self, seen: Tensor) -> Tensor:
        read, gate = seen.chunk(2, dim=-1)
        by_head = read.unflatten(-1, (self.heads, self.head_dim))  # type: ignore[no-untyped-call]
        size = (by_head.square().mean(-1, keepdim=True) + RMS_EPS).sqrt()
        read = (by_head / size * self.scale).flatten(-2)
        return self.output(read * F.silu(gate))  # type: ignore[no-any-return]

    def _update(self, x: Tensor, state: DeltaNetState) -> tuple[Tensor, DeltaNetState]:
        qkv, gate, beta, fade = self._split(x)
        q, k, v = qkv.unbind(1)  # [B, heads, K]
        memory = fade.exp()[..., None, None] * state.memory  # α S
        known = (k.unsqueeze(-2) @ memory).squeeze(-2)  # what the key returns now
        u = beta.unsqueeze(-1) * (v - known)
        memory = memory + k.unsqueeze(-1) * u.unsqueeze(-2)
        read = (q.unsqueeze(-2) @ memory).squeeze(-2)
        return torch.cat([read.flatten(1), gate], dim=-1), DeltaNetState(memory)

    def _in_chunks(
        self, x: Tensor, state: DeltaNetState, start: Tensor
    ) -> tuple[Tensor, DeltaNetState]:
        """By a kernel step by step, where one runs; NaN reaches what reads it, as in steps."""
        rule = kernel("deltanet", "delta_rule", x)
        if rule is None:
            return super()._in_chunks(x, state, start)
        read, memory = rule(x, state.memory, start)
        return torch.cat([read, self._split(x)[1]], dim=-1), DeltaNetState(memory)

    def _attend(
        self, x: Tensor, state: DeltaNetState, start: Tensor
    ) -> tuple[Tensor, DeltaNetState]:
        qkv, gate, beta, fade = self._split(x)
        q, k, v = qkv.permute(2, 1, 3, 0, 4).unbind()  # [B, heads, T, K]
        seen = episodes(start)
        between, faded = fading(fade.permute(1, 2, 0), seen)
        weights, carry, carried = between.exp(), faded.exp(), seen.carried
        u = corrections(k, v, beta.permute(1, 2, 0), state.memory, weights, carry, carried)
        reads, last = attend(q, k, u, state.memory, weights, carry, carried)
        read = reads.permute(2, 0, 1, 3).flatten(2)  # [T, B, heads · K]
        return torch.cat([read, gate], dim=-1), DeltaNetState(last)

    def diagnostics(self, state: DeltaNetState) -> dict[str, Tensor]:
        return {"memory": state.memory.flatten(1, 2)}
