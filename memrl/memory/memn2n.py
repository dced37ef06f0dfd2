"""MemN2N: attention over the last inputs of an episode, in several hops."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, final

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

from memrl.memory.ops.attention import push
from memrl.memory.ops.nonfinite import with_nan, without_nonfinite
from memrl.memory.ops.window import compare, look_back, read, weigh
from memrl.memory.parts.window import ItemMemory
from memrl.memory.registry import register


class MemN2NState(NamedTuple):
    """State of the MemN2N core."""

    items: Tensor  # [B, N, I]  the last N inputs as they were, oldest first; zero: none yet
    age: Tensor  # [B]  steps of the episode so far, at most N
    read_weights: Tensor  # [B, K, N]  p of every hop at the last step; only for plots


@final
@register("memn2n")
class MemN2N(ItemMemory[MemN2NState]):
    """End-to-end memory network: the present input is the query, the N before it are the memory.

    u^1 = B x_t;  m_i = A^k x_i + T_A^k(i);  c_i = C^k x_i + T_C^k(i);  p = softmax(uᵀ m_i);
    o^k = Σ p_i c_i;  u^{k+1} = u^k + o^k, or H u^k + o^k;  y = u^{K+1}. The episode's first step
    has no memory, and o is zero. T(i) is learned for every age i. Items are not embedded one by
    one: uᵀ A x_i is computed as (Aᵀ u)ᵀ x_i and Σ p_i C x_i as C Σ p_i x_i.

    With ``position``, an input is [Σ_j x_j, Σ_j b_j x_j] of words x_j, b_j = (j − (J+1)/2) / J, and
    is embedded as A times its first half plus a ∘ A times its second, a_k = 4 (k − (d+1)/2) / d.
    Together this is Σ_j l_j ∘ A x_j with l_kj = 1 + a_k b_j, the position encoding of the authors'
    code, about twice as strong as the paper's.

    Args:
        in_dim: width of the input features, I.
        slots: N, inputs that are stored; a gradient reaches back N steps.
        hops: K.
        tying: "adjacent": A^{k+1} = C^k and B = A^1; "layerwise": one A, one C, and H between hops.
        temporal: add T_A and T_C.
        position: the input has two halves, words and words weighted by position.
        hidden_dim: d, width of the embeddings and of the output.
        init_std: all weights start from N(0, σ²). The paper's 0.1 suits the few words of a
            sentence. With a hundred dense features it makes the first softmax almost one-hot, and
            learning is slow or fails; hence 0.02.

    Attributes:
        linear: use uᵀ m_i itself as the weight, without the softmax (linear start); it may change
            at any time.

    Raises:
        ValueError: ``position`` with an odd width of the input.
    """

    paper = "Sukhbaatar et al. 2015, End-To-End Memory Networks"

    def __init__(
        self,
        in_dim: int,
        *,
        slots: Annotated[int, Ge(1)] = 50,
        hops: Annotated[int, Ge(1)] = 3,
        tying: Literal["adjacent", "layerwise"] = "adjacent",
        temporal: bool = True,
        position: bool = False,
        hidden_dim: Annotated[int, Ge(1)] = 128,
        init_std: Annotated[float, Gt(0)] = 0.02,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        if position and in_dim % 2:
            raise ValueError(f"position=true with in_dim {in_dim}; allowed: an even in_dim")
        self.horizon = self.slots = slots
        self.hops, self.adjacent, self.position = hops, tying == "adjacent", position
        self.linear = False
        words = in_dim // 2 if position else in_dim
        hopwise = hops + 1 if self.adjacent else None

        def drawn(*shape: int) -> nn.Parameter:
            return nn.Parameter(init_std * torch.randn(*shape))

        # Adjacent: A^1 = B, C^1 = A^2, …, C^K. Layerwise: A, C, B. T in a window's order.
        self.embeddings = drawn(hopwise or 3, hidden_dim, words)
        self.times = drawn(hopwise or 2, slots, hidden_dim) if temporal else None
        self.between = None if self.adjacent else drawn(hidden_dim, hidden_dim)  # H

    @property
    def answer_weight(self) -> Tensor:
        """C^K [d, words], which adjacent tying also uses for the answers: W = (C^K)ᵀ.

        Raises:
            ValueError: the embeddings are tied layer-wise, so W is another matrix.
        """
        if not self.adjacent:
            raise ValueError('answer_weight with tying="layerwise"; allowed: tying="adjacent"')
        return self.embeddings[-1]

    def initial_state(self, batch_size: int) -> MemN2NState:
        zeros = self.embeddings.new_zeros
        return MemN2NState(
            items=zeros(batch_size, self.slots, self.in_dim),
            age=zeros(batch_size),
            read_weights=zeros(batch_size, self.hops, self.slots),
        )

    def _attend(
        self, x: Tensor, state: MemN2NState, age: Tensor
    ) -> tuple[Tensor, MemN2NState, None]:
        seen, next_age = look_back(state.items, x, age), age[:, -1] + 1
        embed = self._embeddings()
        asked, nonfinite = without_nonfinite(x)  # all queries are one product
        u = asked @ embed[0 if self.adjacent else 2].mT  # B x_t
        looks = []
        for hop in range(self.hops):
            a, c = (hop, hop + 1) if self.adjacent else (0, 1)
            logits = compare(u @ embed[a], seen.items)
            if self.times is not None:
                logits = logits + u @ self.times[a].mT
            p = torch.where(seen.visible, logits, 0) if self.linear else weigh(logits, seen.visible)
            o = read(p, seen.items) @ embed[c].mT
            if self.times is not None:
                o = o + p @ self.times[c]
            u = (u if self.between is None else u @ self.between.mT) + o
            looks.append(p[:, -1].detach())
        after = MemN2NState(
            items=push(state.items, x, next_age),
            age=next_age.clamp(max=self.slots),
            read_weights=torch.stack(looks, dim=1),
        )
        return with_nan(u, seen.nonfinite | nonfinite), after, None

    def _embeddings(self) -> Tensor:
        """The embeddings of whole inputs, [·, d, I]: with ``position`` each is [A, a ∘ A]."""
        if not self.position:
            return self.embeddings
        d, like = self.out_dim, self.embeddings
        k = torch.arange(1, d + 1, device=like.device, dtype=like.dtype)
        a = 4 * (k - (d + 1) / 2) / d
        return torch.cat([like, a.unsqueeze(-1) * like], dim=-1)
