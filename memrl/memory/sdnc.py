"""SDNC: a sparse memory with temporal links, the order in which slots were written."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, final

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from memrl.memory.ops.edits import Edits
from memrl.memory.ops.sparse_linkage import Entries, Links, follow, largest, update_links
from memrl.memory.parts.slots import GROW_ABOVE
from memrl.memory.parts.sparse import SparseMemory
from memrl.memory.parts.sparse_access import found_words, look
from memrl.memory.parts.sparse_state import Interface, SparseState, Written
from memrl.memory.registry import register
from memrl.memory.stores.index import Indexes


@final
@register("sdnc")
class SDNC(SparseMemory):
    """Sparse differentiable neural computer: SAM with sparse temporal links.

    N_t(i, ·) = (1 − w(i)) N_{t−1}(i, ·) + w(i) p_{t−1}: what was written right before slot i;
    P_t(j, ·) = (1 − p_{t−1}(j)) P_{t−1}(j, ·) + p_{t−1}(j) w: what was written right after slot j;
    w = w^W_t, and p_t = (1 − Σ w) p_{t−1} + w is the precedence. A row keeps its largest entries.
    A head follows the links of the slots that it read last, b = N_tᵀ w̃^R_{t−1} backward and
    f = P_tᵀ w̃^R_{t−1} forward. w̃^R_t = the K largest of π_1 b + π_2 c + π_3 f with c as in SAM, and
    r_t = Σ w̃^R_t M_t(s). The weights are not renormalised: they sum to at most 1.

    No gradient passes through links and precedence. With several heads w is their mean, so that it
    sums to at most 1. Erasing, empty slots and the search are those of SAM.

    The options are those of ``SparseMemory``, and one more.

    Args:
        partners: K_L, links that a slot keeps in each direction.
    """

    paper = "Rae et al. 2016, Scaling Memory-Augmented Neural Networks (appendix D)"
    rows = "sdnc"
    extra: ClassVar[int] = 3  # π: backward, content, forward

    def __init__(
        self,
        in_dim: int,
        *,
        slots: Annotated[int, Ge(1)] = 256,
        word_dim: Annotated[int, Ge(1)] = 16,
        read_heads: Annotated[int, Ge(1)] = 1,
        neighbours: Annotated[int, Ge(1)] = 4,
        partners: Annotated[int, Ge(1)] = 8,
        search: Literal["exact", "ivf", "lsh", "auto"] = "auto",
        hidden_dim: Annotated[int, Ge(1)] = 128,
        grow: Annotated[int, Ge(1)] | None = None,
        grow_above: Annotated[float, Gt(0), Lt(1)] = GROW_ABOVE,
    ) -> None:
        super().__init__(
            in_dim,
            slots=slots,
            word_dim=word_dim,
            read_heads=read_heads,
            neighbours=neighbours,
            search=search,
            hidden_dim=hidden_dim,
            grow=grow,
            grow_above=grow_above,
        )
        self.partners = partners

    def initial_state(self, batch_size: int) -> SparseState:
        shape = (batch_size, self.slots, self.partners)
        links = Links(self._no_entries(*shape), self._no_entries(*shape))
        return super().initial_state(batch_size)._replace(links=links)

    def _first(self, batch_size: int) -> SparseState:
        precedence = self._no_entries(batch_size, self.partners)
        return super()._first(batch_size)._replace(precedence=precedence)

    def _no_entries(self, *shape: int) -> Entries:
        zeros = self.output.weight.new_zeros
        return Entries(zeros(shape, dtype=torch.long), zeros(shape))

    def _read(
        self,
        ask: Interface,
        written: Written,
        state: SparseState,
        words: Edits,
        indexes: Indexes | None,
    ) -> tuple[SparseState, Tensor]:
        assert isinstance(state.links, Links)
        assert isinstance(state.precedence, Entries)
        with torch.no_grad():
            precedence = update_links(
                state.links,
                state.precedence,
                written.slots,
                written.weights / self.read_heads,
                written.fresh,
            )
        modes = ask.rest.softmax(dim=-1)  # π [B, R, 3]
        backward = follow(state.links.before, state.slots, state.weights)
        forward = follow(state.links.after, state.slots, state.weights)
        near, content, _ = look(ask, state, words, indexes, self.neighbours)
        slots = torch.cat([backward.slots, near, forward.slots], dim=-1)
        mixed = [
            modes[..., mode : mode + 1] * part
            for mode, part in enumerate((backward.weights, content, forward.weights))
        ]
        weights = torch.cat(mixed, dim=-1)
        with torch.no_grad():
            chosen = largest(slots, weights, self.neighbours)
        found = chosen.weights > 0
        named = (chosen.slots.unsqueeze(-1) == slots.unsqueeze(-2)) & found.unsqueeze(-1)
        kept = torch.matmul(named.to(weights.dtype), weights.unsqueeze(-1)).squeeze(-1)
        rows = found_words(chosen.slots, found, words)
        reads = torch.matmul(kept.unsqueeze(-2), rows).squeeze(-2)
        after = state._replace(slots=chosen.slots, weights=kept, precedence=precedence)
        return after, reads
