"""One step of a DNC's memory, and its gradient by hand; ``dnc_sequence`` uses both.

At the sizes of an agent's memory, a step consists of sixty small operations. Recording them for
autograd costs more than their arithmetic.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn import functional as F

from memrl.memory.ops.addressing import COSINE_EPS
from memrl.memory.ops.allocation import EPSILON
from memrl.memory.ops.interface import Sizes, interface_sizes, split_interface

aten = torch.ops.aten


class Access(NamedTuple):
    """The reads and the memory after a step, or the gradients with respect to them."""

    reads: Tensor  # [B, R, W]
    memory: Tensor  # [B, N, W]
    usage: Tensor  # [B, N]
    link: Tensor  # [B, N, N]
    precedence: Tensor  # [B, N]
    write_weights: Tensor  # [B, N]
    read_weights: Tensor  # [B, R, N]


class _Look(NamedTuple):
    """Content-based attention, softmax of β cos(k, M), and its intermediate values."""

    weights: Tensor  # [B, H, N]
    cosine: Tensor  # [B, H, N]
    norms: Tensor  # [B, H, N]  |k| |M(i)| + ε
    rows: Tensor  # [B, N]  |M(i)|


def _look(keys: Tensor, lengths: Tensor, strengths: Tensor, memory: Tensor) -> _Look:
    rows: Tensor = vector_norm(memory, dim=-1)
    norms = (lengths * rows.unsqueeze(1)).add_(rows.new_full((), COSINE_EPS))
    cosine = torch.bmm(keys, memory.mT).div_(norms)
    return _Look((cosine * strengths.unsqueeze(-1)).softmax(dim=-1), cosine, norms, rows)


def _look_backward(
    d: Tensor, look: _Look, keys: Tensor, lengths: Tensor, strengths: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """From the gradient of the weights to those of keys, |k|, β and the memory."""
    d = _softmax_backward(d, look.weights)
    d_strengths = (d * look.cosine).sum(dim=-1)
    d = d.mul_(strengths.unsqueeze(-1)).div_(look.norms)  # in k·M(i)
    d_norms = d * look.cosine  # its negative
    d_lengths = torch.bmm(d_norms, look.rows.unsqueeze(-1)).neg_()
    d_rows = torch.bmm(lengths.mT, d_norms).squeeze(1)
    d_rows = _over(d_rows, look.rows).unsqueeze(-1)
    d_memory = torch.bmm(d.mT, keys).addcmul_(memory, d_rows, value=-1)
    return torch.bmm(d, memory), d_lengths, d_strengths, d_memory


def _over(d: Tensor, norms: Tensor) -> Tensor:
    """The factor of x in the gradient of its norm, d / norm; 0 at x = 0."""
    return (d / norms).masked_fill_(norms.logical_not(), 0)


def _softmax_backward(d: Tensor, y: Tensor) -> Tensor:
    return aten._softmax_backward_data(d, y, -1, y.dtype)  # type: ignore[no-any-return]


def _split_gates(gates: Tensor, sizes: Sizes) -> tuple[Tensor, ...]:
    """Erase vector [B, 1, W], free gates [B, R, 1], allocation and write gate [B, 1]; all views."""
    _, erase, free, g_a, g_w = torch.split(gates, sizes.squashed, dim=-1)
    return erase.unsqueeze(1), free.unsqueeze(2), g_a, g_w


def access(asked: Tensor, before: Access, clip: float) -> tuple[Access, tuple[Tensor, ...]]:
    """Write, then read (DNC, Methods), as ``DNC._access`` does.

    Args:
        asked: the interface vector [B, S] before its activations; see ``split_interface``.
        before: the memory after the previous step.
        clip: bound of the interface vector.

    Returns:
        The memory after this step, and the tensors that ``reverse`` needs.
    """
    _, memory, usage, link, precedence, written, looked = before
    R, W = looked.shape[1], memory.shape[2]
    sizes = interface_sizes(R, W)
    one = usage.new_ones(())  # a Python number instead would cost more than the operation
    clipped = F.hardtanh(asked, -clip, clip)
    keys, add, modes, strengths, gates = split_interface(clipped, sizes)
    modes, strengths, gates = modes.softmax(-1), F.softplus(strengths) + one, gates.sigmoid()
    erase, free, g_a, g_w = _split_gates(gates, sizes)
    lengths: Tensor = vector_norm(keys, dim=-1, keepdim=True)

    u = torch.addcmul(written, usage, one - written)
    for head in (one - free * looked).unbind(dim=1):
        u = u * head
    ranked, order = torch.lerp(u, one, EPSILON).sort(dim=-1, stable=True)
    earlier = usage.new_ones(2 * u.shape[1:]).triu_(1)  # (i, j): i < j
    product = torch.mm(ranked.log(), earlier).exp_()
    a = torch.empty_like(u).scatter_(-1, order, product * (one - ranked))

    sought = _look(keys[:, R:], lengths[:, R:], strengths[:, R:], memory)
    where = torch.lerp(sought.weights.squeeze(1), a, g_a)
    w = g_w * where
    row, column, last = w.unsqueeze(1), w.unsqueeze(2), precedence.unsqueeze(1)
    news = torch.addcmul(add, memory, erase, value=-1)  # v − e ∘ M(i)
    m = torch.addcmul(memory, column, news)

    ahead = last - link
    l = torch.addcmul(link, link, row, value=-1).addcmul_(column, ahead)  # noqa: E741
    l.diagonal(dim1=1, dim2=2).zero_()
    untouched = one - w.sum(dim=-1, keepdim=True)
    p = torch.addcmul(w, untouched, precedence)

    found = _look(keys[:, :R], lengths[:, :R], strengths[:, :R], m)
    ways = torch.stack([torch.bmm(looked, l), found.weights, torch.bmm(looked, l.mT)], dim=2)
    r = (modes.unsqueeze(-1) * ways).sum(dim=2)

    after = Access(torch.bmm(r, m), m, u, l, p, w, r)
    own = (one, clipped, modes, strengths, gates, lengths, ranked, order, earlier, product, a)
    kept = (where, news, ahead, untouched, ways)
    return after, (asked, *before[1:], *own, *sought, *found, *kept, *after[1:])


def reverse(kept: tuple[Tensor, ...], d: Access, clip: float) -> tuple[Tensor, Access]:
    """From the gradients after ``access`` to those of its interface vector and of ``before``.

    No gradient flows to the previous write weights, and ``access`` does not use the previous reads:
    the gradients of these two are returned unchanged.
    """
    d_reads, d_m, d_u, d_l, d_p, d_w, d_r = d
    asked, memory, usage, link, precedence, written, looked, *own = kept
    one, clipped, modes, strengths, gates, lengths, *ranking, a = own[:11]
    *looks, where, news, ahead, untouched, ways = own[11:24]
    m, _, l, _, w, r = own[24:]  # noqa: E741
    sought, found = _Look(*looks[:4]), _Look(*looks[4:])
    R, W = looked.shape[1], memory.shape[2]
    sizes = interface_sizes(R, W)
    keys, _, _, logits, _ = split_interface(clipped, sizes)
    erase, free, g_a, g_w = _split_gates(gates, sizes)
    row, column = w.unsqueeze(1), w.unsqueeze(2)

    d_r = d_r + torch.bmm(d_reads, m.mT)
    d_ways = modes.unsqueeze(-1) * d_r.unsqueeze(2)
    d_modes = _softmax_backward((ways * d_r.unsqueeze(2)).sum(dim=-1), modes)
    d_back, d_found, d_ahead = d_ways.unbind(dim=2)
    look = (keys[:, :R], lengths[:, :R], strengths[:, :R], m)
    d_keys_r, d_lengths_r, d_strengths_r, d_seen = _look_backward(d_found, found, *look)
    d_m = torch.bmm(r.mT, d_reads).add_(d_m).add_(d_seen)

    both, d_both = torch.cat([looked, d_ahead], dim=1), torch.cat([d_back, looked], dim=1)
    d_l = torch.bmm(both.mT, d_both).add_(d_l)
    d_l.diagonal(dim1=1, dim2=2).zero_()
    d_looked = torch.bmm(d_back, l.mT).add_(torch.bmm(d_ahead, l))
    d_w = (d_m * news).sum(dim=-1).add_(d_w).add_(d_p)
    d_w.sub_((d_p * precedence).sum(dim=-1, keepdim=True))
    d_w.add_((d_l * ahead).sum(dim=-1)).sub_((d_l * link).sum(dim=-2))
    d_p = torch.bmm(row, d_l).squeeze(1).addcmul_(d_p, untouched)
    d_link = torch.addcmul(d_l, d_l, row, value=-1).addcmul_(d_l, column, value=-1)

    d_news = d_m * column
    d_erase = (d_news * memory).sum(dim=1).neg_()
    d_memory = torch.addcmul(d_m, d_news, erase, value=-1)

    d_g_w = (d_w * where).sum(dim=-1, keepdim=True)
    d_where = d_w * g_w
    d_g_a = (d_where * (a - sought.weights.squeeze(1))).sum(dim=-1, keepdim=True)
    d_a = d_where * g_a
    look = (keys[:, R:], lengths[:, R:], strengths[:, R:], memory)
    d_sought = (d_where - d_a).unsqueeze(1)
    d_keys_w, d_lengths_w, d_strengths_w, d_seen = _look_backward(d_sought, sought, *look)
    d_memory.add_(d_seen)

    d_u = _allocation_backward(d_a, one, *ranking).add_(d_u)
    d_usage, d_free, d_freed = _usage_backward(d_u, usage, written, looked, free, one)
    d_looked.sub_(d_freed)

    d_keys = torch.cat([d_keys_r, d_keys_w], dim=1)
    d_lengths = torch.cat([d_lengths_r, d_lengths_w], dim=1)
    d_strengths = torch.cat([d_strengths_r, d_strengths_w], dim=1)
    d_gates = torch.cat([d_erase, d_free, d_g_a, d_g_w], dim=1)
    parts = (  # in the order of the interface vector
        d_keys.addcmul_(keys, _over(d_lengths, lengths)).flatten(1),
        d_news.sum(dim=1),
        d_modes.flatten(1),
        d_strengths.mul_(logits.sigmoid()),  # the slope of softplus
        aten.sigmoid_backward(d_gates, gates),
    )
    d_asked = aten.hardtanh_backward(torch.cat(parts, dim=1), asked, -clip, clip)
    return d_asked, Access(d_reads, d_memory, d_usage, d_link, d_p, d.write_weights, d_looked)


def _allocation_backward(
    d: Tensor, one: Tensor, ranked: Tensor, order: Tensor, earlier: Tensor, product: Tensor
) -> Tensor:
    """From the gradient of the allocation weights to that of the usage."""
    d = d.gather(-1, order).mul_(product)
    later = torch.mm(d * (one - ranked), earlier.t()).div_(ranked)
    d = torch.empty_like(d).scatter_(-1, order, later.sub_(d))
    return torch.sub(d, d, alpha=EPSILON)


def _usage_backward(
    d: Tensor, usage: Tensor, written: Tensor, looked: Tensor, free: Tensor, one: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """To the previous usage, the free gates, and (negated) the previous read weights."""
    unwritten = one - written
    kept = (one - free * looked).unbind(dim=1)
    passed = [torch.addcmul(written, usage, unwritten)]
    for head in kept[:-1]:
        passed.append(passed[-1] * head)
    each = []
    for before, head in zip(reversed(passed), reversed(kept), strict=True):
        each.append(d * before)
        d = d * head
    d_kept = torch.stack(each[::-1], dim=1)
    return d.mul_(unwritten), (d_kept * looked).sum(dim=-1).neg_(), d_kept.mul_(free)
