"""Episodic LSTM: cells of earlier episodes, reinstated when their context comes back."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge, Gt
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.core import MemoryCore
from memrl.memory.ops.addressing import entropy
from memrl.memory.ops.gated import init_gates
from memrl.memory.ops.kernel import kernel_weights
from memrl.memory.registry import register


class EpisodicLSTMState(NamedTuple):
    """State of the episodic LSTM core; all zero at the start of a trial."""

    h: Tensor  # [B, H]
    c: Tensor  # [B, H]
    context: Tensor  # [B, K]  of the present episode
    keys: Tensor  # [B, N, K]  contexts of earlier episodes of the trial
    values: Tensor  # [B, N, H]  the cell at the end of the last episode with that context
    written: Tensor  # [B, N]  the number of the episode that wrote a slot; 0: empty
    episode: Tensor  # [B]  number of the present episode, from 1; 0 before the first


@final
@register("eplstm")
class EpisodicLSTM(MemoryCore[EpisodicLSTMState]):
    """LSTM whose cell also takes in what a dictionary holds for the present context (epLSTM).

    i, f, o, r = σ(W x + U h + b);  g = tanh(·);  c' = i ∘ g + f ∘ c + r ∘ tanh(m);
    h' = o ∘ tanh(c'), where r is the reinstatement gate and m the value read from the dictionary:
    m = Σ w_j v_j with NEC's weights w_j = k(x, k_j) / Σ_l k(x, k_l), k(x, x') = 1 / (‖x − x'‖² + δ)
    over all keys; zero if there is none. The output is h'.

    The last K features are the context, which says which task this is. An episode lasts while the
    context stays the same, within a squared distance of δ. At its end the cell is stored under its
    context: in place of the value that the context had, else in an empty slot, else in the slot
    that was written longest ago. Within an episode the dictionary does not change. A start, which
    opens a trial (``env.trial``), empties it.

    In the paper the end of an episode is given. Here it shows in the context, so that two
    successive episodes with one context count as one. Contexts are not embedded: they are keys as
    they are. Keys and values get gradients.

    Args:
        in_dim: width of the input features.
        slots: N, contexts that are stored.
        context: K, the number of features, the last ones, that are the context; 0: all features.
        restart: h and c are zero where an episode begins; otherwise the gates learn what to forget.
        delta: δ, the squared distance at which the kernel has half of its maximum, and up to which
            two contexts are the same.
        hidden_dim: H, width of the state and of the output.

    Raises:
        ValueError: ``context`` is more than ``in_dim``.
    """

    context: int
    paper = "Ritter et al. 2018, Been There, Done That: Meta-Learning with Episodic Recall"

    def __init__(
        self,
        in_dim: int,
        *,
        slots: Annotated[int, Ge(1)] = 32,
        context: Annotated[int, Ge(0)] = 0,
        restart: bool = False,
        delta: Annotated[float, Gt(0)] = 1e-3,
        hidden_dim: Annotated[int, Ge(1)] = 128,
    ) -> None:
        if context > in_dim:
            raise ValueError(f"context is {context}; allowed: up to {in_dim}, the input features")
        super().__init__(in_dim, hidden_dim)
        self.slots, self.context, self.restart, self.delta = (
            slots,
            context or in_dim,
            restart,
            delta,
        )
        self.weight_ih = nn.Parameter(torch.empty(5 * hidden_dim, in_dim))  # i, f, o, r, g
        self.weight_hh = nn.Parameter(torch.empty(5 * hidden_dim, hidden_dim))
        self.bias = nn.Parameter(torch.zeros(5 * hidden_dim))
        init_gates(self.weight_ih, self.weight_hh)

    def initial_state(self, batch_size: int) -> EpisodicLSTMState:
        zeros = self.bias.new_zeros
        return EpisodicLSTMState(
            h=zeros(batch_size, self.out_dim),
            c=zeros(batch_size, self.out_dim),
            context=zeros(batch_size, self.context),
            keys=zeros(batch_size, self.slots, self.context),
            values=zeros(batch_size, self.slots, self.out_dim),
            written=zeros(batch_size, self.slots),
            episode=zeros(batch_size),
        )

    def _project(self, x: Tensor) -> Tensor:
        """What the input gives to the gates, and the context."""
        gates = F.linear(x, self.weight_ih, self.bias)
        return torch.cat([gates, x[..., -self.context :]], dim=-1)

    def _update(self, x: Tensor, state: EpisodicLSTMState) -> tuple[Tensor, EpisodicLSTMState]:
        of_x, context = torch.split(x, [5 * self.out_dim, self.context], dim=-1)
        state = self._begin(context, state)
        m = torch.bmm(self._weights(state).unsqueeze(1), state.values).squeeze(1)
        gates = of_x + F.linear(state.h, self.weight_hh)
        squashed, g = torch.split(gates, [4 * self.out_dim, self.out_dim], dim=-1)
        i, f, o, r = squashed.sigmoid().chunk(4, dim=-1)
        c = i * g.tanh() + f * state.c + r * m.tanh()
        h = o * c.tanh()
        return h, state._replace(h=h, c=c)

    def _begin(self, context: Tensor, state: EpisodicLSTMState) -> EpisodicLSTMState:
        """Where the context is another one: end the episode, and begin the next."""
        other = ~self._same(context, state.context) | (state.episode == 0)  # [B]
        new = other.unsqueeze(1)
        keys, values, written = self._store(new & (state.episode > 0).unsqueeze(1), state)
        forgets = new & self.restart
        return EpisodicLSTMState(
            h=torch.where(forgets, 0, state.h),
            c=torch.where(forgets, 0, state.c),
            context=torch.where(new, context, state.context),
            keys=keys,
            values=values,
            written=written,
            episode=state.episode + other,
        )

    def _store(
        self, rows: Bool[Tensor, "B 1"], state: EpisodicLSTMState
    ) -> tuple[Float[Tensor, "B N K"], Float[Tensor, "B N H"], Float[Tensor, "B N"]]:
        """Keys, values and times, with the cell stored under its context in these rows."""
        known = (state.written > 0) & self._same(state.context.unsqueeze(1), state.keys)
        slot = torch.where(known, -1, state.written).argmin(
            dim=1, keepdim=True
        )  # of ties the first
        here = rows & (torch.arange(self.slots, device=slot.device) == slot)  # [B, N]
        return (
            torch.where(here.unsqueeze(2), state.context.unsqueeze(1), state.keys),
            torch.where(here.unsqueeze(2), state.c.unsqueeze(1), state.values),
            torch.where(here, state.episode.unsqueeze(1), state.written),
        )

    def _same(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).detach().square().sum(dim=-1) <= self.delta

    def _weights(self, state: EpisodicLSTMState) -> Float[Tensor, "B N"]:
        """w: how much of every slot the present context reads."""
        context, keys = state.context.unsqueeze(1), state.keys.unsqueeze(1)
        found = (state.written > 0).unsqueeze(1)
        return kernel_weights(context, keys, found, self.delta).squeeze(1)

    def diagnostics(self, state: EpisodicLSTMState) -> dict[str, Tensor]:
        weights = self._weights(state).detach()
        return {
            "hidden": state.h,
            "cell": state.c,
            "read_weights": weights,
            "read_entropy": entropy(weights),
            "stored": (state.written > 0).sum(dim=-1).to(weights.dtype),
        }
