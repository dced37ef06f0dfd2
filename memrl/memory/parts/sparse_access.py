"""One step of a sparse memory: write a few words, read the nearest, note what was accessed."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from memrl.memory.ops.edits import Edits
from memrl.memory.ops.recency import accessed_slots, least_recent, touch
from memrl.memory.parts.sparse_state import Interface, SparseState, Written
from memrl.memory.stores.index import Indexes
from memrl.memory.stores.search import EPSILON, nearest

ACCESS = 0.005  # δ: a slot with more weight than this was accessed (the paper's)
BLOCK = 2**15  # scores of a row that an exact search computes at a time; they fit in a cache


def write_words(ask: Interface, state: SparseState, words: Edits) -> Written:
    """M_t = (1 − R_t) ∘ M_{t−1} + w^W aᵀ with w^W = α (γ w̃^R_{t−1} + (1 − γ) I^U)."""
    slot = allocated(state)
    again = ask.write_gates * ask.interpolation_gates * state.weights  # [B, R, K]
    anew = (ask.write_gates * (1 - ask.interpolation_gates)).squeeze(-1)  # [B, R]
    add = torch.cat(
        [
            (again.unsqueeze(-1) * ask.add.unsqueeze(2)).flatten(1, 2),
            torch.bmm(anew.unsqueeze(1), ask.add),
        ],
        dim=1,
    )
    keep = torch.ones_like(anew[:, 0])
    for head in anew.unbind(dim=1):  # prod()'s backward pass looks for zeros on the host
        keep = keep * (1 - head)
    slots = torch.cat([state.slots.flatten(1), slot.unsqueeze(1)], dim=1)
    fresh = slot >= state.written
    words.write(slots, add, keep, fresh)
    weights = torch.cat([again.flatten(1), anew.sum(dim=1, keepdim=True)], dim=1)
    return Written(slots, weights, fresh)


def allocated(state: SparseState) -> Int[Tensor, " B"]:
    """The slot that I^U is 1 at: the next empty one, or the least recently accessed."""
    oldest = least_recent(state.last_access, state.oldest)
    return torch.where(state.used < state.last_access.shape[1], state.used, oldest)


def look(
    ask: Interface, state: SparseState, words: Edits, indexes: Indexes | None, neighbours: int
) -> tuple[Int[Tensor, "B R K"], Float[Tensor, "B R K"], Float[Tensor, "B R K W"]]:
    """The K words nearest to each key: slots, softmax of β cos over them, and the words.

    The weights equal a softmax over all words that is cut to its K largest and renormalised. A
    word that was not found has weight 0.
    """
    if indexes is not None:
        near = indexes.nearest(ask.keys, neighbours)
    else:
        near = nearest(ask.keys, words.words, neighbours, count=state.written, block=BLOCK)
    rows = found_words(near.slot, near.found, words)
    norms = ask.keys.norm(dim=-1, keepdim=True) * rows.norm(dim=-1)
    likeness = (rows @ ask.keys.unsqueeze(-1)).squeeze(-1) / (norms + EPSILON)
    lowest = torch.finfo(likeness.dtype).min
    scores = torch.where(near.found, ask.strengths * likeness, lowest)
    weights = torch.where(near.found, scores.softmax(dim=-1), torch.zeros_like(scores))
    return near.slot, weights, rows


def found_words(
    slots: Int[Tensor, "B R A"], found: Bool[Tensor, "B R A"], words: Edits
) -> Float[Tensor, "B R A W"]:
    """The words in ``slots``, zero where none was found; an unused slot may hold NaN."""
    rows = words.read(slots.flatten(1)).view(*slots.shape, words.words.shape[-1])
    return torch.where(found.unsqueeze(-1), rows, torch.zeros_like(rows))


def note_accesses(written: Written, state: SparseState) -> SparseState:
    """Update which slots were accessed, and when: U_t = t − max{t' : w^W_{t'} + w^R_{t'} > δ}."""
    slots = torch.cat([written.slots, state.slots.flatten(1)], dim=1)
    weights = torch.cat([written.weights, state.weights.flatten(1)], dim=1).detach()
    accessed = accessed_slots(slots, weights, ACCESS)
    touch(state.last_access, state.oldest, slots, accessed, state.clock)
    took = (accessed & (slots == state.used.unsqueeze(1))).any(dim=1)
    return state._replace(clock=state.clock + 1, used=state.used + took)
