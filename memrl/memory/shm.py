"""SHM: a matrix memory whose cells are scaled by factors around one (calibrated)."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn

from memrl.memory.core import MemoryCore
from memrl.memory.registry import register

CLIP = 100.0  # bound on a cell (the authors' code for POPGym)
SUM_EPS = 1e-5  # added to the sums that normalise keys and queries (the authors' code)


class SHMState(NamedTuple):
    """State of the SHM core."""

    memory: Tensor  # [B, M, M]  values by keys
    phase: Tensor  # [B]  index of the next θ; integers below `thetas`


@final
@register("shm")
class SHM(MemoryCore[SHMState]):
    """Stable Hadamard memory.

    M' = M ∘ C + η v kᵀ, read M' q, with C = 1 + tanh(θ_t ⊗ v_c) in (0, 2) and η = σ(w·x); k and q
    are rectified and divided by their sums, and all are linear in the normed input. Cells are
    clipped to ±100. The authors draw θ_t from a table at random; then learning would compute other
    states than acting. Here its rows, initialised at random, follow in order from the start of the
    episode.

    Args:
        in_dim: width of the input features.
        memory_dim: M, width of a key and of a value.
        hidden_dim: width of the output.
        thetas: rows of the table of θ.
    """

    paper = "Le et al. 2025, Stable Hadamard Memory"

    def __init__(
        self,
        in_dim: int,
        *,
        memory_dim: Annotated[int, Ge(1)] = 32,
        hidden_dim: Annotated[int, Ge(1)] = 128,
        thetas: Annotated[int, Ge(1)] = 128,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        self.memory_dim, self.thetas = memory_dim, thetas
        self.norm = nn.LayerNorm(in_dim)
        self.mixed = nn.Linear(in_dim, 4 * memory_dim + 1, bias=False)  # k, q, v, v_c, η
        self.theta = nn.Parameter(nn.init.xavier_uniform_(torch.empty(thetas, memory_dim)))
        self.output = nn.Linear(memory_dim, hidden_dim)

    def initial_state(self, batch_size: int) -> SHMState:
        zeros, M = self.theta.new_zeros, self.memory_dim
        return SHMState(zeros(batch_size, M, M), zeros(batch_size))

    def _project(self, x: Tensor) -> Tensor:
        M = self.memory_dim
        k, q, rest, eta = self.mixed(self.norm(x)).split_with_sizes([M, M, 2 * M, 1], -1)
        shares = [p.relu() / (SUM_EPS + p.relu().sum(-1, keepdim=True)) for p in (k, q)]
        return torch.cat([*shares, rest, eta.sigmoid()], dim=-1)

    def _emit(self, seen: Tensor) -> Tensor:
        return self.output(seen)  # type: ignore[no-any-return]

    def _update(self, x: Tensor, state: SHMState) -> tuple[Tensor, SHMState]:
        M = self.memory_dim
        k, q, v, calibrate, eta = x.split_with_sizes([M, M, M, M, 1], -1)
        theta = self.theta[state.phase.long()]  # θ_t
        C = 1 + (theta.unsqueeze(2) * calibrate.unsqueeze(1)).tanh()
        update = (eta * v).unsqueeze(2) * k.unsqueeze(1)
        memory = torch.addcmul(update, state.memory, C).clamp(-CLIP, CLIP)
        read = (memory @ q.unsqueeze(2)).squeeze(2)
        return read, SHMState(memory, (state.phase + 1) % self.thetas)

    def diagnostics(self, state: SHMState) -> dict[str, Tensor]:
        return {"memory": state.memory}
