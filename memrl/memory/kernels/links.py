"""Temporal links, for one row: which slot was written right after which (DNC, Methods)."""

from __future__ import annotations

from memrl.memory.kernels.attention import dot
from memrl.memory.kernels.compile import row


@row
def chain(before, after, w):
    """L(i, j) = (1 − w(i) − w(j)) L(i, j) + w(i) p(j), L(i, i) = 0; p = w + (1 − Σ w) p."""
    p, L = before.precedence, before.link
    total = w.dtype.type(0)
    for i in range(len(w)):
        total += w[i]
        for j in range(len(w)):
            after.link[i, j] = L[i, j] - L[i, j] * w[j] + w[i] * (p[j] - L[i, j])
        after.link[i, i] = 0
    for i in range(len(w)):
        after.precedence[i] = w[i] + p[i] - total * p[i]


@row
def chain_reverse(before, w, d, d_w):
    """From the gradients of links and precedence to those before, in place; adds to ``d_w``."""
    p, L, N = before.precedence, before.link, len(w)
    total, inner = w.dtype.type(0), dot(d.precedence, p)
    for i in range(N):
        total += w[i]
        d_w[i] += d.precedence[i] - inner
        d.link[i, i] = 0
    for i in range(N):
        d.precedence[i] -= total * d.precedence[i]
    for i in range(N):
        own = d.link[i]
        d_w[i] += dot(own, p) - dot(own, L[i])
        for j in range(N):
            d_w[j] -= own[j] * L[i, j]
            d.precedence[j] += w[i] * own[j]
            own[j] -= own[j] * w[j] + own[j] * w[i]
