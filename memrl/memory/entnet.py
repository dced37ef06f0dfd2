"""EntNet: slots with learned keys; an input updates the slots that it concerns."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from memrl.memory.core import MemoryCore, Unrolled, need_no_grad
from memrl.memory.kernels.choice import kernel, runs_kernels
from memrl.memory.ops.keyed import keyed_gates, unit_rows
from memrl.memory.registry import register

STD = 0.1  # of the first keys and weights (the author's code)


class EntNetState(NamedTuple):
    """State of the EntNet core."""

    slots: Tensor  # [B, N, W]  h_j; rows have length 1 after the first step


@final
@register("entnet")
class EntNet(MemoryCore[EntNetState]):
    """Recurrent entity network with learned keys w_j, one for each slot h_j.

    g_j = σ(sᵀ h_j + sᵀ w_j + b_j) (eq. 2); h̃_j = φ(U h_j + V w_j + W s + b) (eq. 3);
    h_j ← h_j + g_j h̃_j (eq. 4), normalised to length 1 (eq. 5). Then p = softmax(qᵀ h_j),
    u = Σ p_j h_j and y = R φ(q + H u). In the paper s encodes a sentence and q a question. Here
    both are projections of the input: s is stored, and q is the query.

    Details from the author's code: the biases b_j and b; φ is a PReLU with one slope for each
    feature, 1 at first, shared by both uses; the slots start as their keys; keys, U, V, W and H are
    drawn from N(0, 0.1²). The projections s, q and R use Xavier initialisation.

    Args:
        in_dim: width of the input features.
        slots: N, keys and slots.
        word_dim: W, width of a key and of a slot.
        hidden_dim: width of the output.
    """

    paper = "Henaff et al. 2017, Tracking the World State with Recurrent Entity Networks"

    def __init__(
        self,
        in_dim: int,
        *,
        slots: Annotated[int, Ge(1)] = 16,
        word_dim: Annotated[int, Ge(1)] = 32,
        hidden_dim: Annotated[int, Ge(1)] = 128,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        self.slots, self.word_dim = slots, word_dim
        self.input = nn.Linear(in_dim, 2 * word_dim)  # s, q
        self.output = nn.Linear(word_dim, hidden_dim)  # R
        for layer in (self.input, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.keys = nn.Parameter(STD * torch.randn(slots, word_dim))  # w_j
        self.gate_bias = nn.Parameter(torch.zeros(slots))  # b_j
        self.of_slot = nn.Parameter(STD * torch.randn(word_dim, word_dim))  # U
        self.of_key = nn.Parameter(STD * torch.randn(word_dim, word_dim))  # V
        self.of_input = nn.Parameter(STD * torch.randn(word_dim, word_dim))  # W
        self.of_read = nn.Parameter(STD * torch.randn(word_dim, word_dim))  # H
        self.bias = nn.Parameter(torch.zeros(word_dim))  # b
        self.slope = nn.Parameter(torch.ones(word_dim))  # of φ below zero

    def initial_state(self, batch_size: int) -> EntNetState:
        # A copy, not a view: acting may edit a state in place, and must not edit a parameter.
        return EntNetState(self.keys.repeat(batch_size, 1, 1))

    def _project(self, x: Tensor) -> Tensor:
        """s, q, sᵀ w_j + b_j and V w_j + W s + b, which do not depend on the slots."""
        s, q = self.input(x).chunk(2, dim=-1)
        keyed = F.linear(s, self.keys, self.gate_bias)  # [*, N]
        of_keys = F.linear(self.keys, self.of_key, self.bias)  # [N, W]
        offset = of_keys + F.linear(s, self.of_input).unsqueeze(-2)  # [*, N, W]
        return torch.cat([s, q, keyed, offset.flatten(-2)], dim=-1)

    @property
    def loops(self) -> bool:
        return True

    def forward(self, x: Tensor, state: EntNetState, start: Tensor) -> Unrolled:
        sequence = None if self.compiled else kernel("entnet_rows", "sequence", x)
        if sequence is None:
            return super().forward(x, state, start)
        s, q = self.input(x).chunk(2, dim=-1)
        given = s, q, F.linear(s, self.keys, self.gate_bias), F.linear(s, self.of_input)
        of_keys = F.linear(self.keys, self.of_key, self.bias)
        weights = self.of_slot, of_keys, self.slope, self.keys
        read, slots = sequence(start, state.slots, given, weights)
        return Unrolled(self._emit(torch.cat([q, read], dim=-1)), EntNetState(slots))

    def step(
        self, x: Tensor, state: EntNetState, start: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, EntNetState]:
        if self.compiled or not runs_kernels(x):
            return super().step(x, state, start, donate=donate)
        need_no_grad(donate)
        y, after, _ = self.forward(x.unsqueeze(0), state, start.unsqueeze(0))
        return y[0], after

    def _emit(self, seen: Tensor) -> Tensor:
        """From [q, u] to y."""
        q, read = seen.chunk(2, dim=-1)
        y: Tensor = self.output(self._phi(q + F.linear(read, self.of_read)))
        return y

    def _update(self, x: Tensor, state: EntNetState) -> tuple[Tensor, EntNetState]:
        """From the projected input to [q, u]."""
        n, w = self.slots, self.word_dim
        s, q, keyed, offset = torch.split(x, [w, w, n, n * w], dim=-1)
        gates = keyed_gates(s, state.slots, keyed)  # g_j
        candidates = self._phi(F.linear(state.slots, self.of_slot) + offset.reshape(-1, n, w))
        slots = unit_rows(torch.addcmul(state.slots, gates, candidates))  # h_j
        looks = torch.bmm(slots, q.unsqueeze(-1)).softmax(dim=1)  # p_j [B, N, 1]
        read = torch.bmm(looks.mT, slots).squeeze(1)  # u
        return torch.cat([q, read], dim=-1), EntNetState(slots)

    def _phi(self, x: Tensor) -> Tensor:
        return F.prelu(x.flatten(0, -2), self.slope).view_as(x)

    def diagnostics(self, state: EntNetState) -> dict[str, Tensor]:
        keys = F.normalize(self.keys.detach(), dim=-1)
        like_key = (keys * F.normalize(state.slots, dim=-1)).sum(dim=-1)
        return {"slots": state.slots, "likeness_to_key": like_key}
