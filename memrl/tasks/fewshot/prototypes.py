"""Prototypical network: a memory of the mean of each class, read by distance."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge
from torch import Tensor, nn

from memrl.memory.core import MemoryCore


class PrototypesState(NamedTuple):
    """State of the prototypes core; all zero at the start of an episode."""

    sums: Tensor  # [B, C, W]  of the embeddings of each class
    counts: Tensor  # [B, C]  embeddings of each class


@final
class Prototypes(MemoryCore[PrototypesState]):
    """Prototypical network: the nearest class mean, in a learned space.

    The last C features are the label of the others: one-hot in the support set, zero in a query,
    and negative ones count as zero. A step reads, then writes: with e = f(x), f two layers,
    y_k = −‖e − c_k‖² (eq. 2, whose softmax is the answer) and c_k = Σ e / n_k over what was
    labelled k (eq. 1). A class that was not shown yet has no mean: its distance is one learned
    number, that of everything new.

    The paper forms the means over a support set at once; here they grow step by step, which gives
    the same means and answers between them.

    Args:
        in_dim: width of the input features, more than ``classes``.
        classes: C, also the width of the output.
        word_dim: W, width of an embedding.
        hidden_dim: width of the layer before it.

    Raises:
        ValueError: ``in_dim`` leaves no feature beside the label.
    """

    paper = "Snell, Swersky & Zemel 2017, Prototypical Networks for Few-shot Learning"

    def __init__(
        self,
        in_dim: int,
        *,
        classes: Annotated[int, Ge(1)] = 5,
        word_dim: Annotated[int, Ge(1)] = 64,
        hidden_dim: Annotated[int, Ge(1)] = 128,
    ) -> None:
        if in_dim <= classes:
            raise ValueError(f"in_dim is {in_dim}; allowed: above classes, {classes}")
        super().__init__(in_dim, classes)
        self.classes, self.word_dim = classes, word_dim
        self.inner = nn.Linear(in_dim - classes, hidden_dim)
        self.outer = nn.Linear(hidden_dim, word_dim)
        self.distance_of_new = nn.Parameter(torch.ones(()))

    def initial_state(self, batch_size: int) -> PrototypesState:
        zeros = self.outer.weight.new_zeros
        return PrototypesState(
            zeros(batch_size, self.classes, self.word_dim), zeros(batch_size, self.classes)
        )

    def _project(self, x: Tensor) -> Tensor:
        seen, label = x.split_with_sizes([self.in_dim - self.classes, self.classes], -1)
        return torch.cat([self.outer(self.inner(seen).relu()), label.relu()], dim=-1)

    def _update(self, x: Tensor, state: PrototypesState) -> tuple[Tensor, PrototypesState]:
        e, label = x.split_with_sizes([self.word_dim, self.classes], -1)
        known = state.counts > 0
        c = state.sums / torch.where(known, state.counts, 1.0).unsqueeze(-1)
        distance = (e.unsqueeze(1) - c).square().sum(-1)  # [B, C]
        after = PrototypesState(
            sums=state.sums + label.unsqueeze(-1) * e.unsqueeze(1), counts=state.counts + label
        )
        return -torch.where(known, distance, self.distance_of_new), after

    def diagnostics(self, state: PrototypesState) -> dict[str, Tensor]:
        return {"counts": state.counts.detach()}
