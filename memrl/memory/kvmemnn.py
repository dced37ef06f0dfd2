"""Key-value memory network: a query is compared with keys, and reads other inputs as values."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.ops.attention import push
from memrl.memory.ops.nonfinite import with_nan, without_nonfinite
from memrl.memory.ops.window import compare, look_back, read, weigh
from memrl.memory.parts.slots import GROW_ABOVE, Slotted, fit
from memrl.memory.parts.window import ItemMemory
from memrl.memory.registry import register


class KeyValueMemNNState(NamedTuple):
    """State of the key-value memory network core."""

    items: Tensor  # [B, N, I]  the last N inputs as they were, oldest first; zero: none yet
    age: Tensor  # [B]  steps of the episode so far, at most N
    read_weights: Tensor  # [B, H, N]  p of every hop at the last step, by the position of the key


@final
@register("kvmemnn")
class KeyValueMemNN(ItemMemory[KeyValueMemNNState], Slotted):
    """Key-value memory network over pairs of the last N inputs: an input, and one that followed.

    q_1 = A x_t;  p_i = softmax(q_jᵀ A k_i);  o = V Σ p_i v_i;  q_{j+1} = R_j (q_j + o);
    y = q_{H+1}. The key k_i is an input and the value v_i the one ``lag`` steps later, both before
    the present one. With lag 1 the memory recalls what followed a similar input; with lag 0 key and
    value are two embeddings of the same input. While there is no pair, o is zero.

    The paper embeds hand-made features of question, key and value by one matrix A, and selects
    candidate pairs by their words. Here the features are learned, values have their own matrix, and
    all pairs are candidates. R_j starts as the identity.

    Args:
        in_dim: width of the input features, I.
        slots: N, inputs that are stored, which form N − ``lag`` pairs.
        hops: H.
        lag: steps from key to value; less than ``slots``.
        hidden_dim: d, width of the embeddings and of the output.
        init_std: A and V start from N(0, σ²); a small σ spreads the first attention over all pairs.
        grow: the most slots to which it may grow while it is trained; None: N stays.
        grow_above: share of used slots above which the slots double.

    Raises:
        ValueError: ``lag`` is not below ``slots``; ``grow`` is not above them, or ``grow_above`` is
            set without it.
    """

    paper = "Miller et al. 2016, Key-Value Memory Networks for Directly Reading Documents"

    def __init__(
        self,
        in_dim: int,
        *,
        slots: Annotated[int, Ge(1)] = 50,
        hops: Annotated[int, Ge(1)] = 2,
        lag: Annotated[int, Ge(0)] = 0,
        hidden_dim: Annotated[int, Ge(1)] = 128,
        init_std: Annotated[float, Gt(0)] = 0.02,
        grow: Annotated[int, Ge(1)] | None = None,
        grow_above: Annotated[float, Gt(0), Lt(1)] = GROW_ABOVE,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        self.slots, self.hops, self.lag = slots, hops, lag
        self._need_slots(slots)
        self._extend(slots)
        self._may_grow(grow, grow_above)
        self.key = nn.Parameter(init_std * torch.randn(hidden_dim, in_dim))  # A
        self.value = nn.Parameter(init_std * torch.randn(hidden_dim, in_dim))  # V
        self.update = nn.Parameter(torch.eye(hidden_dim).repeat(hops, 1, 1))  # R_j

    def _need_slots(self, slots: int) -> None:
        if self.lag >= slots:
            raise ValueError(f"lag is {self.lag}; allowed: below slots, {slots}")

    def _extend(self, slots: int) -> None:
        # A single pair has weight 1, so its key gets no gradient; its value is one step back.
        self.horizon = slots if slots > self.lag + 1 else 1

    def used(self, state: KeyValueMemNNState) -> Tensor:
        slots = state.items.shape[1]
        place = torch.arange(slots, device=state.age.device)
        return (place >= slots - state.age.unsqueeze(1)).to(state.items.dtype)

    def _refit(self, state: KeyValueMemNNState, slots: int) -> KeyValueMemNNState:
        return KeyValueMemNNState(
            items=fit(state.items, slots, front=True),
            age=state.age.clamp(max=slots),
            read_weights=fit(state.read_weights, slots, 2, front=True),
        )

    def initial_state(self, batch_size: int) -> KeyValueMemNNState:
        zeros = self.key.new_zeros
        return KeyValueMemNNState(
            items=zeros(batch_size, self.slots, self.in_dim),
            age=zeros(batch_size),
            read_weights=zeros(batch_size, self.hops, self.slots),
        )

    def _attend(
        self, x: Tensor, state: KeyValueMemNNState, age: Tensor
    ) -> tuple[Tensor, KeyValueMemNNState, None]:
        seen, next_age = look_back(state.items, x, age), age[:, -1] + 1
        pairs = self.slots - self.lag
        visible = seen.visible[..., :pairs]  # keys whose values are known
        asked, nonfinite = without_nonfinite(x)  # all queries are one product
        q = asked @ self.key.mT
        looks = []
        for r in self.update.unbind():
            # Without embedding the items: qᵀ A k_i = (Aᵀ q)ᵀ k_i and Σ p_i V v_i = V Σ p_i v_i.
            p = weigh(compare(q @ self.key, seen.items)[..., :pairs], visible)
            o = read(F.pad(p, (self.lag, 0)), seen.items) @ self.value.mT
            q = (q + o) @ r.mT
            looks.append(F.pad(p[:, -1].detach(), (0, self.lag)))
        after = KeyValueMemNNState(
            items=push(state.items, x, next_age),
            age=next_age.clamp(max=self.slots),
            read_weights=torch.stack(looks, dim=1),
        )
        return with_nan(q, seen.nonfinite | nonfinite), after, None
