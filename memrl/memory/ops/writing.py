"""Rules by which a memory of N slots stores a new word (Memory Networks, G).

A rule decides how much of every slot the word replaces, g in [0, 1]. ``put`` then writes, and
updates the statistics of the slots that the rules use. A slot with importance i resists being
overwritten. The statistics have no gradient. Of equal slots the lower one is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


class Slots(NamedTuple):
    """The memory and statistics of its slots; all zero at the start of an episode."""

    memory: Tensor  # [B, N, W]
    age: Tensor  # [B, N]  env steps since the slot was written
    usage: Tensor  # [B, N]  decaying sum of reads and writes
    importance: Tensor  # [B, N]  in [0, 1]; 0 where it is not learned
    filled: Tensor  # [B, N]  1 where something was written, else 0


class New(NamedTuple):
    """A word to write, and the inputs of a rule."""

    word: Tensor  # [B, W]
    importance: Tensor  # [B, 1]
    asked: Tensor  # [B, A]  the rule's projection of the input: A = ASKED[rule](N, W)
    likeness: float  # cosine similarity from which two memories are merged


Rule: TypeAlias = Callable[[Slots, New], Tensor]


def empty_slots(like: Tensor, batch_size: int, slots: int, word_dim: int) -> Slots:
    """An empty memory with the dtype and device of ``like``."""
    statistics = [like.new_zeros(batch_size, slots) for _ in range(4)]
    return Slots(like.new_zeros(batch_size, slots, word_dim), *statistics)


def append(slots: Slots, new: New) -> Float[Tensor, "B N"]:
    """The next free slot; once all are filled, nothing is written."""
    free = 1 - slots.filled.detach()
    return _first(free) * free


def oldest(slots: Slots, new: New) -> Float[Tensor, "B N"]:
    """The next free slot, or else the oldest memory; important memories age slowly."""
    return _first(_free_first(slots, (slots.age + 1) * (1 - slots.importance)))


def least_used(slots: Slots, new: New) -> Float[Tensor, "B N"]:
    """The next free slot, or else the least used memory."""
    return _first(_free_first(slots, (1 - slots.importance) / (1 + slots.usage)))


def merge(slots: Slots, new: New) -> Float[Tensor, "B N"]:
    """Half of the most similar memory, if it is similar enough; or else as ``oldest``."""
    cosine = F.cosine_similarity(slots.memory, new.word.unsqueeze(1), dim=-1).detach()
    cosine = torch.where(slots.filled > 0, cosine, -2.0)
    alike = cosine.amax(dim=-1, keepdim=True) >= new.likeness  # [B, 1]
    return torch.where(alike, 0.5 * _first(cosine), oldest(slots, new))


def gated(slots: Slots, new: New) -> Float[Tensor, "B N"]:
    """A learned gate times attention by content and by slot.

    ``asked`` holds a query [W], a preference for each slot [N] and the gate [1]. Without the
    preferences, slots that start equal would stay equal.
    """
    n, w = slots.memory.shape[1:]
    query, preference, gate = torch.split(new.asked, [w, n, 1], dim=-1)
    content = torch.bmm(slots.memory, query.unsqueeze(-1)).squeeze(-1)
    where = (content * w**-0.5 + preference).softmax(dim=-1)
    g: Tensor = gate.sigmoid() * where * (1 - slots.importance)
    return g


WRITE: dict[str, Rule] = {
    "append": append,
    "oldest": oldest,
    "least_used": least_used,
    "gated": gated,
    "merge": merge,
}
# Widths of the projections that rules need; most need none.
ASKED: dict[str, Callable[[int, int], int]] = {"gated": lambda n, w: w + n + 1}


def put(
    slots: Slots,
    new: New,
    weights: Float[Tensor, "B N"],
    looks: Float[Tensor, "B N"],
    usage_decay: float,
) -> Slots:
    """Write ``new`` with ``weights`` g, m ← m + g (word − m), and update the statistics.

    ``looks`` is the read weight of each slot at this step. Usage decays by ``usage_decay`` at each
    step. A slot with g = 1 holds exactly the word afterwards.
    """
    g = weights.detach()
    age, usage, filled = (leaf.detach() for leaf in (slots.age, slots.usage, slots.filled))
    used = usage_decay * usage + looks.detach()
    return Slots(
        memory=torch.lerp(slots.memory, new.word.unsqueeze(1), weights.unsqueeze(-1)),
        age=(1 - g) * (age + 1),
        usage=torch.lerp(used, torch.ones_like(g), g),
        importance=torch.lerp(slots.importance, new.importance, weights),
        filled=torch.where(g > 0, 1, filled),
    )


def _first(urge: Tensor) -> Tensor:
    """1 at the first largest entry of a row, 0 elsewhere."""
    slot = torch.arange(urge.shape[-1], device=urge.device)
    return (slot == urge.argmax(dim=-1, keepdim=True)).to(urge.dtype)


def _free_first(slots: Slots, urge: Tensor) -> Tensor:
    return torch.where(slots.filled > 0, urge.detach(), torch.inf)
