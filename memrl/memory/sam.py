"""SAM: a large external memory of which a step accesses a few words."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from memrl.memory.ops.edits import Edits
from memrl.memory.parts.sparse import SparseMemory
from memrl.memory.parts.sparse_access import look
from memrl.memory.parts.sparse_state import Interface, SparseState, Written
from memrl.memory.registry import register
from memrl.memory.stores.index import Indexes


@final
@register("sam")
class SAM(SparseMemory):
    """Sparse access memory with an LSTM controller.

    w^W_t = α (γ w̃^R_{t−1} + (1 − γ) I^U) for each head, where I^U is 1 in the least recently
    accessed slot;  M_t = (1 − R_t) ∘ M_{t−1} + Σ w^W_t a_tᵀ;  w̃^R_t = softmax of β cos(q_t, M_t(s))
    over the K nearest words s, and r_t = Σ w̃^R_t M_t(s). ``y_t = W_y [h_t, r_t]``, and the
    controller sees r_{t−1}. A slot counts as accessed where w^W + w^R > 0.005.

    This differs from the paper in R_t, which erases the least recently accessed word: it keeps
    Π (1 − α (1 − γ)) of it, the product over the heads. In the paper every step erases that word
    completely, even a step that writes nothing there, and the memory loses its oldest word at every
    step. The paper has no strength; here β = 1 + softplus sharpens the attention.

    A slot is empty until it is written, and empty slots are never read. So a start needs no
    initialisation, and empty slots cause no ties. The choice of the nearest words has no gradient;
    their weights have one.

    The options are those of ``SparseMemory``.
    """

    paper = "Rae et al. 2016, Scaling Memory-Augmented Neural Networks with Sparse Reads and Writes"
    rows = "sam"

    def _read(
        self,
        ask: Interface,
        written: Written,
        state: SparseState,
        words: Edits,
        indexes: Indexes | None,
    ) -> tuple[SparseState, Tensor]:
        slots, weights, rows = look(ask, state, words, indexes, self.neighbours)
        reads = torch.matmul(weights.unsqueeze(-2), rows).squeeze(-2)
        return state._replace(slots=slots, weights=weights), reads
