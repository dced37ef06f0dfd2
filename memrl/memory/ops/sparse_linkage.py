"""Sparse temporal links: the order of writes, with a few partners for each slot (SDNC).

Nothing here has a gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from memrl.memory.ops.largest import first_largest


class Entries(NamedTuple):
    """Sparse rows: slots and their weights; an entry of weight 0 does not exist."""

    slots: Tensor  # int [*B, L]
    weights: Tensor  # [*B, L]


class Links(NamedTuple):
    """For every slot, the few slots that were written right before and right after it."""

    before: Entries  # [B, N, L]  N_t(i, ·): degrees to which i was written right after others
    after: Entries  # [B, N, L]  P_t(j, ·): degrees to which others were written right after j


def combined(
    slots: Int[Tensor, "*B A"], weights: Float[Tensor, "*B A"]
) -> tuple[Bool[Tensor, "*B A A"], Float[Tensor, "*B A"]]:
    """Which entries name the same slot, and for each what goes to its slot in all."""
    same = slots.unsqueeze(-1) == slots.unsqueeze(-2)
    return same, torch.where(same, weights.unsqueeze(-2), 0.0).sum(dim=-1)


def largest(slots: Int[Tensor, "*B A"], weights: Float[Tensor, "*B A"], count: int) -> Entries:
    """The ``count`` slots with the largest weights; weights of a repeated slot are added."""
    same, total = combined(slots, weights)
    again = same.tril(diagonal=-1).any(dim=-1)  # named before
    kept, place = first_largest(total.masked_fill(again, 0), count)
    return Entries(slots.gather(-1, place) * (kept > 0), kept)


def update_links(
    links: Links,
    precedence: Entries,
    slots: Int[Tensor, "B A"],
    weights: Float[Tensor, "B A"],
    fresh: Bool[Tensor, " B"],
) -> Entries:
    """Edit ``links`` after a write, in place; returns the precedence after it.

    N(i, ·) = (1 − w(i)) N(i, ·) + w(i) p and P(j, ·) = (1 − p(j)) P(j, ·) + p(j) w with the
    precedence p before the write, a slot never its own partner; then p = (1 − Σ w) p + w. Each row
    keeps its L largest entries.

    Args:
        links: of all slots.
        precedence: p, [B, L].
        slots: the written slots; one may be named twice.
        weights: w, the write weights; they sum to at most 1.
        fresh: the last of ``slots`` was empty before, and has no partners.
    """
    count = precedence.slots.shape[-1]
    for part in (*links.before, *links.after):
        last = slots[:, -1:].unsqueeze(-1).expand(-1, -1, count)
        row = part.gather(1, last)
        part.scatter_(1, last, torch.where(fresh.view(-1, 1, 1), torch.zeros_like(row), row))
    _append(links.before, Entries(slots, weights), precedence)
    _append(links.after, precedence, Entries(slots, weights))
    rest = (1 - weights.sum(dim=-1, keepdim=True)).clamp(min=0)
    return largest(
        torch.cat([precedence.slots, slots], dim=-1),
        torch.cat([rest * precedence.weights, weights], dim=-1),
        count,
    )


def follow(links: Entries, slots: Int[Tensor, "B R K"], weights: Float[Tensor, "B R K"]) -> Entries:
    """Partners of the slots that each head reads, weighted by the read: [B, R, K L]."""
    partners = _rows(links, slots.flatten(1))
    shape = (*slots.shape, -1)
    strength = weights.unsqueeze(-1) * partners.weights.view(shape)
    return Entries(partners.slots.view(shape).flatten(2), strength.flatten(2))


def _rows(links: Entries, slots: Tensor) -> Entries:
    """The entries of some slots [B, A]: [B, A, L]."""
    rows = slots.unsqueeze(-1).expand(-1, -1, links.slots.shape[-1])
    return Entries(links.slots.gather(1, rows), links.weights.gather(1, rows))


def _append(links: Entries, into: Entries, partners: Entries) -> None:
    """Rows of some slots become (1 − w) times themselves plus w times the partners, in place."""
    slots = into.slots  # [B, A]
    share = combined(*into)[1].unsqueeze(-1)  # equal for all entries of one slot
    old = _rows(links, slots)
    added = Entries(*(part.unsqueeze(1).expand(-1, slots.shape[1], -1) for part in partners))
    other = added.slots != slots.unsqueeze(-1)
    new = largest(
        torch.cat([old.slots, added.slots], dim=-1),
        torch.cat([(1 - share) * old.weights, share * added.weights * other], dim=-1),
        old.slots.shape[-1],
    )
    rows = slots.unsqueeze(-1).expand(-1, -1, old.slots.shape[-1])
    for kept, now in zip(links, new, strict=True):
        kept.scatter_(1, rows, now)
