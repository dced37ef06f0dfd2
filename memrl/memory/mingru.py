"""minGRU: a GRU whose gates do not depend on the state, so that a sequence is a linear scan."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn

from memrl.memory.core import MemoryCore, Unrolled
from memrl.memory.ops.scan import linear_scan
from memrl.memory.registry import register


class MinGRUState(NamedTuple):
    """State of the minGRU core."""

    h: Tensor  # [B, H]  positive


@final
@register("mingru")
class MinGRU(MemoryCore[MinGRUState]):
    """Minimal gated recurrent unit, in the paper's form with positive states (appendix B).

    z = σ(W_z x + b_z);  h̃ = g(W_h x + b_h);  h' = (1 - z) ∘ h + z ∘ h̃, where g(u) = u + ½ for
    u ≥ 0 and σ(u) below. The output is h'. The paper needs g for a scan in log space; the scan here
    needs no logarithms. Episodes begin with h = 0.
    """

    paper = "Feng et al. 2024, Were RNNs All We Needed?"

    def __init__(self, in_dim: int, *, hidden_dim: Annotated[int, Ge(1)] = 128) -> None:
        super().__init__(in_dim, hidden_dim)
        self.input = nn.Linear(in_dim, 2 * hidden_dim)  # z, then h̃

    def initial_state(self, batch_size: int) -> MinGRUState:
        return MinGRUState(self.input.weight.new_zeros(batch_size, self.out_dim))

    def _project(self, x: Tensor) -> Tensor:
        gate, candidate = self.input(x).chunk(2, dim=-1)
        h = candidate.relu() + candidate.clamp(max=0).sigmoid()  # h̃ = g(·)
        return torch.cat([(-gate).sigmoid(), gate.sigmoid() * h], dim=-1)  # 1 - z, z ∘ h̃

    def _update(self, x: Tensor, state: MinGRUState) -> tuple[Tensor, MinGRUState]:
        keep, add = x.chunk(2, dim=-1)
        h = torch.addcmul(add, keep, state.h)
        return h, MinGRUState(h)

    def forward(self, x: Tensor, state: MinGRUState, start: Tensor) -> Unrolled:
        keep, add = self._project(x).chunk(2, dim=-1)
        y = linear_scan(keep, add, state.h, start)
        return Unrolled(y, MinGRUState(y[-1]))

    def diagnostics(self, state: MinGRUState) -> dict[str, Tensor]:
        return {"hidden": state.h}
