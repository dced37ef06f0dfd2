"""SAM: an external memory as large as one likes, of which a step touches a few words."""

from __future__ import annotations

from typing import Annotated, Literal, final

import torch
from annotated_types import Ge
from torch import Tensor

from memrl.memory.ops.edits import Edits
from memrl.memory.parts.sparse import SparseMemory
from memrl.memory.parts.sparse_access import look
from memrl.memory.parts.sparse_state import Ask, SparseState, Written
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

    One deviation: R_t, which erases the least recently accessed word, is Π (1 − α (1 − γ)) over the
    heads away from 1. The paper's erases it in every step, though nothing be written there, and so
    a memory forgets its oldest word at every step. As in the NTM, a strength β = 1 + softplus
    sharpens the look.

    A slot is empty until it is written, and what is empty is not read: nothing is set up at a
    start, and no two words are equally near because both are empty. Which words are near has no
    gradient; how near they are has one.

    Args:
        in_dim: width of the input features.
        slots: N, words of the memory.
        word_dim: W, width of a word.
        read_heads: R; each writes too.
        neighbours: K, words that a head reads; at most N.
        search: "exact" looks at every word; "index" at those that an index of faiss finds, so that
            a near word may be missed, and a sequence may differ from its steps by that; "auto" asks
            the index in memories of more than 65,536 slots.
        hidden_dim: width of the controller and of the output.

    Raises:
        ValueError: more neighbours than slots, or faiss is asked for and not installed.
    """

    paper = "Rae et al. 2016, Scaling Memory-Augmented Neural Networks with Sparse Reads and Writes"

    def __init__(
        self,
        in_dim: int,
        *,
        slots: Annotated[int, Ge(1)] = 256,
        word_dim: Annotated[int, Ge(1)] = 16,
        read_heads: Annotated[int, Ge(1)] = 1,
        neighbours: Annotated[int, Ge(1)] = 4,
        search: Literal["exact", "index", "auto"] = "auto",
        hidden_dim: Annotated[int, Ge(1)] = 128,
    ) -> None:
        super().__init__(
            in_dim,
            slots=slots,
            word_dim=word_dim,
            read_heads=read_heads,
            neighbours=neighbours,
            search=search,
            hidden_dim=hidden_dim,
        )

    def _read(
        self,
        ask: Ask,
        written: Written,
        state: SparseState,
        words: Edits,
        indexes: Indexes | None,
    ) -> tuple[SparseState, Tensor]:
        slots, weights, rows = look(ask, state, words, indexes, self.neighbours)
        reads = torch.matmul(weights.unsqueeze(-2), rows).squeeze(-2)
        return state._replace(slots=slots, weights=weights), reads
