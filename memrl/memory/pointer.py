"""Pointer memory: the output is where, among the last inputs, the present one points."""

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
from memrl.memory.parts.window import WindowMemory
from memrl.memory.registry import register

PIECE: Final = 2**23  # numbers of tanh(…) [B, T, N, D] that are held at once, 32 MiB


class PointerState(NamedTuple):
    """What a pointer memory carries from step to step."""

    items: Tensor  # [B, N, I]  the last N inputs as they were, oldest first; zero: none yet
    age: Tensor  # [B]  steps of the episode so far, at most N
    read_weights: Tensor  # [B, N]  p at the last step, to look at; no step reads it


def additive_logits(
    queries: Float[Tensor, "B T D"],
    keys: Float[Tensor, "B S D"],
    v: Float[Tensor, " D"],
    *,
    piece: int = PIECE,
) -> Float[Tensor, "B T N"]:
    """How each of the N = S − T + 1 keys before a query fits it: vᵀ tanh(k + q) (Vinyals 2015).

    A sequence that needs more than ``piece`` numbers is cut in time, and every part of it is
    computed again for its gradient, so that no more than one part is in memory.
    """
    batch, length, dim = queries.shape
    size = keys.shape[1] - length + 1

    def score(q: Tensor, k: Tensor) -> Tensor:
        return (windows(k, size) + q.unsqueeze(2)).tanh() @ v

    steps = 1 if length == 1 else max(1, piece // (batch * size * dim))
    if steps >= length:
        return score(queries, keys)
    parts = []
    for t in range(0, length, steps):
        q, k = queries[:, t : t + steps], keys[:, t : t + steps + size - 1]
        parts.append(checkpoint(score, q, k, use_reentrant=False, preserve_rng_state=False))
    return torch.cat(parts, dim=1)


@final
@register("pointer")
class PointerMemory(WindowMemory[PointerState]):
    """Pointer attention over the N inputs before the present one.

    u_i = vᵀ tanh(W_1 x_i + W_2 x_t);  p = softmax(u);  y = [p, W (Σ p_i x_i, x_t) + b]. The first N
    outputs are the answer of a pointer network itself: a distribution over places in the memory,
    the N-th before the present first and the newest last, zero where the episode has none; at its
    first step they are all zero. Behind them comes what is pointed at beside the present, for what
    cannot use a place. The network itself, the recurrent encoder and decoder of the paper, is the
    policy's: here an item is an input.

    Args:
        in_dim: width of the input features, I.
        slots: N, inputs that can be pointed at; a gradient reaches back N steps.
        key_dim: width of the comparison, of v.
        hidden_dim: width of the output behind the N places.
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

    def diagnostics(self, state: PointerState) -> dict[str, Tensor]:
        return {
            "read_weights": state.read_weights,
            "age": state.age,
            "item_norms": state.items.detach().norm(dim=-1),
        }
