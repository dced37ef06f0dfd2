"""What a memory of N slots does with a new word: one function for each rule (Memory Networks, G).

A rule says how much of every slot the word replaces, g in [0, 1]; ``put`` then writes, and keeps
the books that the rules decide by. A slot is protected from being overwritten as far as it is
important. The books have no gradient; equal slots are taken in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


class Slots(NamedTuple):
    """Memories, and what is known of each; all zero at the start of an episode."""

    memory: Tensor  # [B, N, W]
    age: Tensor  # [B, N]  env steps since the memory was written
    usage: Tensor  # [B, N]  how much it was read and written of late
    importance: Tensor  # [B, N]  in [0, 1]; 0 where it is not learned
    filled: Tensor  # [B, N]  1 where something was written, else 0


class New(NamedTuple):
    """What is to be written, and what a rule may go by."""

    word: Tensor  # [B, W]
    importance: Tensor  # [B, 1]
    asked: Tensor  # [B, A]  what the rule asks of the input: A = ASKED[rule](N, W)
    likeness: float  # cosine from which two memories are one


Rule: TypeAlias = Callable[[Slots, New], Tensor]


def empty_slots(like: Tensor, batch_size: int, slots: int, word_dim: int) -> Slots:
    """Nothing remembered yet; ``like`` lends type and device."""
    books = [like.new_zeros(batch_size, slots) for _ in range(4)]
    return Slots(like.new_zeros(batch_size, slots, word_dim), *books)


def append(slots: Slots, new: New) -> Float[Tensor, "B N"]:
    """The next free slot; when all are filled nothing more is written."""
    free = 1 - slots.filled
    return _first(free) * free


def oldest(slots: Slots, new: New) -> Float[Tensor, "B N"]:
    """The next free slot, else the oldest memory: a ring. Important memories age slowly."""
    return _first(_free_first(slots, (slots.age + 1) * (1 - slots.importance)))


def least_used(slots: Slots, new: New) -> Float[Tensor, "B N"]:
    """The next free slot, else the memory that was read and written least of late."""
    return _first(_free_first(slots, (1 - slots.importance) / (1 + slots.usage)))


def merge(slots: Slots, new: New) -> Float[Tensor, "B N"]:
    """Half of the memory most like the word, if it is like enough; else as ``oldest``."""
    cosine = F.cosine_similarity(slots.memory, new.word.unsqueeze(1), dim=-1).detach()
    cosine = torch.where(slots.filled > 0, cosine, -2.0)
    alike = cosine.amax(dim=-1, keepdim=True) >= new.likeness  # [B, 1]
    return torch.where(alike, 0.5 * _first(cosine), oldest(slots, new))


def gated(slots: Slots, new: New) -> Float[Tensor, "B N"]:
    """A share of every slot: a learned gate times attention by content and by slot.

    ``asked`` is a query [W], a preference for each slot [N] and the gate [1]. Without the
    preferences slots that are alike at the start would stay alike for ever.
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
ASKED: dict[str, Callable[[int, int], int]] = {"gated": lambda n, w: w + n + 1}  # others: nothing


def put(
    slots: Slots,
    new: New,
    weights: Float[Tensor, "B N"],
    looks: Float[Tensor, "B N"],
    usage_decay: float,
) -> Slots:
    """Write ``new`` by ``weights`` g: m ← m + g (word − m), the books accordingly.

    ``looks`` is how much was read of each slot in this step. Of a usage, ``usage_decay`` is left
    after a step. A slot with g = 1 holds the word itself, whatever it held.
    """
    g = weights.detach()
    used = usage_decay * slots.usage + looks.detach()
    return Slots(
        memory=torch.lerp(slots.memory, new.word.unsqueeze(1), weights.unsqueeze(-1)),
        age=(1 - g) * (slots.age + 1),
        usage=torch.lerp(used, torch.ones_like(g), g),
        importance=torch.lerp(slots.importance, new.importance, weights),
        filled=torch.where(g > 0, 1, slots.filled),
    )


def _first(urge: Tensor) -> Tensor:
    """1 at the first of the largest entries of a row, else 0."""
    slot = torch.arange(urge.shape[-1], device=urge.device)
    return (slot == urge.argmax(dim=-1, keepdim=True)).to(urge.dtype)


def _free_first(slots: Slots, urge: Tensor) -> Tensor:
    return torch.where(slots.filled > 0, urge.detach(), torch.inf)
