"""Exact nearest neighbours for a batch of queries, in bounded memory."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.linalg import vector_norm

from memrl.memory.ops.largest import first_largest

Metric: TypeAlias = Literal["cosine", "l2"]
BLOCK = 2**19  # scores of a row computed at a time: 2 MB in float32
EPSILON = 1e-6  # added to the product of norms, so that a zero key has similarity 0


class Neighbours(NamedTuple):
    """The keys found for each query, nearest first."""

    score: Tensor  # [B, Q, k]  cosine similarity, or the negative squared distance; no gradient
    slot: Tensor  # [B, Q, k]  index of the key; in range even if nothing was found
    found: Tensor  # bool [B, Q, k]  False where the row has fewer than k keys


def nearest(
    queries: Float[Tensor, "B Q W"],
    keys: Float[Tensor, "B N W"],
    k: int,
    *,
    metric: Metric = "cosine",
    count: Int[Tensor, " B"] | None = None,
    block: int = BLOCK,
) -> Neighbours:
    """The k nearest keys of every query, each row of the batch among its own keys.

    Of equally near keys the lower index comes first. Scores have no gradient; a caller that needs
    one computes scores from the gathered rows.

    Args:
        queries: Q a row.
        keys: N a row; those beyond ``count`` may hold anything, even NaN.
        k: at most N.
        metric: ``cosine``, or ``l2`` (computed as |q|² − 2 q·k + |k|², with its rounding error).
        count: only the first ``count[b]`` keys of row b may be found; all if None.
        block: scores of a row computed at a time; it affects only speed and memory.

    Raises:
        ValueError: k is not in 1 … N.
    """
    size = keys.shape[1]
    if not 1 <= k <= size:
        raise ValueError(f"k is {k}; allowed: 1 … {size}, the number of keys")
    queries, keys = queries.detach(), keys.detach()
    width = max(k, block // max(1, queries.shape[1]))
    scores: list[Tensor] = []
    slots: list[Tensor] = []
    best: Tensor | None = None  # the k best scores so far
    for low in range(0, size, width):
        part = keys[:, low : low + width]
        score = _scores(queries, part, metric)
        if count is not None:
            number = torch.arange(low, low + part.shape[1], device=keys.device)
            score = score.masked_fill_(number >= count.view(-1, 1, 1), -math.inf)
        some = min(k, part.shape[1]) if best is None else _candidates(score, best)
        if some:
            found, place = first_largest(score, some)
            scores.append(found)
            slots.append(place + low)
            best = found if best is None else torch.cat([best, found], dim=-1).topk(k).values
    score, slot = torch.cat(scores, dim=-1), torch.cat(slots, dim=-1)
    if len(scores) > 1:
        score, among = first_largest(score, k)
        slot = slot.gather(-1, among)
    return Neighbours(score, slot, score > -math.inf)


def merged(score: Float[Tensor, "*B n"], slot: Int[Tensor, "*B n"], k: int) -> Neighbours:
    """The k nearest of n candidates from several parts of the keys, nearest first.

    Of equally near keys the lower slot comes first, as in ``nearest``; -inf: no candidate.
    """
    by_slot = slot.argsort(dim=-1)
    order = score.gather(-1, by_slot).argsort(dim=-1, descending=True, stable=True)[..., :k]
    chosen = by_slot.gather(-1, order)
    best = score.gather(-1, chosen)
    return Neighbours(best, slot.gather(-1, chosen), best > -math.inf)


def _candidates(score: Tensor, best: Tensor) -> int:
    """An upper bound of how many keys of a block are among the k nearest, given the k ``best``.

    Equal keys do not count, because they come later. Only the CPU counts: on a GPU the host would
    have to wait.
    """
    most = min(best.shape[-1], score.shape[-1])
    if score.device.type != "cpu":
        return most
    return min(most, int((score > best[..., -1:]).sum(dim=-1).max()))


def _scores(queries: Tensor, keys: Tensor, metric: Metric) -> Tensor:
    """Scores [B, Q, n]; a larger one is nearer."""
    norms: Tensor = vector_norm(keys, dim=-1).unsqueeze(1)  # [B, 1, n]
    query_norms: Tensor = vector_norm(queries, dim=-1, keepdim=True)
    if metric == "cosine":
        return torch.bmm(queries, keys.mT).div_(query_norms * norms + EPSILON)
    return torch.baddbmm(norms.square(), 2 * queries, keys.mT, beta=-1).sub_(query_norms.square())
