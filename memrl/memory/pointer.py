"""Pointer memory: the output contains the attention weights over the last inputs."""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple, final

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from memrl.memory.ops.attention import push
from memrl.memory.ops.nonfinite import with_nan
from memrl.memory.ops.window import look_back, read, weigh, windows
from memrl.memory.parts.window import ItemMemory
from memrl.memory.registry import register

MAX_ELEMENTS: Final = 2**23  # of tanh(…) [B, T, N, D] in memory at once: 32 MiB


class PointerState(NamedTuple):
    """State of the pointer memory core."""

    items: Tensor  # [B, N, I]  the last N inputs as they were, oldest first; zero: none yet
    age: Tensor  # [B]  steps of the episode so far, at most N
    read_weights: Tensor  # [B, N]  p at the last step; only for plots


def additive_logits(
    queries: Float[Tensor, "B T D"],
    keys: Float[Tensor, "B S D"],
    v: Float[Tensor, " D"],
    *,
    max_elements: int = MAX_ELEMENTS,
) -> Float[Tensor, "B T N"]:
    """Additive attention to the N = S − T + 1 keys before a query: vᵀ tanh(k + q) (Vinyals 2015).

    A sequence that needs more than ``max_elements`` is split in time. Each part is computed again
    for its gradient, so that only one part is in memory.
    """
    batch, length, dim = queries.shape
    size = keys.shape[1] - length + 1

    def score(q: Tensor, k: Tensor) -> Tensor:
        return (windows(k, size) + q.unsqueeze(2)).tanh() @ v

    steps = 1 if length == 1 else max(1, max_elements // (batch * size * dim))
    if steps >= length:
        return score(queries, keys)
    parts = []
    for t in range(0, length, steps):
        q, k = queries[:, t : t + steps], keys[:, t : t + steps + size - 1]
        parts.append(checkpoint(score, q, k, use_reentrant=False, preserve_rng_state=False))
    return torch.cat(parts, dim=1)


@final
@register("pointer")
class PointerMemory(ItemMemory[PointerState]):
    """Pointer attention over the N inputs before the present one.

    u_i = vᵀ tanh(W_1 x_i + W_2 x_t);  p = softmax(u);  y = [p, W (Σ p_i x_i, x_t) + b]. The first N
    outputs are the output of a pointer network: a distribution over positions in the memory, oldest
    first, zero where the episode has no item. At its first step they are all zero. The other
    outputs combine the weighted item with the present input, for policies that cannot use a
    position. The paper's recurrent encoder and decoder are left to the policy.

    Args:
        in_dim: width of the input features, I.
        slots: N, inputs that are stored; a gradient reaches back N steps.
        key_dim: D, width of keys, queries and v.
        hidden_dim: width of the outputs after the N weights.
    """

    paper = "Vinyals et al. 2015, Pointer Networks"

    def __init__(
        self,
        in_dim: int,
        *,
        slots: Annotated[int, Ge(1)] = 50,
        key_dim: Annotated[int, Ge(1)] = 32,
        hidden_dim: Annotated[int, Ge(1)] = 128,
    ) -> None:
        super().__init__(in_dim, slots + hidden_dim)
        self.horizon = self.slots = slots
        self.key = nn.Linear(in_dim, key_dim, bias=False)  # W_1
        self.query = nn.Linear(in_dim, key_dim, bias=False)  # W_2
        self.score = nn.Parameter(key_dim**-0.5 * torch.randn(key_dim))  # v
        self.output = nn.Linear(2 * in_dim, hidden_dim)
        for layer in (self.key, self.query, self.output):
            nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(self.output.bias)

    def initial_state(self, batch_size: int) -> PointerState:
        zeros = self.score.new_zeros
        return PointerState(
            items=zeros(batch_size, self.slots, self.in_dim),
            age=zeros(batch_size),
            read_weights=zeros(batch_size, self.slots),
        )

    def _attend(
        self, x: Tensor, state: PointerState, age: Tensor
    ) -> tuple[Tensor, PointerState, None]:
        seen, next_age = look_back(state.items, x, age), age[:, -1] + 1
        logits = additive_logits(self.query(x), self.key(seen.items), self.score)
        p = weigh(logits, seen.visible)
        z = self.output(torch.cat([read(p, seen.items), x], dim=-1))
        after = PointerState(
            items=push(state.items, x, next_age),
            age=next_age.clamp(max=self.slots),
            read_weights=p[:, -1].detach(),
        )
        return with_nan(torch.cat([p, z], dim=-1), seen.nonfinite), after, None
