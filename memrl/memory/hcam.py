"""HCAM: a GRU that looks back at chunks of its past: at their means, then inside of some."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.core import MemoryCore, Unrolled, need_no_grad
from memrl.memory.gru import GRU, GRUState
from memrl.memory.ops.addressing import entropy
from memrl.memory.ops.attention import ages, ring_age
from memrl.memory.ops.chunks import chunks_back, chunks_of, mask_of, put_steps
from memrl.memory.parts.chunk_attention import ChunkAttention
from memrl.memory.registry import register


class HCAMState(NamedTuple):
    """State of the HCAM core; a start sets the leaves from ``age`` on to zero, and only them."""

    ring: Tensor  # [B, K + 1, C, D]  standardised steps; n is in slot ⌊n / C⌋ mod (K + 1)
    summaries: Tensor  # [B, K + 1, D]  the mean of each slot
    age: Tensor  # [B]  steps of the episode so far; modulo (K + 1) C from twice that on
    local: GRUState
    read_weights: Tensor  # [B, K]  relevance at the last step, the oldest chunk first; for plots


@final
@register("hcam")
class HCAM(MemoryCore[HCAMState]):
    """Hierarchical chunk attention memory over the hidden states of a GRU.

    h_t = GRU(x_t, h_{t−1}) and e_t = (h_t − mean) / deviation, which is stored. Each C steps of an
    episode are a chunk with the summary S_i, their mean. n = γ e_t + β;  R = softmax(q(n)·k(S) /
    √D) over the last K complete chunks;  y_t = h_t + Σ_{i ∈ top-k} R_i MHA(n, chunk i). The chunk
    in progress is the GRU's.

    The paper stacks four such blocks in a transformer, where local attention has the GRU's place,
    and trains what is stored by reconstruction, since no gradient enters the memory. Here there is
    one block, and within a trainer's chunk gradients pass into stored steps. Beyond it, keys and
    values are still learned for what is stored there.

    Args:
        in_dim: width of the input features.
        chunks: K, complete chunks that a step can look back to.
        chunk_len: C, steps in a chunk; with one there would be nothing to choose inside of it.
        topk: k, chunks that a step attends inside of; at most K.
        heads: of the attention inside of chunks.
        head_dim: width of a head.
        hidden_dim: D, width of the GRU, of a stored step and of the output.

    Raises:
        ValueError: ``topk`` is above ``chunks``.
    """

    paper = "Lampinen et al. 2021, Towards mental time travel: a hierarchical memory for RL agents"
    not_reset = ("ring", "summaries")  # ``age`` says what is seen of them

    def __init__(
        self,
        in_dim: int,
        *,
        chunks: Annotated[int, Ge(2)] = 32,
        chunk_len: Annotated[int, Ge(2)] = 16,
        topk: Annotated[int, Ge(1)] = 4,
        heads: Annotated[int, Ge(1)] = 4,
        head_dim: Annotated[int, Ge(1)] = 32,
        hidden_dim: Annotated[int, Ge(1)] = 128,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        if topk > chunks:
            raise ValueError(f"topk is {topk}; allowed: at most chunks, {chunks}")
        self.chunks, self.chunk_len = chunks, chunk_len
        self.warm_up = 2 * chunk_len  # with a single chunk there is nothing to choose
        self.local = GRU(in_dim, hidden_dim=hidden_dim)
        self.norm = nn.LayerNorm(hidden_dim)
        self.attention = ChunkAttention(hidden_dim, topk=topk, heads=heads, head_dim=head_dim)

    def initial_state(self, batch_size: int) -> HCAMState:
        zeros, slots = self.norm.weight.new_zeros, self.chunks + 1
        return self._first(batch_size)._replace(
            ring=zeros(batch_size, slots, self.chunk_len, self.out_dim),
            summaries=zeros(batch_size, slots, self.out_dim),
        )

    def _first(self, batch_size: int) -> HCAMState:
        """The initial state without the leaves that a start does not change."""
        zeros = self.norm.weight.new_zeros
        return HCAMState(
            ring=(),  # type: ignore[arg-type]
            summaries=(),  # type: ignore[arg-type]
            age=zeros(batch_size),
            local=self.local.initial_state(batch_size),
            read_weights=zeros(batch_size, self.chunks),
        )

    def step(
        self, x: Tensor, state: HCAMState, start: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, HCAMState]:
        need_no_grad(donate)
        return self._take(x, self.reset(state, self._first(1), start, donate=donate), donate=donate)

    def _update(self, x: Tensor, state: HCAMState) -> tuple[Tensor, HCAMState]:
        return self._take(x, state, donate=False)

    def _take(self, x: Tensor, state: HCAMState, *, donate: bool) -> tuple[Tensor, HCAMState]:
        """One step without resets."""
        h, local = self.local._update(x, state.local)
        e = _standardised(h)
        y, looks = self._recall(h.unsqueeze(1), e.unsqueeze(1), state, state.age.unsqueeze(1))
        rows = torch.arange(x.shape[0], device=x.device)
        slot = (state.age // self.chunk_len % (self.chunks + 1)).long()
        ring = state.ring if donate else state.ring.clone()
        summaries = state.summaries if donate else state.summaries.clone()
        ring[rows, slot, (state.age % self.chunk_len).long()] = e
        summaries[rows, slot] = ring[rows, slot].mean(dim=1)
        return y.squeeze(1), HCAMState(ring, summaries, self._aged(state.age), local, looks)

    def forward(self, x: Tensor, state: HCAMState, start: Tensor) -> Unrolled:
        state = self.reset(state, self._first(1), start[0])
        hidden, local, _ = self.local(x, state.local, start)
        h, age = hidden.transpose(0, 1), ages(state.age, start)
        e = _standardised(h)
        y, looks = self._recall(h, e, state, age)
        ring = put_steps(state.ring, e, age)
        after = HCAMState(ring, ring.mean(dim=2), self._aged(age[:, -1]), local, looks)
        return Unrolled(y.transpose(0, 1), after)

    def _recall(self, h: Tensor, e: Tensor, state: HCAMState, age: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs [B, T, D] of steps h, and where the last one looked, [B, K]."""
        found = chunks_of(state.ring, state.summaries, e, age)
        back = chunks_back(found.begin, age, self.chunk_len)
        n = torch.addcmul(self.norm.bias, self.norm.weight, e)
        seen = self.attention(n, found, mask_of(back, self.chunks))
        place = self.chunks - back[:, -1].gather(1, seen.chosen[:, -1])
        looks = seen.relevance[:, -1].detach()
        shown = looks.new_zeros(h.shape[0], self.chunks + 1)
        shown = shown.scatter_add(1, place.clamp(min=0).long(), looks)  # K: not visible
        return h + seen.read, shown[:, :-1]

    def _aged(self, age: Tensor) -> Tensor:
        return ring_age(age + 1, (self.chunks + 1) * self.chunk_len)

    def diagnostics(self, state: HCAMState) -> dict[str, Tensor]:
        """``read_weights`` are of the last K complete chunks, the oldest first."""
        return {
            "read_weights": state.read_weights,
            "read_entropy": entropy(state.read_weights),
            "age": state.age,
            "hidden": state.local.h.detach(),
        }


def _standardised(x: Tensor) -> Tensor:
    """(x − mean) / deviation: a layer norm without gain and shift, so it outlives an update."""
    return F.layer_norm(x, x.shape[-1:])
