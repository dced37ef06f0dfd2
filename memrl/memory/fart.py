"""Linear transformer (FART): attention whose past is a matrix, the sum of key-value products."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.ops.linear_attention import attend, episodes
from memrl.memory.parts.matrix import MatrixMemory
from memrl.memory.registry import register

EPS = 1e-5  # added to the normaliser, and to the sums of "shares" (POPGym)


class FARTState(NamedTuple):
    """State of the FART core."""

    memory: Tensor  # [B, heads, K, K]  S, keys by values
    norm: Tensor  # [B, heads, K]  z ≥ 0, the sum of the keys; width 0 for "shares"


@final
@register("fart")
class FART(MatrixMemory[FARTState]):
    """Fast autoregressive transformer: linear attention in POPGym's block.

    S' = S + φ(k) vᵀ, z' = z + φ(k), read φ(q)ᵀ S' / (φ(q)ᵀ z' + ε) with φ = elu + 1. Keys,
    queries and values are of the input after a layer norm; the output is relu(W₂ relu(W₁ read))
    plus a linear shortcut from the normed input. The memory never forgets.

    With ``feature_map="shares"`` φ(u) = relu(u) / (ε + Σ relu(u)) and the read is φ(q)ᵀ S' itself:
    POPGym's "fast weight programmer", which has neither the delta rule nor the feature map of
    Schlag et al. 2021; the core ``deltanet`` has the delta rule.

    Args:
        in_dim: width of the input features.
        heads: number of matrices.
        head_dim: K, width of a key and of a value.
        feature_map: φ, "elu" or "shares".
        hidden_dim: width of the output.
    """

    paper = "Katharopoulos et al. 2020, Transformers are RNNs"

    def __init__(
        self,
        in_dim: int,
        *,
        heads: Annotated[int, Ge(1)] = 4,
        head_dim: Annotated[int, Ge(1)] = 16,
        feature_map: Literal["elu", "shares"] = "elu",
        hidden_dim: Annotated[int, Ge(1)] = 128,
    ) -> None:
        parts = [hidden_dim]  # the shortcut
        super().__init__(in_dim, hidden_dim=hidden_dim, heads=heads, head_dim=head_dim, parts=parts)
        self.shares = feature_map == "shares"
        self.norm = nn.LayerNorm(in_dim)
        self.key = nn.Linear(in_dim, heads * head_dim, bias=False)
        self.query = nn.Linear(in_dim, heads * head_dim, bias=False)
        self.value = nn.Linear(in_dim, heads * head_dim, bias=False)
        self.inner = nn.Linear(heads * head_dim, hidden_dim)
        self.outer = nn.Linear(hidden_dim, hidden_dim)
        self.shortcut = nn.Linear(in_dim, hidden_dim)

    def initial_state(self, batch_size: int) -> FARTState:
        zeros, width = self.key.weight.new_zeros, self.head_dim
        return FARTState(
            zeros(batch_size, self.heads, width, width),
            zeros(batch_size, self.heads, 0 if self.shares else width),
        )

    def _project(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        q, k = self._features(self.query(x)), self._features(self.key(x))
        return torch.cat([q, k, self.value(x), self.shortcut(x)], dim=-1)

    def _features(self, u: Tensor) -> Tensor:
        """φ(u) of every head: [..., heads · K]."""
        if not self.shares:
            return F.elu(u) + 1
        by_head = u.relu().unflatten(-1, (self.heads, self.head_dim))  # type: ignore[no-untyped-call]
        return (by_head / (EPS + by_head.sum(dim=-1, keepdim=True))).flatten(-2)  # type: ignore[no-any-return]

    def _emit(self, seen: Tensor) -> Tensor:
        read, direct = seen.split_with_sizes([self.heads * self.head_dim, self.out_dim], -1)
        return self.outer(self.inner(read).relu()).relu() + direct  # type: ignore[no-any-return]

    def _update(self, x: Tensor, state: FARTState) -> tuple[Tensor, FARTState]:
        qkv, direct = self._split(x)
        q, k, v = qkv.unbind(1)  # [B, heads, K]
        memory = state.memory + k.unsqueeze(-1) * v.unsqueeze(-2)
        norm = state.norm if self.shares else state.norm + k
        read = (q.unsqueeze(-2) @ memory).squeeze(-2)
        if not self.shares:
            read = read / ((q * norm).sum(-1, keepdim=True) + EPS)
        return torch.cat([read.flatten(1), direct], dim=-1), FARTState(memory, norm)

    def _attend(self, x: Tensor, state: FARTState, start: Tensor) -> tuple[Tensor, FARTState]:
        qkv, direct = self._split(x)
        q, k, v = qkv.permute(2, 1, 3, 0, 4).unbind()  # [B, heads, T, K]
        within, carried = episodes(start)
        weights, carry, first = within.to(v.dtype), carried.to(v.dtype), state.memory
        if not self.shares:  # the normaliser is the read of an additional value that is always 1
            v = torch.cat([v, torch.ones_like(v[..., :1])], dim=-1)
            first = torch.cat([first, state.norm.unsqueeze(-1)], dim=-1)
        read, last = attend(q, k, v, first, weights, carry, carried)
        after = FARTState(last, state.norm)
        if not self.shares:
            read = read[..., :-1] / (read[..., -1:] + EPS)
            after = FARTState(last[..., :-1], last[..., -1])
        return torch.cat([read.permute(2, 0, 1, 3).flatten(2), direct], dim=-1), after

    def diagnostics(self, state: FARTState) -> dict[str, Tensor]:
        return {"memory": state.memory.flatten(1, 2)}
