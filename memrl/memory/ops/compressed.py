"""Which compressed slots exist, and which steps see them (Compressive Transformer, step by step).

Once the window of M steps is full, every c-th step compresses the c oldest steps of the window into
a slot. The ages of the steps decide which slots exist at a step, and how old these are.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Slots(NamedTuple):
    """Which slots each query sees: the C slots of the state, then one slot for each of T steps."""

    visible: Tensor  # bool [B, T + 1, C + T]  the last query is the step after the sequence
    place: Tensor  # [B, T + 1, C + T]  1: the newest slot that the query sees … C: the oldest
    due: Tensor  # bool [B, T]  this step compresses a group


def find_slots(
    age: Float[Tensor, "B Q"], first_age: Float[Tensor, " B"], size: int, rate: int, count: int
) -> Slots:
    """The slots of Q = T + 1 queries; the last one comes after the sequence.

    Args:
        age: steps of its episode before each query.
        first_age: age of the state with the C slots, before any start.
        size: M, steps of the window before a query.
        rate: c, steps to a slot.
        count: C, slots that the state keeps.
    """
    length = age.shape[1] - 1
    now = torch.arange(length + 1, device=age.device)
    behind = torch.arange(count - 1, -1, -1, device=age.device) * rate
    phase = (first_age.unsqueeze(1) - 1 - size) % rate + 1  # of the newest slot of the state
    handed = (phase + behind).unsqueeze(1) + now.unsqueeze(1)  # [B, T + 1, C]
    made = (now.unsqueeze(1) - now[:-1]).to(age.dtype).expand(age.shape[0], -1, -1)
    due = (age[:, :-1] >= size) & ((age[:, :-1] - size) % rate == 0)
    past = torch.cat([handed, made], dim=-1)  # [B, T + 1, C + T]  steps beyond the window
    there = torch.ones_like(handed, dtype=torch.bool)
    exists = torch.cat([there, due.unsqueeze(1) & (made > 0)], dim=-1)
    reach = (age - size).clamp(max=rate * count).unsqueeze(-1)
    place = ((past - 1) / rate).floor().long() + 1
    return Slots(exists & (past <= reach), place, due)


def kept_slots(
    groups: Float[Tensor, "B G D"], slots: Slots, count: int
) -> Float[Tensor, "B {count} D"]:
    """The slots that the step after the sequence sees, oldest first; zero where there is none."""
    place = torch.arange(count, 0, -1, device=groups.device).unsqueeze(-1)
    here = slots.visible[:, -1:] & (slots.place[:, -1:] == place)  # [B, C, C + T]
    index = here.to(groups.dtype).argmax(dim=-1, keepdim=True)
    chosen = groups.gather(1, index.expand(-1, -1, groups.shape[-1]))
    return torch.where(here.any(dim=-1, keepdim=True), chosen, 0)
