"""Pieces of a sequence at once are the recurrences of a matrix memory, step by step."""

from __future__ import annotations

import pytest
import torch

from memrl.memory.ops.linear_attention import (
    attend,
    corrections,
    episodes,
    fading,
)

T, B, H, K, V = 7, 3, 2, 5, 11


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def given():
    """k, q, v, β, α, the first state [B, H, K, V], start [T, B]."""
    start = torch.zeros(T, B, dtype=torch.bool)
    start[0, 0] = start[3, 1] = start[6, 1] = True
    k, q = rand(B, H, T, K), rand(B, H, T, K)
    beta, alpha = rand(B, H, T).sigmoid(), rand(B, H, T).sigmoid()
    return k, q, rand(B, H, T, V), beta, alpha, rand(B, H, K, V), start


def masks(alpha, start):
    seen = episodes(start)
    between, faded = fading(alpha.log(), seen)
    return between.exp(), faded.exp(), seen.carried


@pytest.mark.parametrize("delta", [False, True])
def test_reads_are_those_of_the_memory_at_every_step(delta):
    k, q, v, beta, alpha, first, start = given()
    weights, carry, carried = masks(alpha, start)
    u = corrections(k, v, beta, first, weights, carry, carried) if delta else v
    reads, last = attend(q, k, u, first, weights, carry, carried)
    for b in range(B):
        for h in range(H):
            S = first[b, h]
            for t in range(T):
                S = alpha[b, h, t] * (torch.zeros(K, V, dtype=S.dtype) if start[t, b] else S)
                now = beta[b, h, t] * (v[b, h, t] - S.T @ k[b, h, t]) if delta else v[b, h, t]
                S = S + torch.outer(k[b, h, t], now)
                torch.testing.assert_close(reads[b, h, t], S.T @ q[b, h, t])
            torch.testing.assert_close(last[b, h], S)


def test_masks_are_those_of_the_definition():
    start = given()[-1]
    within, carried = episodes(start)
    for b in range(B):
        for t in range(T):
            assert bool(carried[b, 0, t]) == (not start[: t + 1, b].any())
            for s in range(T):
                alike = s <= t and not start[s + 1 : t + 1, b].any()
                assert bool(within[b, 0, t, s]) == bool(alike)
